"""Exported detectors, run by another runtime and used like any other detector."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import detzoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import from_dict, to_dict
from detzoo.data.transforms.fit import FitInside
from detzoo.data.transforms.resize import Resize
from detzoo.detectors.base import Detector, PanopticConfig
from detzoo.errors import CheckpointError, ConfigError
from detzoo.experiment import Experiment
from detzoo.structures import (
    Batch,
    Detections,
    ImageBatch,
    ImageMasks,
    Masks,
    PanopticPrediction,
    RoIMasks,
    Targets,
)
from detzoo.structures.images import Size

# The metadata key that detzoo reads; the others are for programs without detzoo.
_KEY = "detzoo"

# How the files end: ONNX, OpenVINO, PyTorch.
EXPORTED = (".onnx", ".xml", ".pt2")

# The sides of inputs of files for a range of sizes are multiples of it: what the strides of nearly
# all detectors divide.
DIVISOR = 32

# What files return, in this order; masks only of detectors that predict some, and segments of
# panoptic ones, which have masks, too.
SEGMENTS = ("segments", "segment_scores", "segment_labels")
OUTPUTS = ("boxes", "scores", "labels", "num", "left_out", "masks", *SEGMENTS)

MaskKind = Literal["boxes", "input", "drawn"]
ExportPrecision = Literal["fp32", "fp16", "bf16", "int8"]

# From pixels (B, 3, H, W) and sizes (B, 2) to the OUTPUTS.
Run = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Details:
    """What an exported file records about its detector: ``experiment``, and the input shape.

    With ``smallest``, inputs have any size from that to ``size``, in steps of 32 pixels; with
    ``takes_fewer``, a batch has any number of images up to ``batch_size``.

    ``masks`` says what its masks are: probabilities in the ``boxes``, or over the whole ``input``
    (there also logits, with a threshold of 0), which ``mask_threshold`` makes masks of, or
    ``drawn`` into the input; None: there are none.
    """

    experiment: Experiment
    size: Size
    batch_size: int = 1
    precision: ExportPrecision = "fp32"
    smallest: Size | None = None
    masks: MaskKind | None = None
    mask_threshold: float | None = None
    takes_fewer: bool = False

    @property
    def shape(self) -> str:
        """The shape of the input, for people."""
        channels = self.experiment.model.input_pixels.channels
        height, width = (
            str(high) if low is None else f"{low}..{high}"
            for low, high in zip(self.smallest or (None, None), self.size)
        )
        count = f"1..{self.batch_size}" if self.takes_fewer else str(self.batch_size)
        return f"{count} x {channels} x {height} x {width}"

    def to_metadata(self) -> dict[str, str]:
        """Metadata strings for the file; all but the last are for programs without detzoo."""
        experiment = self.experiment
        pixels = experiment.model.input_pixels
        names = ("object",) if experiment.model.is_class_agnostic else experiment.class_names
        own = {
            "version": detzoo.__version__,
            "experiment": to_dict(experiment),
            "size": self.size,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "smallest": self.smallest,
            "masks": self.masks,
            "mask_threshold": self.mask_threshold,
            "takes_fewer": self.takes_fewer,
            "outputs": OUTPUTS,
        }
        return {
            "class_names": json.dumps(names),
            "pixel_mean": json.dumps(pixels.mean),
            "pixel_std": json.dumps(pixels.std),
            "channel_order": pixels.order,
            "padding": json.dumps(pixels.padding),
            "keep_ratio": json.dumps(keeps_ratio(experiment)),
            "frames": json.dumps(_frames(experiment, self.size)),
            "smallest": json.dumps(self.smallest),
            "largest": json.dumps(self.size),
            "masks": json.dumps(self.masks),
            "mask_threshold": json.dumps(self.mask_threshold),
            _KEY: json.dumps(own),
        }

    @classmethod
    def of(cls, metadata: dict[str, str], file: Path) -> Details:
        """Reads metadata. Raises :class:`CheckpointError` if this or an older detzoo did not write
        it.
        """
        if _KEY not in metadata:
            raise CheckpointError(f"{file}: was not exported by detzoo, or has lost its metadata.")
        own: dict[str, Any] = json.loads(metadata[_KEY])
        try:
            outputs = tuple(own.get("outputs", ()))
            if not outputs or outputs != OUTPUTS[: len(outputs)]:  # older files have fewer
                raise ConfigError("its outputs are others")
            experiment = from_dict(own["experiment"], config_classes())
        except ConfigError as error:
            raise CheckpointError(
                f"{file}: was exported by another version, detzoo {own.get('version')}, and this "
                f"is {detzoo.__version__}: {error}. Export it again."
            ) from None
        smallest = own["smallest"]
        return cls(
            experiment,
            _size(own["size"]),
            own["batch_size"],
            own["precision"],
            None if smallest is None else _size(smallest),
            own["masks"],
            own["mask_threshold"],
            own.get("takes_fewer", False),
        )

    def input_size(self, size: Size) -> Size:
        """The size of the input for an image of ``size`` (height, width)."""
        if self.smallest is None:
            return self.size
        height, width = (
            max(math.ceil(side / DIVISOR) * DIVISOR, low) for side, low in zip(size, self.smallest)
        )
        return height, width


def _size(sides: Sequence[int]) -> Size:
    height, width = sides
    return height, width


def keeps_ratio(experiment: Experiment) -> bool:
    """Whether the recipe resizes images without changing their aspect ratio."""
    return all(getattr(step, "keep_ratio", True) for step in experiment.data.test_transforms)


def _frames(experiment: Experiment, size: Size) -> tuple[Size, Size]:
    """What images in landscape and in portrait format are resized to fit into: (height, width)."""
    steps = experiment.data.test_transforms
    resize = next((step for step in steps if isinstance(step, Resize)), None)
    if resize is None:
        return size, size
    width, height = resize.sizes[0]
    if isinstance(resize, FitInside) or not resize.keep_ratio:
        return (height, width), (height, width)
    short, long = sorted((height, width))
    return (short, long), (long, short)


class ExportedDetector(Detector):
    """A detector that another runtime runs by ``run``: without modules, and not to be trained.

    ``num_overflowing`` is how many images had more candidates than fit.
    """

    def __init__(self, run: Run, details: Details) -> None:
        nn.Module.__init__(self)  # there is nothing to build
        self._counts: Counter[str] = Counter()  # shared with copies
        self.details = details
        self.config = details.experiment.model
        self._normalize_by(self.config.input_pixels)
        self.run = run

    @property
    def num_overflowing(self) -> int:
        return self._counts["overflowing"]

    def preprocess(self, batch: Batch) -> ImageBatch:
        """Normalized pixels, padded to the size of the file's input."""
        images = super().preprocess(batch)
        own = images.pixels.shape[2], images.pixels.shape[3]
        height, width = self.details.input_size(own)
        largest = self.details.size
        if max(own[0], height) > largest[0] or max(own[1], width) > largest[1]:
            raise ConfigError(
                f"an image of {own[0]} x {own[1]} pixels (height x width) does not fit into the "
                f"{largest[0]} x {largest[1]} that this file was exported for"
            )
        padded = images.pixels.new_zeros((len(images), images.pixels.shape[1], height, width))
        padded[:, :, : own[0], : own[1]] = images.pixels
        return dataclasses.replace(images, pixels=padded)

    def forward(
        self, images: ImageBatch, targets: Sequence[Targets] | None = None
    ) -> list[Detections]:
        """The detections of each image, in input pixels."""
        if targets is not None:
            raise ConfigError("an exported detector cannot be trained: train its checkpoint")
        found = []
        sizes = torch.tensor([info.size for info in images.infos])
        for start in range(0, len(images), self.details.batch_size):
            part = slice(start, start + self.details.batch_size)
            found += self._run_batch(images.pixels[part], sizes[part])
        return found

    def _run_batch(self, pixels: Tensor, sizes: Tensor) -> list[Detections]:
        missing = 0 if self.details.takes_fewer else self.details.batch_size - len(pixels)
        if missing:  # the file requires full batches
            pixels = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
            sizes = torch.cat([sizes, sizes[-1:].expand(missing, -1)])
        outputs = self.run(pixels.contiguous().numpy(), sizes.numpy())
        boxes, scores, labels, num, left_out, *more = map(torch.from_numpy, outputs)
        masks, segments = more[:1], more[1:]
        present, size = len(num) - missing, (pixels.shape[2], pixels.shape[3])
        self._counts["overflowing"] += int((left_out[:present] > 0).sum())
        return [
            Detections(
                boxes[image, :count],
                scores[image, :count],
                labels[image, :count],
                self._masks(masks[0][image, :count], size) if masks else None,
                panoptic=self._segments([one[image] for one in segments], size),
            )
            for image, count in enumerate(num[:present].tolist())
        ]

    def _masks(self, values: Tensor, size: Size) -> Masks:
        threshold = self.details.mask_threshold
        assert threshold is not None, "an exported detector with masks says what they begin at"
        if self.details.masks == "boxes":
            return RoIMasks(values, threshold)
        if self.details.masks == "input":
            return ImageMasks(values, size, threshold)
        return ImageMasks(values.float(), size, bounds=self.config.masks_cover_input)

    def _segments(self, tensors: Sequence[Tensor], size: Size) -> PanopticPrediction | None:
        if not self.config.predicts_panoptic:
            return None
        assert isinstance(self.config, PanopticConfig), "only these predict panoptic maps"
        return self.config.segments_of(tensors, size, len(self.details.experiment.class_names))

    def detect_augmented(self, augmented: Sequence[ImageBatch]) -> list[Detections]:
        raise ConfigError("an exported detector has no test-time augmentation")

    def losses(self, *_: object) -> Mapping[str, Tensor]:
        raise NotImplementedError("an exported detector has no intermediate steps")

    def detect(self, *_: object) -> list[Detections]:
        raise NotImplementedError("an exported detector shows no steps of its own")
