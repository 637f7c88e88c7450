"""A detector over more images than one machine can look at, with Ray Data: one in every worker.

pip install detzoo 'ray[data]'
python examples/ray_predict.py model.pt photos found --workers 4
python examples/ray_predict.py model.pt s3://bucket/photos s3://bucket/found --workers 16 --gpus 1
python examples/ray_predict.py model.pt images.parquet found --column image

The images are those of a folder with its sub-folders, or a column of Parquet files: the bytes of
image files, as they are or in a struct (as of Hugging Face), or paths. The answer is Parquet with
a row for each image, in any order: what the input had, but for the bytes, and

- ``height``, ``width``: of the image, in pixels;
- ``detections``: a list of class, score, box (x1, y1, x2, y2 in pixels) and mask, if the model has
  masks (COCO's run lengths), as ``Result.to_json`` has them;
- ``error``: why an image could not be read, and null for all others.

Every worker loads the model: its file must be where all machines see it, or be an address.
"""

import argparse
import os
from pathlib import Path
from typing import Any

# A Ray of this machine starts 32 processes to find out what is in Parquet files; one will do.
os.environ.setdefault("RAY_DATA_PARQUET_FOOTER_NUM_ACTORS", "1")

import pyarrow as pa
import pyarrow.fs
import ray.data

import detzoo
from detzoo.data.images import EXTENSIONS, decode_image

MASK = pa.struct({"size": pa.list_(pa.int32()), "counts": pa.string()})
DETECTION = pa.struct(
    {"class": pa.string(), "score": pa.float64(), "box": pa.list_(pa.float64()), "mask": MASK}
)
NEW_COLUMNS = {
    "height": pa.int32(),
    "width": pa.int32(),
    "detections": pa.list_(DETECTION),
    "error": pa.string(),
}


class Detect:
    """What a worker does; ``column`` has the images."""

    def __init__(self, model: str, column: str, batch_size: int, min_score: float) -> None:
        self.predictor = detzoo.load(model)  # takes the GPU that Ray gave to this worker, if any
        self.column, self.batch_size, self.min_score = column, batch_size, min_score

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows: list[dict[str, Any]] = [{} for _ in range(len(batch))]
        readable, images = [], []
        for row, value in zip(rows, batch[self.column].to_pylist()):
            try:
                images.append(self.read(value))
                readable.append(row)
            except (OSError, ValueError) as error:  # of the storage, and detzoo's own
                row["error"] = str(error)
        options = {"batch_size": self.batch_size, "min_score": self.min_score}
        for row, result in zip(readable, self.predictor.predict(images, **options)):
            found = result.to_json()
            row.update({name: found[name] for name in ("height", "width", "detections")})
        for name, kind in NEW_COLUMNS.items():
            if name in batch.column_names:
                batch = batch.drop_columns([name])
            batch = batch.append_column(name, pa.array([row.get(name) for row in rows], kind))
        return self.without_bytes(batch)

    def without_bytes(self, batch: pa.Table) -> pa.Table:
        """Leaves the paths of the images, where there are any."""
        kind = batch.schema.field(self.column).type
        if pa.types.is_struct(kind):
            paths = [None if v is None else v.get("path") for v in batch[self.column].to_pylist()]
            place = batch.column_names.index(self.column)
            return batch.set_column(place, self.column, pa.array(paths, pa.string()))
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return batch.drop_columns([self.column])
        return batch

    def read(self, value: Any) -> Any:
        """The image (H, W, C) BGR that a value of the column stands for."""
        path = "bytes"
        if isinstance(value, dict):
            path, value = value.get("path") or path, value["bytes"]
        if isinstance(value, str):
            path, value = value, _content(value)
        if value is None:
            raise ValueError("there is no image in this row")
        return decode_image(value, path, self.predictor.experiment.model.input_pixels.channels)


def _content(path: str) -> bytes:
    """What is in a file on this machine or, with an address such as ``s3://``, in a storage."""
    if "://" not in path:
        return Path(path).read_bytes()
    storage, name = pyarrow.fs.FileSystem.from_uri(path)
    with storage.open_input_file(name) as file:
        content: bytes = file.read()
    return content


def read_images(source: str, column: str | None) -> tuple[ray.data.Dataset, str]:
    """The images, and the name of the column that has them."""
    if source.endswith(".parquet") or column is not None:
        return ray.data.read_parquet(source), column or "image"
    endings = [ending[1:] for ending in EXTENSIONS]
    files = ray.data.read_binary_files(source, include_paths=True, file_extensions=endings)
    return files, "bytes"


def predict(
    model: str,
    source: str,
    out: str,
    *,
    column: str | None = None,
    workers: int = 1,
    cpus: float = 1,
    gpus: float = 0,
    batch_size: int = 8,
    min_score: float = 0.3,
) -> None:
    """Detects in all images of ``source`` and writes Parquet files into ``out``."""
    images, name = read_images(source, column)
    found = images.map_batches(
        Detect,
        fn_constructor_args=(model, name, batch_size, min_score),
        batch_size=4 * batch_size,  # of which images of one shape share a batch of the detector
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=cpus,
        num_gpus=gpus,
    )
    found.write_parquet(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a checkpoint, an exported file, or a name of the zoo")
    parser.add_argument("source", help="a folder or a Parquet file, here or in a storage")
    parser.add_argument("out", help="folder for Parquet, here or in a storage")
    parser.add_argument("--column", help="the images' column in Parquet files (image)")
    parser.add_argument("--workers", type=int, default=1, help="detectors at a time")
    parser.add_argument("--cpus", type=float, default=1, help="cores for each worker")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs for each worker, 0.5 is a half")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--min-score", type=float, default=0.3)
    predict(**vars(parser.parse_args()))
