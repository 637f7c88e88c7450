"""``detzoo export``."""

from __future__ import annotations

import functools
import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detzoo.cli.common import Imports, check_data, check_source, open_sets
from detzoo.errors import ConfigError, ExportError
from detzoo.files import check_output

if TYPE_CHECKING:
    import numpy as np

    from detzoo.data.dataset import DetectionDataset
    from detzoo.experiment import Experiment
    from detzoo.inference.predictor import Predictor

# Detections of lower scores are not compared: in fp32, and in less.
MIN_SCORE, LOW_MIN_SCORE = 0.05, 0.3
# Generated scenes to compare on, where no images are given.
NUM_SCENES, SCENE_SIZE = 8, 480
MOST_IMAGES = 16
# Images by which the ranges of int8 are set, at most.
MOST_CALIBRATION_IMAGES = 100


def export(
    source: Annotated[
        str, typer.Argument(help="A checkpoint, or a model of the zoo (see detzoo models).")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The file to write; its ending says the format: model.onnx (ONNX), model.xml "
            "(OpenVINO), model.pt2 (a program of PyTorch).",
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="onnx, openvino, torch, or aoti: a program that is compiled for this processor. "
            "Default: by the ending."
        ),
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="H W", help="Size of the input in pixels. Default: that of the recipe, padded."
        ),
    ] = None,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Take every size from 256 x 256 to --size, by default a square, in steps of 32.",
        ),
    ] = False,
    batch_size: Annotated[
        str,
        typer.Option(
            metavar="N", help="Images per batch: a number, or up to a number of them: 1..8."
        ),
    ] = "1",
    masks: Annotated[
        Literal["grid", "full"],
        typer.Option(
            help="Masks as small maps of probabilities, as the detector predicts them, or drawn "
            "into the input, pixel by pixel.",
        ),
    ] = "grid",
    max_candidates: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Boxes that enter suppression, of an image or a pyramid level, where the recipe "
            "does not limit them; of detectors without boxes, masks of a level. Default: 1000 "
            "boxes, 100 masks.",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="fp32, fp16, bf16 (openvino, torch) or int8 (onnx, openvino). int8 needs --images "
            "and --data."
        ),
    ] = "fp32",
    images: Annotated[
        Path | None,
        typer.Option(
            help="Image or folder to compare on, and to set the ranges of int8 by. Default: "
            "generated scenes."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Data set on which the accuracy before and after is printed."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of --data.")] = "val",
    max_ap_drop: Annotated[
        float,
        typer.Option(
            min=0, help="With --data: how many points of AP may be lost before nothing is written."
        ),
    ] = 1.0,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the model, where it is a name or a config file.")
    ] = None,
    imports: Imports = None,
) -> None:
    """Export a detector, from normalized pixels to boxes, scores, labels and masks.

    The file is compared with the original before it takes its name. It holds class names, pixel
    normalization and settings: detzoo predict and detzoo test take it like a checkpoint.

    Examples:

      detzoo export runs/x-1/best.pt -o model.onnx

      detzoo export yolox_nano_8x8_300e_coco -o yolox.onnx --size 416 416 --images photos

      detzoo export runs/x-1/best.pt -o model.xml --dynamic
    """
    check_output(out, "--out")
    check_source(source, weights)
    check_data(data)

    from detzoo.export.formats import check_precision, find_format
    from detzoo.export.frame import check_size, default_size, framed, largest_size, smallest_size
    from detzoo.export.program import capture
    from detzoo.export.quantize import calibration_inputs, quantize
    from detzoo.export.static import StaticDetector, require_static_form
    from detzoo.inference.exported import Details
    from detzoo.inference.loading import find_experiment, is_checkpoint_path, load
    from detzoo.inference.predictor import Predictor
    from detzoo.inference.runtimes import open_exported

    num_images, takes_fewer = read_batch_size(batch_size)
    kind = find_format(format, out)
    chosen = check_precision(precision, kind)
    if takes_fewer and (chosen == "int8" or (kind.name == "torch" and chosen != "fp32")):
        why = (
            "quantization does not reach into"
            if chosen == "int8"
            else "PyTorch writes, but cannot open a program with"
        )
        raise ConfigError(
            f"--precision {chosen}: {why} the loop over images of a file for a range of batch "
            f"sizes; give --batch-size {num_images}"
        )
    if chosen == "int8" and (images is None or data is None):
        raise ConfigError(
            "--precision int8: needs --images FOLDER to set its ranges by, and --data DIR to see "
            "what it costs"
        )
    dataset = None if data is None else open_sets([data], (), split)[0][0]
    if not is_checkpoint_path(source):  # before its weights are downloaded
        require_static_form(find_experiment(source).model)
    original = load(source, weights, "cpu", "fp32", fused=False)
    recipe = original.experiment
    size = size or (largest_size(recipe) if dynamic else default_size(recipe))
    check_size(original.model, recipe, size, "--size")
    experiment = framed(recipe, size, is_largest=dynamic)
    detector = StaticDetector(original.model, max_candidates, masks)
    details = Details(
        experiment,
        size,
        num_images,
        precision=chosen,
        smallest=smallest_size(size) if dynamic else None,
        masks=detector.mask_kind,
        mask_threshold=detector.mask_threshold,
        takes_fewer=takes_fewer,
    )
    program = capture(detector, details, kind.captured_in(chosen))
    change = None
    if chosen == "int8":
        assert images is not None
        pictures = _pictures(images, recipe, MOST_CALIBRATION_IMAGES)
        change = functools.partial(quantize, inputs=calibration_inputs(details, pictures))
    # Beside the target, whose place it takes at last.
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as folder:
        partial = Path(folder) / out.name
        kind.write(program, partial, details, change)
        exported = Predictor(experiment, open_exported(partial, trust=True), fused=False)
        before = Predictor(experiment, original.model, fused=False)
        for count in sorted({num_images, 1 if takes_fewer else num_images}):
            verify(before, exported, images, chosen, count)
        if dataset is not None:
            compare_accuracy(before, exported, dataset, max_ap_drop)
        written = list(zip(kind.files(partial), kind.files(out)))
        total = sum(file.stat().st_size for file, _ in written)
        for file, target in written:
            file.replace(target)
    print(f"wrote {out}: {total / 1e6:.0f} MB, {details.shape}")


def read_batch_size(text: str) -> tuple[int, bool]:
    """The largest number of images, and whether fewer will do: 8, or 1..8."""
    first, dots, last = text.partition("..")
    number = last if dots else first
    if not number.isdecimal() or int(number) < 1 or (dots and first != "1"):
        raise ConfigError(
            f"--batch-size {text}: is not a number of images, such as 8, nor up to a number of "
            "them, such as 1..8"
        )
    return int(number), bool(dots) and int(number) > 1


def verify(
    original: Predictor,
    exported: Predictor,
    images: Path | None,
    precision: str = "fp32",
    batch_size: int = 1,
) -> None:
    """Raises :class:`ExportError` where both do not detect the same, up to the rounding of the
    ``precision``; what int8 costs, only its accuracy tells. ``batch_size`` images are given to the
    exported one at a time."""
    from detzoo.export.verify import (
        LOW_IOU,
        LOW_PANOPTIC_DIFFERENCE,
        LOW_SCORE_DIFFERENCE,
        LOW_SHARE,
        MAX_BOX_DIFFERENCE,
        MAX_MASK_DIFFERENCE,
        MAX_PANOPTIC_DIFFERENCE,
        MAX_SCORE_DIFFERENCE,
        compare,
    )

    experiment = original.experiment
    pictures = _scenes() if images is None else _pictures(images, experiment, MOST_IMAGES)
    min_score = MIN_SCORE if precision == "fp32" else LOW_MIN_SCORE
    pictures = list(itertools.islice(itertools.cycle(pictures), max(batch_size, len(pictures))))
    difference = compare(original, exported, pictures, min_score, batch_size)
    how = f" in batches of {batch_size}" if batch_size > 1 else ""
    print(f"compared with the original{how}: {difference}")
    if not difference.compared:
        print("nothing was found in these images: give some with objects (--images)")
    if difference.left_out:
        print(
            f"in {difference.left_out} of these images there are more candidates than fit; "
            "a larger --max-candidates takes them all"
        )
    if precision == "fp32":
        is_same = difference.is_rounding(by_masks=experiment.model.masks_cover_input)
        rule = (
            f"{difference}; at most {MAX_SCORE_DIFFERENCE}, {MAX_BOX_DIFFERENCE} and "
            f"{MAX_MASK_DIFFERENCE:.0%} are rounding"
        )
        of_maps = MAX_PANOPTIC_DIFFERENCE
    else:
        share = f"{difference.near_share:.1%} of the detections have nearly the same score and box"
        print(share)
        is_same = precision == "int8" or difference.is_near
        rule = f"{share} (within {LOW_SCORE_DIFFERENCE}, IoU {LOW_IOU}); {LOW_SHARE:.0%} must"
        of_maps = LOW_PANOPTIC_DIFFERENCE
    if difference.panoptic is not None:
        rule += f"; at most {of_maps:.1%} of panoptic maps"
    if not is_same:
        raise ExportError(
            "the exported detector does not detect what the original does "
            f"({rule}). Nothing was written."
        )


def compare_accuracy(
    original: Predictor, exported: Predictor, dataset: DetectionDataset, max_drop: float
) -> None:
    """Prints the metrics of both, and raises :class:`ExportError` where more than ``max_drop``
    points of the main one are lost."""
    from detzoo.export.accuracy import accuracy

    before, after = (accuracy(one, dataset) for one in (original, exported))
    for name in before.values:
        if name.endswith("/AP") or name == before.main_name:
            print(f"{name}: {before[name]:.4f} before, {after[name]:.4f} after")
    drop = 100 * (before.main - after.main)
    if drop > max_drop:
        raise ExportError(
            f"{before.main_name} falls by {drop:.1f} points, more than --max-ap-drop {max_drop}. "
            "Nothing was written."
        )


def _pictures(images: Path, experiment: Experiment, most: int) -> list[np.ndarray]:
    from detzoo.inference.inputs import read_inputs

    read = read_inputs(images, experiment.model.input_pixels.channels, None)
    return [image for _, image in itertools.islice(read, most)]


def _scenes() -> list[np.ndarray]:
    import numpy as np

    from detzoo.quickstart.scenes import draw_scene

    rng = np.random.default_rng(0)
    return [draw_scene(rng, SCENE_SIZE)[0] for _ in range(NUM_SCENES)]
