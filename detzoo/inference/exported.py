"""Exported detectors, run by another runtime and used like any other detector."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import detzoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import from_dict, to_dict
from detzoo.detectors.base import Detector
from detzoo.errors import CheckpointError, ConfigError
from detzoo.experiment import Experiment
from detzoo.structures import Batch, Detections, ImageBatch, RoIMasks, Targets
from detzoo.structures.images import Size

# The metadata key that detzoo reads; the others are for programs without detzoo.
_KEY = "detzoo"

# File extension.
EXPORTED = ".onnx"

# (pixels (B, 3, H, W), sizes (B, 2)) -> boxes, scores, labels, num and optionally masks.
Run = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Details:
    """What an exported file records about its detector: ``experiment``, and the input shape.

    ``mask_threshold`` is the probability above which a pixel belongs to an object.
    """

    experiment: Experiment
    size: Size
    batch_size: int
    mask_threshold: float | None = None

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
            "mask_threshold": self.mask_threshold,
        }
        return {
            "class_names": json.dumps(names),
            "pixel_mean": json.dumps(pixels.mean),
            "pixel_std": json.dumps(pixels.std),
            "channel_order": pixels.order,
            "padding": json.dumps(pixels.padding),
            "keep_ratio": json.dumps(keeps_ratio(experiment)),
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
            experiment = from_dict(own["experiment"], config_classes())
        except ConfigError as error:
            raise CheckpointError(
                f"{file}: was exported by detzoo {own.get('version')}, and this is "
                f"{detzoo.__version__}: {error}. Export it again."
            ) from None
        height, width = own["size"]
        return cls(experiment, (height, width), own["batch_size"], own["mask_threshold"])


def keeps_ratio(experiment: Experiment) -> bool:
    """Whether the recipe resizes images without changing their aspect ratio."""
    return all(getattr(step, "keep_ratio", True) for step in experiment.data.test_transforms)


class ExportedDetector(Detector):
    """A detector without modules that another runtime executes in ``run``; it cannot be trained."""

    def __init__(self, run: Run, details: Details) -> None:
        nn.Module.__init__(self)  # there are no modules
        self.details = details
        self.config = details.experiment.model
        self._normalize_by(self.config.input_pixels)
        self._run = run

    def preprocess(self, batch: Batch) -> ImageBatch:
        """Normalized pixels, padded to the size of the file's input."""
        images = super().preprocess(batch)
        height, width = self.details.size
        if images.pixels.shape[2] > height or images.pixels.shape[3] > width:
            raise ConfigError(
                f"an image of {images.pixels.shape[2]} x {images.pixels.shape[3]} pixels (height x "
                f"width) does not fit into the {height} x {width} that this file was exported for"
            )
        padded = images.pixels.new_zeros((len(images), images.pixels.shape[1], height, width))
        padded[:, :, : images.pixels.shape[2], : images.pixels.shape[3]] = images.pixels
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
        missing = self.details.batch_size - len(pixels)
        if missing:  # the file requires full batches
            pixels = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
            sizes = torch.cat([sizes, sizes[-1:].expand(missing, -1)])
        outputs = self._run(pixels.contiguous().numpy(), sizes.numpy())
        boxes, scores, labels, num, *masks = (torch.from_numpy(values) for values in outputs)
        threshold = self.details.mask_threshold or 0.5
        return [
            Detections(
                boxes[image, :count],
                scores[image, :count],
                labels[image, :count],
                RoIMasks(masks[0][image, :count], threshold) if masks else None,
            )
            for image, count in enumerate(num[: len(num) - missing].tolist())
        ]

    def detect_augmented(self, augmented: Sequence[ImageBatch]) -> list[Detections]:
        raise ConfigError("an exported detector has no test-time augmentation")

    def losses(self, *_: object) -> Mapping[str, Tensor]:
        raise NotImplementedError("an exported detector has no intermediate steps")

    def detect(self, *_: object) -> list[Detections]:
        raise NotImplementedError("an exported detector has no intermediate steps")


def open_onnx(file: Path, threads: int | None = None) -> ExportedDetector:
    """The detector in an ONNX file, run by ONNX Runtime on the CPU.

    ``threads`` None uses as many as PyTorch. Raises :class:`ConfigError` if ONNX Runtime is not
    installed, and :class:`CheckpointError` for a file that it cannot open.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(
            f"{file}: ONNX Runtime is not installed: pip install detzoo[onnx]"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; check the path")
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime has its own classes, one per kind
        raise CheckpointError(f"{file}: ONNX Runtime cannot open it: {error}") from None
    metadata = session.get_modelmeta().custom_metadata_map

    def run(pixels: np.ndarray, sizes: np.ndarray) -> Sequence[np.ndarray]:
        inputs = {"pixels": pixels, "sizes": sizes}
        return session.run(None, {one.name: inputs[one.name] for one in session.get_inputs()})

    return ExportedDetector(run, Details.of(metadata, file))
