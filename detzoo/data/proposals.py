"""Files of proposals, for detectors without a region proposal network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from detzoo.data.annotations import Proposals
from detzoo.data.dataset import DetectionDataset
from detzoo.errors import DataError
from detzoo.files import check_regular, read_json, write_json
from detzoo.values import Id, read_id, same
from detzoo.weights.pickles import load_pickle


def read_proposals(path: str | Path, dataset: DetectionDataset) -> Proposals:
    """Reads the proposals of a data set's images.

    ``path`` is a file written by :func:`write_proposals`, matched with ``dataset`` by image id, or
    a ``.pkl`` of MMDetection: a list of (K, 4) or (K, 5) arrays in the order of the images in the
    annotation file. So ``dataset`` must be as it was read, before any image is left out. Raises
    :class:`DataError` if images and proposals do not match.
    """
    file = Path(path)
    if file.suffix in (".pkl", ".pickle"):
        return Proposals.of(_from_pickle(file, len(dataset), dataset.source))
    by_image = _from_json(file)
    ids = [dataset.image_id(i) for i in range(len(dataset))]
    missing = [identity for identity in ids if same(identity) not in by_image]
    if missing:
        raise DataError(
            f"{file}: has no proposals for {len(missing)} of the {len(ids)} images of "
            f"{dataset.source}, the first is {missing[0]!r}. Write them for the same data "
            "(detzoo test RPN --save-proposals FILE)."
        )
    return Proposals.of([by_image[same(identity)] for identity in ids])


def write_proposals(path: str | Path, proposals: dict[Id, np.ndarray]) -> None:
    """Writes (K, 5) arrays by image id: ``{"proposals": [{"image_id": ..., "boxes": [...]}]}``."""
    entries = [
        # Thousandths of a pixel are enough, and a third of the size.
        {"image_id": identity, "boxes": np.round(boxes.astype(np.float64), 3).tolist()}
        for identity, boxes in proposals.items()
    ]
    write_json(path, {"proposals": entries})


def _from_pickle(file: Path, num_images: int, source: str) -> list[np.ndarray]:
    content = _read_pickle(file)
    if not isinstance(content, list):
        raise DataError(
            f"{file}: holds a {type(content).__name__} instead of a list of arrays, one per image."
        )
    if len(content) != num_images:
        raise DataError(
            f"{file}: holds the proposals of {len(content)} images, but {source} lists "
            f"{num_images}. They meet by their order, so both must be of the same annotation file."
        )
    return [_checked(array, f"{file}: entry {i}") for i, array in enumerate(content)]


def _read_pickle(file: Path) -> Any:
    check_regular(file)
    try:
        return load_pickle(file)
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; check the path") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(
            f"{file}: cannot be read ({error}). It must be a pickle of nothing but lists and numpy "
            "arrays; anything else could run code."
        ) from None


def _from_json(file: Path) -> dict[str, np.ndarray]:
    content = read_json(file)
    entries = content.get("proposals") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(
            f"{file}: is no file of proposals. Write one with detzoo test RPN --save-proposals "
            "FILE, or give a .pkl of MMDetection."
        )
    found: dict[str, np.ndarray] = {}
    for i, entry in enumerate(entries):
        where = f"{file}: proposals[{i}]"
        image_id = read_id(entry, "image_id", where)
        found[same(image_id)] = _checked(entry.get("boxes"), where)
    return found


def _checked(value: Any, where: str) -> np.ndarray:
    """(K, 5) float32; a missing score is 1."""
    try:
        array = np.array(value, np.float32)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros((1, 0), np.float32)
    if array.size == 0 and array.shape[:1] == (0,):
        return np.zeros((0, 5), np.float32)
    if array.ndim != 2 or array.shape[1] not in (4, 5) or not np.isfinite(array).all():
        shown = f"shape {value.shape}" if isinstance(value, np.ndarray) else f"{value!r:.60}"
        raise DataError(
            f"{where}: {shown} are not boxes (K, 4) or (K, 5): x1, y1, x2, y2 and a score."
        )
    if array.shape[1] == 4:
        array = np.concatenate([array, np.ones((len(array), 1), np.float32)], 1)
    return array
