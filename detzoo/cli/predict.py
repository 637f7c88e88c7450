"""``detzoo predict``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detzoo.cli.common import (
    Compile,
    Device,
    Fuse,
    Imports,
    JsonFile,
    Precision,
    Trust,
    TtaFlip,
    TtaScales,
    check_source,
    next_folder,
    plain_console,
    print_overflow,
    with_tta,
)
from detzoo.errors import ConfigError, DataError
from detzoo.files import check_output, check_regular, to_json, write_json

if TYPE_CHECKING:
    import numpy as np

    from detzoo.inference.outputs import Output
    from detzoo.inference.result import Result

# The extension of JSON Lines files.
_LINES = ".jsonl"


def predict(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT_OR_NAME",
            help="A checkpoint (MMDetection's too), or a zoo name.",
        ),
    ],
    inputs: Annotated[
        list[str], typer.Argument(help="Images, folders, patterns ('*.jpg'), videos.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the pictures. Default: a new runs/predict-<n>."),
    ] = None,
    json_file: JsonFile = None,
    min_score: Annotated[
        str,
        typer.Option(
            metavar="S|auto|CLASS=S,...",
            help="Minimum score of a detection; by class: 0.3,person=0.5. auto: the thresholds "
            "that detzoo analyze has stored in the checkpoint.",
        ),
    ] = "0.3",
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Keep only these classes.", show_default=False),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option(min=1, help="Keep only so many detections of an image, the most confident."),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Also write csv, coco, yolo, voc, crops or (of panoptic models) panoptic into the "
            "folder of the pictures.",
            show_default=False,
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=32, help="Split larger images into overlapping tiles of this size, in pixels."
        ),
    ] = None,
    tta_scales: TtaScales = None,
    tta_flip: TtaFlip = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of one shape per batch.")] = 1,
    weights: Annotated[
        str | None,
        typer.Option(help="Weights for a zoo name, or a config file. Default: published ones."),
    ] = None,
    precision: Precision = None,
    fuse: Fuse = True,
    compile_model: Compile = False,
    device: Device = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Find objects in images and videos; draw them and write them as JSON.

    The class names are those of the checkpoint.

    Examples:

      detzoo predict runs/x-1/best.pt photo.jpg --out predictions

      detzoo predict runs/x-1/best.pt photos 'more/**/*.png' film.mp4 --json found.json

      detzoo predict runs/x-1/best.pt aerial.tif --tile 1024 --min-score 0.3,person=0.5

      detzoo predict runs/x-1/best.pt photos --classes person,dog --save csv,crops
    """
    check_source(source, weights)
    formats = _formats(save)

    from detzoo.inference.inputs import find_files, is_video, left_out

    console = plain_console()
    files = []
    for item in inputs:
        found_files = find_files(item)
        files += found_files
        others = left_out(item, found_files)
        if others:
            console.print(f"{item}: left out {others}", soft_wrap=True)
    folder = out if out is not None else next_folder(Path("runs"), "predict")
    targets = _target_names(files, folder)
    if json_file is not None:
        check_output(json_file, "--json")

    from detzoo.devices import check_precision
    from detzoo.inference.compiled import compile_detector
    from detzoo.inference.loading import load
    from detzoo.inference.outputs import OUTPUTS
    from detzoo.inference.predictor import Predictor
    from detzoo.inference.selection import Selection

    chosen = None if precision is None else check_precision(precision)
    fuse = fuse and not compile_model  # the compiler fuses layers, too
    predictor = load(source, weights, device, chosen, fused=fuse, trust=trust)
    model = compile_detector(predictor.model) if compile_model else predictor.model
    experiment = with_tta(predictor.experiment, tta_scales, tta_flip)
    keep_these = Selection.of(
        predictor.class_names,
        min_score,
        thresholds=predictor.thresholds,
        classes=None if classes is None else [name.strip() for name in classes.split(",")],
        max_detections=max_detections,
        stuff_names=predictor.stuff_names,
    )
    if "panoptic" in formats and not experiment.model.predicts_panoptic:
        raise ConfigError(
            f"--save {save}: {source} finds objects instead of segmenting the whole image; leave "
            "panoptic out, or use a panoptic model (detzoo models panoptic)."
        )
    predictor = Predictor(experiment, model, predictor.precision, fused=fuse)
    _make_folder(folder)
    try:
        outputs = [
            OUTPUTS[name](folder, predictor.class_names, predictor.stuff_names) for name in formats
        ]
    except OSError as error:
        raise _unwritable(folder, error) from None

    failures: list[DataError] = []

    def find(images: Any, **options: Any) -> Iterator[Result]:
        found = predictor.predict(images, min_score=keep_these.lowest, tile=tile, **options)
        return map(keep_these, found)

    found: dict[Path, Any] = {}
    images = [file for file in files if not is_video(file)]
    with _line_writer(json_file) as write_line:

        def keep(file: Path, content: dict[str, Any], summary: str) -> None:
            found[file] = content
            write_line(content)
            console.print(f"{file}  {summary}", soft_wrap=True)

        for result in find(images, batch_size=batch_size, on_error=failures.append):
            file = Path(result.path)
            _write_picture(targets[file], result.draw())
            for output in outputs:
                _write_output(output, result, targets[file].stem)
            keep(file, result.to_json(), _summary(result.segment_names or result.names))
        for file in filter(is_video, files):
            try:
                content = _predict_video(find, file, targets[file])
            except DataError as error:
                failures.append(error)
            else:
                keep(file, content, f"{len(content['frames'])} frames")
    if failures and not found:
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()
        more = f" ({len(failures) - 1} more cannot be read either.)" if len(failures) > 1 else ""
        raise DataError(f"{failures[0]}{more}")
    for output in outputs:
        try:
            output.close()
        except OSError as error:
            raise _unwritable(output.folder, error) from None
    if json_file is not None and json_file.suffix != _LINES:
        write_json(json_file, [found[file] for file in files if file in found])
    console.print(f"pictures in {folder}", soft_wrap=True)
    print_overflow(predictor.model)
    if failures:
        for failure in failures:
            print(f"left out: {failure}", file=sys.stderr)
        print(f"{len(failures)} of {len(files)} inputs were left out", file=sys.stderr)
        raise typer.Exit(1)


@contextlib.contextmanager
def _line_writer(json_file: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Writes each result as soon as it is available to a JSON Lines file next to ``json_file``."""
    path = Path(os.devnull) if json_file is None else json_file.with_suffix(_LINES)
    with contextlib.ExitStack() as stack:
        try:
            lines = stack.enter_context(open(path, "w", encoding="utf-8"))
        except OSError as error:
            raise _unwritable(path, error) from None

        def write(content: dict[str, Any]) -> None:
            try:
                print(to_json(content), file=lines, flush=True)
            except OSError as error:
                raise _unwritable(path, error) from None

        yield write


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: cannot be written ({error.strerror}). Free some disk space, or give another path."
    )


def _target_names(files: list[Path], folder: Path) -> dict[Path, Path]:
    """A distinct output file in ``folder`` for each input, never the input itself."""
    from detzoo.inference.inputs import is_video

    inputs = {file.resolve() for file in files}
    targets: dict[Path, Path] = {}
    taken = set()
    for file in files:
        suffix = ".mp4" if is_video(file) else ".jpg"
        number = 1
        name = file.stem
        while name in taken:
            number += 1
            name = f"{file.stem}-{number}"
        taken.add(name)
        targets[file] = folder / f"{name}{suffix}"
        if targets[file].resolve() in inputs:
            raise ConfigError(
                f"--out {folder}: {targets[file]} is one of the inputs and would be overwritten. "
                "Give another folder."
            )
    return targets


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: cannot be created ({error.strerror}). Give another folder."
        ) from None


def _write_picture(path: Path, picture: np.ndarray) -> None:
    import cv2

    _, data = cv2.imencode(path.suffix, picture)
    try:
        path.write_bytes(data.tobytes())  # OpenCV crashes on names that are not UTF-8
    except OSError as error:
        raise _unwritable(path, error) from None


def _formats(save: str | None) -> list[str]:
    """The names in ``--save``."""
    if save is None:
        return []
    from detzoo.inference.outputs import OUTPUTS

    names = [name.strip() for name in save.split(",")]
    for name in names:
        if name not in OUTPUTS:
            raise ConfigError(f"--save {save}: {name!r} is not one of {', '.join(OUTPUTS)}.")
    return names


def _write_output(output: Output, result: Result, stem: str) -> None:
    try:
        output.add(result, stem)
    except OSError as error:
        raise _unwritable(output.folder, error) from None


def _summary(names: list[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).items()) or "nothing"


def _predict_video(
    find: Callable[..., Iterator[Result]], file: Path, target: Path
) -> dict[str, Any]:
    """Writes the video with the detections drawn; returns the detections frame by frame."""
    import cv2

    check_regular(file)
    for path in (file, target):
        if not _is_utf8(path):
            raise DataError(
                f"{path}: OpenCV cannot open a video whose path is not UTF-8. Rename it."
            )
    capture = cv2.VideoCapture(str(file))
    try:
        frames = _frames(capture)
        first = next(frames, None)
        if first is None:
            raise DataError(f"{file}: no frame of this video can be read; is it a video?")
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        size = first.shape[1], first.shape[0]
        writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        if not writer.isOpened():
            raise DataError(f"{target}: OpenCV cannot write this video here.")
        content = []
        try:
            for frame in _chain(first, frames):
                result = next(find(frame))
                writer.write(result.draw())
                content.append(result.to_json()["detections"])
        finally:
            writer.release()
    finally:
        capture.release()
    height, width = first.shape[:2]
    return {
        "video": str(file),
        "frames_per_second": rate,
        "height": height,
        "width": width,
        "frames": content,
    }


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _frames(capture: Any) -> Iterator[np.ndarray]:
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return
        yield frame


def _chain(first: np.ndarray, others: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from others
