"""``detzoo export``."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detzoo.cli.common import Imports, check_source
from detzoo.errors import ExportError
from detzoo.files import check_output

if TYPE_CHECKING:
    import numpy as np

    from detzoo.inference.predictor import Predictor

# Between the exported detector and the original, at most: of scores, of boxes in pixels, and of
# masks as a fraction of their pixels.
MAX_SCORE_DIFFERENCE, MAX_BOX_DIFFERENCE, MAX_MASK_DIFFERENCE = 1e-3, 0.1, 0.05
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
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 1,
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
    images: Annotated[
        Path | None,
        typer.Option(help="Image or folder to compare on. Default: generated scenes."),
    ] = None,
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

    from detzoo.export.formats import find_format
    from detzoo.export.frame import check_size, default_size, framed, largest_size, smallest_size
    from detzoo.export.program import capture
    from detzoo.export.static import StaticDetector, require_static_form
    from detzoo.inference.exported import Details
    from detzoo.inference.loading import find_experiment, is_checkpoint_path, load
    from detzoo.inference.predictor import Predictor
    from detzoo.inference.runtimes import open_exported

    kind = find_format(format, out)
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
        batch_size,
        smallest=smallest_size(size) if dynamic else None,
        masks=detector.mask_kind,
        mask_threshold=detector.mask_threshold,
    )
    program = capture(detector, details)
    # Beside the target, whose place it takes at last.
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as folder:
        partial = Path(folder) / out.name
        kind.write(program, partial, details.to_metadata())
        exported = Predictor(experiment, open_exported(partial, trust=True), fused=False)
        verify(Predictor(experiment, original.model, fused=False), exported, images)
        written = list(zip(kind.files(partial), kind.files(out)))
        total = sum(file.stat().st_size for file, _ in written)
        for file, target in written:
            file.replace(target)
    print(f"wrote {out}: {total / 1e6:.0f} MB, {details.shape}")


def verify(original: Predictor, exported: Predictor, images: Path | None) -> None:
    """Raises :class:`ExportError` where both do not detect the same."""
    from detzoo.export.verify import compare
    from detzoo.inference.inputs import read_inputs

    config = original.experiment.model
    if images is None:
        pictures = _scenes()
    else:
        read = read_inputs(images, config.input_pixels.channels, None)
        pictures = [image for _, image in itertools.islice(read, MOST_IMAGES)]
    difference = compare(original, exported, pictures, MIN_SCORE)
    print(f"compared with the original: {difference}")
    if not difference.compared:
        print("nothing was found in these images: give some with objects (--images)")
    if difference.left_out:
        print(
            f"in {difference.left_out} of these images there are more candidates than fit; "
            "a larger --max-candidates takes them all"
        )
    # Boxes around masks are whole pixels: the masks tell more.
    box = 0.0 if config.masks_cover_input else difference.box
    if (
        difference.score > MAX_SCORE_DIFFERENCE
        or box > MAX_BOX_DIFFERENCE
        or (difference.mask or 0.0) > MAX_MASK_DIFFERENCE
    ):
        raise ExportError(
            f"the exported detector does not detect what the original does ({difference}; at most "
            f"{MAX_SCORE_DIFFERENCE}, {MAX_BOX_DIFFERENCE} and {MAX_MASK_DIFFERENCE:.0%} are "
            "rounding). Nothing was written."
        )


def _scenes() -> list[np.ndarray]:
    import numpy as np

    from detzoo.quickstart.scenes import draw_scene

    rng = np.random.default_rng(0)
    return [draw_scene(rng, SCENE_SIZE)[0] for _ in range(NUM_SCENES)]
