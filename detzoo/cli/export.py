"""``detzoo export``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import Imports, check_source
from detzoo.errors import ConfigError, ExportError
from detzoo.files import check_output

if TYPE_CHECKING:
    import numpy as np

    from detzoo.inference.predictor import Predictor

# Between the exported detector and the original, at most: of scores, and of boxes in pixels.
MAX_SCORE_DIFFERENCE, MAX_BOX_DIFFERENCE = 1e-3, 0.1
# Detections of lower scores are not compared.
MIN_SCORE = 0.05
# Generated scenes to compare on, where no images are given.
NUM_SCENES, SCENE_SIZE = 8, 480
MOST_IMAGES = 16


def export(
    source: Annotated[
        str, typer.Argument(help="A checkpoint, or a model of the zoo (see detzoo models).")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write: model.onnx")
    ],
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="H W", help="Size of the input in pixels. Default: that of the recipe, padded."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 1,
    max_candidates: Annotated[
        int,
        typer.Option(
            min=1,
            help="Boxes that enter suppression, of an image or a pyramid level, where the recipe "
            "does not limit them.",
        ),
    ] = 1000,
    images: Annotated[
        Path | None,
        typer.Option(help="Image or folder to compare on. Default: generated scenes."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the model, where it is a name or a config file.")
    ] = None,
    imports: Imports = None,
) -> None:
    """Export a detector to ONNX, from normalized pixels to boxes, scores, labels and masks.

    The file is compared with the original before it takes its name. It holds class names, pixel
    normalization and settings: detzoo predict and detzoo test take it like a checkpoint.

    Examples:

      detzoo export runs/x-1/best.pt -o model.onnx

      detzoo export yolox_nano_8x8_300e_coco -o yolox.onnx --size 416 416 --images photos
    """
    if out.suffix != ".onnx":
        raise ConfigError(f"--out {out}: the name of an ONNX file ends in .onnx")
    check_output(out, "--out")
    check_source(source, weights)

    from detzoo.export.frame import default_size, framed
    from detzoo.export.onnx import export_onnx
    from detzoo.export.static import StaticDetector, require_static_form
    from detzoo.inference.exported import Details, open_onnx
    from detzoo.inference.loading import find_experiment, is_checkpoint_path, load
    from detzoo.inference.predictor import Predictor

    if not is_checkpoint_path(source):  # before its weights are downloaded
        require_static_form(find_experiment(source).model)
    original = load(source, weights, "cpu", "fp32", fused=False)
    height, width = size or default_size(original.experiment)
    experiment = framed(original.experiment, (height, width))
    detector = StaticDetector(original.model, max_candidates)
    details = Details(experiment, (height, width), batch_size, detector.mask_threshold)
    partial = out.with_name(f"{out.stem}.partial.onnx")
    try:
        export_onnx(detector, partial, details.size, batch_size, details.to_metadata())
        exported = Predictor(experiment, open_onnx(partial), fused=False)
        verify(Predictor(experiment, original.model, fused=False), exported, images)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    print(f"wrote {out}: {out.stat().st_size / 1e6:.0f} MB, {batch_size} x 3 x {height} x {width}")


def verify(original: Predictor, exported: Predictor, images: Path | None) -> None:
    """Raises :class:`ExportError` where both do not detect the same."""
    from detzoo.export.verify import compare
    from detzoo.inference.inputs import read_inputs

    channels = original.experiment.model.input_pixels.channels
    if images is None:
        pictures = _scenes()
    else:
        read = read_inputs(images, channels, None)
        pictures = [image for _, image in itertools.islice(read, MOST_IMAGES)]
    difference = compare(original, exported, pictures, MIN_SCORE)
    print(f"compared with the original: {difference}")
    if not difference.compared:
        print("nothing was found in these images: give some with objects (--images)")
    if difference.score > MAX_SCORE_DIFFERENCE or difference.box > MAX_BOX_DIFFERENCE:
        raise ExportError(
            f"the exported detector does not detect what the original does ({difference}; at most "
            f"{MAX_SCORE_DIFFERENCE} and {MAX_BOX_DIFFERENCE} are rounding). Nothing was written. "
            "If there are very many objects, give a larger --max-candidates."
        )


def _scenes() -> list[np.ndarray]:
    import numpy as np

    from detzoo.quickstart.scenes import draw_scene

    rng = np.random.default_rng(0)
    return [draw_scene(rng, SCENE_SIZE)[0] for _ in range(NUM_SCENES)]
