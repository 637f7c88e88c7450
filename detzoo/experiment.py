"""What one named entry describes: a detector, its data handling and its training recipe."""

from __future__ import annotations

import dataclasses
from typing import Literal

from detzoo.config import ConfigError, config
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.data.dataset import DetectionDataset
from detzoo.data.sample import Transform
from detzoo.data.tta import TTA
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.devices import Precision
from detzoo.errors import DataError
from detzoo.optim.ema import EMA
from detzoo.optim.optimizers import SGD, OptimizerConfig
from detzoo.optim.schedules import Schedule

# COCO's, Pascal VOC's with the area under the curve or with eleven points, ...
Metric = Literal["coco", "lvis", "voc", "voc07", "cityscapes"]


def check_positive(value: object, *names: str) -> None:
    """Raises :class:`ConfigError` for a field that is not at least 1."""
    for name in names:
        if getattr(value, name) < 1:
            raise ConfigError(f"{name}: {getattr(value, name)} is not at least 1")


@config
class DataConfig:
    """How images reach the detector. The data set itself is given where a run starts."""

    train_transforms: tuple[Transform, ...]
    test_transforms: tuple[Transform, ...]
    images_per_device: int = 2
    workers: int = 2
    # Passes over the data that count as one epoch.
    repeats: int = 1
    # Whether training leaves out images without objects.
    skip_empty: bool = True
    # Images with a side under so many pixels are left out of training.
    min_image_size: int = 32
    # Objects with a side under so many pixels are ignored in training.
    min_object_size: float = 0.0
    # Images with a class that is in fewer than this part of them are repeated (LVIS's sampling).
    oversample_threshold: float | None = None
    # What a detector looks at: mirrored and scaled images beside the image itself.
    tta: TTA = TTA()
    # At most so many proposals per image, where they come from a file; None: all.
    train_proposals: int | None = None
    test_proposals: int | None = None
    # Whether training loads masks, and in which form: bitmaps, or polygons kept as such.
    masks: Literal["none", "bitmap", "polygon"] = "none"
    # Scales whole batches to changing sizes in training.
    batch_resize: RandomBatchResize | None = None
    # What is measured, and decides which checkpoint is best; None: what suits the data, COCO's
    # metrics, or those of LVIS where it is annotated like that.
    metric: Metric | None = None

    def __post_init__(self) -> None:
        check_positive(self, "images_per_device", "repeats")
        if self.oversample_threshold is not None and not 0 < self.oversample_threshold < 1:
            raise ConfigError(
                f"oversample_threshold: {self.oversample_threshold} is not a part of the images, "
                "between 0 and 1"
            )
        for name in ("train_proposals", "test_proposals"):
            if getattr(self, name) is not None:
                check_positive(self, name)


@config
class FinalEpochs:
    """What changes for the last ``epochs`` of a recipe: images are transformed by ``transforms``,
    heads that have an additional loss for them use it, evaluation comes ``evaluate_every`` epochs.
    """

    epochs: int
    transforms: tuple[Transform, ...]
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "evaluate_every")


@config
class Experiment:
    """One configuration, whole: nothing else is needed to train it on a data set."""

    model: DetectorConfig
    class_names: tuple[str, ...]
    data: DataConfig
    optimizer: OptimizerConfig = SGD(lr=0.02)
    schedule: Schedule = Schedule()
    # Images per step over all devices for which the learning rate was chosen.
    reference_batch: int = 16
    precision: Precision = "fp32"
    # Fixed scale of the loss in fp16; None adapts it.
    loss_scale: float | None = None
    max_gradient_norm: float | None = None
    # Batches whose gradients are summed into one step.
    accumulate: int = 1
    ema: EMA | None = None
    final: FinalEpochs | None = None
    # In units of the schedule: epochs, or iterations where it counts those.
    evaluate_every: int = 1
    checkpoint_every: int = 1
    # Name of the zoo entry whose published weights training starts from.
    initial_weights: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "reference_batch", "accumulate", "evaluate_every", "checkpoint_every")
        if self.final is not None and not self.schedule.counts_epochs:
            raise ConfigError("final: the schedule counts iterations, so there are no last epochs")

    @property
    def final_epoch(self) -> int | None:
        """The first of the final epochs, counted from 0; None where the recipe has none."""
        return None if self.final is None else max(self.schedule.length - self.final.epochs, 0)

    def stretched_to(self, length: int) -> Experiment:
        """The same course of training over another number of epochs (or iterations)."""
        final = self.final
        if final is not None:
            epochs = max(round(final.epochs * length / self.schedule.length), 1)
            final = dataclasses.replace(final, epochs=epochs)
        return dataclasses.replace(self, schedule=self.schedule.stretched_to(length), final=final)

    def check_needs(self, data: DetectionDataset, *, training: bool) -> None:
        """Raises :class:`DataError` where the data lacks what the detector needs beside images."""
        if self.model.needs_proposals and data.proposals is None:
            raise DataError(
                f"{data.source}: comes without proposals, and this model looks only at regions "
                "that are given. Add --proposals FILE: a .pkl of MMDetection, or what detzoo test "
                "with a region proposal network writes with --save-proposals FILE."
            )
        if training and self.model.needs_semantic_maps and data.semantic_dir is None:
            raise DataError(
                f"{data.source}: comes without semantic maps, and this model learns from them. Add "
                "--semantic-maps DIR: a folder with a gray PNG of classes for every image, such as "
                "train2017 of COCO's stuffthingmaps."
            )

    def build_model(self) -> Detector:
        """The detector for these classes, freshly initialized."""
        return self.model.build(len(self.class_names))
