"""``detzoo predict``."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

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
    Weights,
    check_source,
    is_first_process,
    next_folder,
    plain_console,
    print_overflow,
    with_tta,
)
from detzoo.cli.launch import Devices, launch
from detzoo.cli.predict_output import (
    LINES,
    finish,
    join_lines,
    line_writer,
    make_folder,
    target_names,
    unwritable,
)
from detzoo.cli.progress import image_progress
from detzoo.errors import ConfigError, DataError
from detzoo.files import check_output, write_json


def predict(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT_OR_NAME",
            help="A checkpoint (MMDetection's too), or a zoo name.",
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders, patterns ('*.jpg'), videos, the number of a camera, the address "
            "of an image (https://.../street.jpg) or a stream (rtsp://...)."
        ),
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
    blur: Annotated[
        bool,
        typer.Option("--blur", help="Blur what is found, instead of drawing boxes around it."),
    ] = False,
    color_by: Annotated[
        Literal["class", "instance"],
        typer.Option("--color-by", help="Draw a class, or every object, in a color of its own."),
    ] = "class",
    track: Annotated[
        bool,
        typer.Option("--track", help="Give each object of a video a number that it keeps."),
    ] = False,
    every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of a video, only take every N-th frame.")
    ] = 1,
    tile: Annotated[
        int | None,
        typer.Option(
            min=32, help="Split larger images into overlapping tiles of this size, in pixels."
        ),
    ] = None,
    tta_scales: TtaScales = None,
    tta_flip: TtaFlip = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of one shape per batch.")] = 1,
    weights: Weights = None,
    precision: Precision = None,
    fuse: Fuse = True,
    compile_model: Compile = False,
    device: Device = None,
    devices: Devices = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Find objects in images and videos; draw them and write them as JSON.

    The class names are those of the checkpoint. Ctrl-C ends a camera or stream.

    Examples:

      detzoo predict runs/x-1/best.pt photo.jpg --out predictions

      detzoo predict runs/x-1/best.pt photos 'more/**/*.png' film.mp4 --json found.json

      detzoo predict runs/x-1/best.pt aerial.tif --tile 1024 --min-score 0.3,person=0.5

      detzoo predict runs/x-1/best.pt photos --classes person,dog --save csv,crops

      detzoo predict runs/x-1/best.pt film.mp4 --track --every 2 --json found.jsonl

      detzoo predict runs/x-1/best.pt rtsp://camera/stream --blur --classes person

      detzoo predict runs/x-1/best.pt https://example.org/street.jpg

      detzoo predict runs/x-1/best.pt photos --out drawn --devices 4
    """
    check_source(source, weights)
    formats = _formats(save)
    if blur and color_by != "class":
        raise ConfigError("--color-by: --blur draws nothing. Leave one of them out.")

    if out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--out: required with several processes, which share the folder")

    from detzoo.inference.inputs import find_files, is_picture_address, is_video, left_out
    from detzoo.inference.video import is_live

    console = plain_console()
    notes = []
    images: list[Path | str] = []  # those on the web are text
    videos: list[Path | str] = []  # cameras and streams are text
    for item in inputs:
        if is_picture_address(item):
            images.append(item)
            continue
        if is_live(item):
            videos.append(item)
            continue
        files = find_files(item)
        images += [file for file in files if not is_video(file)]
        videos += [file for file in files if is_video(file)]
        others = left_out(item, files)
        if others:
            notes.append(f"{item}: left out {others}")
    if track and not videos:
        raise ConfigError("--track: there is no video among the inputs. Leave it out.")
    folder = out if out is not None else next_folder(Path("runs"), "predict")
    sources = [*images, *videos]
    targets = target_names(sources, folder)
    if json_file is not None:
        check_output(json_file, "--json")
    launch(devices, *([] if out is not None else ["--out", str(folder)]))
    for note in notes if is_first_process() else ():
        console.print(note, soft_wrap=True)

    from detzoo.cli.predict_run import PredictRun
    from detzoo.devices import check_precision, resolve_device
    from detzoo.inference.compiled import compile_detector
    from detzoo.inference.loading import load
    from detzoo.inference.outputs import OUTPUTS
    from detzoo.inference.predictor import Predictor
    from detzoo.inference.selection import Selection
    from detzoo.inference.tracking import Tracker
    from detzoo.train.distributed import join_processes

    chosen = None if precision is None else check_precision(precision)
    fuse = fuse and not compile_model  # the compiler fuses layers, too
    # Those that torchrun started share the inputs, and the first of them joins what they wrote.
    processes = context.with_resource(join_processes(resolve_device(device)))
    predictor = load(source, weights, processes.device, chosen, fused=fuse, trust=trust)
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
    if track:
        Tracker(keep_these, 1.0)  # is it installed?
    predictor = Predictor(experiment, model, predictor.precision, fused=fuse)
    make_folder(folder)
    part = processes.rank
    try:
        outputs = [
            OUTPUTS[name](folder, predictor.class_names, predictor.stuff_names, part)
            for name in formats
        ]
    except OSError as error:
        raise unwritable(folder, error) from None

    with line_writer(json_file, part) as write_line:
        run = PredictRun(
            predictor,
            keep_these,
            targets,
            outputs,
            write_line,
            console,
            blur=blur,
            color_by=color_by,
            track=track,
            every=every,
            tile=tile,
            batch_size=batch_size,
            keeps_entries=json_file is not None and json_file.suffix != LINES,
        )
        with image_progress(is_shown=processes.is_first, console=console) as progress:
            run.detect_images(images[part :: processes.count], progress)
            for video in videos[part :: processes.count]:
                run.detect_video(video, progress)
    for output in outputs:
        finish(output)
    print_overflow(predictor.model)
    runs = processes.collect((run.entries, run.done, run.failures))
    if runs is None:
        return
    join_lines(json_file, processes.count)
    for output in outputs:
        output.join(processes.count)
    failures = [failure for _, _, some in runs for failure in some]
    if failures and not any(done for _, done, _ in runs):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()
        more = f" ({len(failures) - 1} more cannot be read either.)" if len(failures) > 1 else ""
        raise DataError(f"{failures[0]}{more}")
    if json_file is not None and json_file.suffix != LINES:
        entries = {source: entry for some, _, _ in runs for source, entry in some.items()}
        write_json(json_file, [entries[source] for source in sources if source in entries])
    console.print(f"pictures in {folder}", soft_wrap=True)
    if failures:
        for failure in failures:
            print(f"left out: {failure}", file=sys.stderr)
        print(f"{len(failures)} of {len(sources)} inputs were left out", file=sys.stderr)
        raise typer.Exit(1)


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
