"""Experiments: a detector, its data handling and its training recipe."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from detzoo.config import (
    ConfigError,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    config,
)
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.data.dataset import DetectionDataset
from detzoo.data.sample import Transform
from detzoo.data.tta import TTA
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.devices import Precision
from detzoo.errors import DataError
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import OptimizerConfig, SGDConfig
from detzoo.optim.schedules import Schedule

# COCO's, Pascal VOC's with the area under the curve or with eleven points, ...
Metric = Literal["coco", "lvis", "voc", "voc07", "cityscapes"]


@config
class DataConfig:
    """How images are loaded, transformed and evaluated. The data set itself is given at run time.

    Args:
        train_transforms: Transforms of training images, in order.
        test_transforms: Transforms of images in evaluation and inference, in order.
        images_per_device: Batch size per device (per process).
        workers: Number of worker processes that load images, per device; 0: the process itself.
        repeats: Passes over the data that count as one epoch.
        skip_empty: Whether training leaves out images without objects.
        min_image_size: Minimum side in pixels of the images used in training.
        min_object_size: Objects with a shorter side, in pixels, are ignored in training.
        oversample_threshold: Images with a class that is in a smaller fraction of the images are
            repeated (repeat factor sampling, LVIS); None: none are.
        balance_classes: Whether an epoch has images of every class equally often (class-aware
            sampling), in place of every image once.
        tta: Test-time augmentation.
        train_proposals: How many proposals per image from a file are used in training; None: all.
        test_proposals: How many proposals per image from a file are used in testing; None: all.
        masks: Whether training loads masks, and how they are kept: as bitmaps or as polygons.
        batch_resize: Multi-scale training by resizing batches; None: batches are not resized.
        metric: The metrics, which decide which checkpoint is best; None: those of LVIS if the data
            has its annotations, otherwise COCO's.
    """

    train_transforms: tuple[Transform, ...]
    test_transforms: tuple[Transform, ...]
    images_per_device: PositiveInt = 2
    workers: NonNegativeInt = 2
    repeats: PositiveInt = 1
    skip_empty: bool = True
    min_image_size: PositiveInt = 32
    min_object_size: NonNegativeFloat = 0.0
    oversample_threshold: Annotated[float, Range(0, 1, above=True, below=True)] | None = None
    balance_classes: bool = False
    tta: TTA = TTA()
    train_proposals: PositiveInt | None = None
    test_proposals: PositiveInt | None = None
    masks: Literal["none", "bitmap", "polygon"] = "none"
    batch_resize: RandomBatchResize | None = None
    metric: Metric | None = None

    def __post_init__(self) -> None:
        if self.balance_classes and self.oversample_threshold is not None:
            raise ConfigError(
                "balance_classes, oversample_threshold: both say how often images occur; give one"
            )


@config
class FinalEpochs:
    """What changes for the last epochs of training; heads may add a loss in them as well.

    Args:
        epochs: Number of final epochs.
        transforms: Transforms of training images, in place of ``train_transforms``.
        evaluate_every: Epochs between evaluations.
    """

    epochs: PositiveInt
    transforms: tuple[Transform, ...]
    evaluate_every: PositiveInt = 1


@config
class Experiment:
    """All that is needed to train and evaluate a detector, given a data set.

    Args:
        model: The detector.
        class_names: Names of the classes, in the order of the labels.
        data: How images are loaded, transformed and evaluated.
        optimizer: The optimizer, with the learning rate and the weight decay.
        schedule: Length of training, and the learning rate over it.
        reference_batch: Images per step over all devices at which the learning rate holds as given;
            it is scaled to those of a run. None: it holds for any number.
        precision: Precision of training: float32, or mixed with bfloat16 or float16.
        loss_scale: Fixed loss scale in fp16; None: dynamic.
        max_gradient_norm: Gradients are clipped to this norm; None: no clipping.
        accumulate: Batches whose gradients are accumulated for each step.
        ema: Exponential moving average of the weights; None: none.
        final: What changes for the last epochs; None: nothing.
        evaluate_every: Epochs (or iterations, if the schedule counts them) between evaluations.
        checkpoint_every: Epochs (or iterations) between checkpoints.
        initial_weights: What training starts from: a zoo entry, whose published weights are taken,
            or the path or address of a file; None: the backbone's weights alone.
        seed: Seed of all randomness in training.
    """

    model: DetectorConfig
    class_names: tuple[str, ...]
    data: DataConfig
    optimizer: OptimizerConfig = SGDConfig(lr=0.02)
    schedule: Schedule = Schedule()
    reference_batch: PositiveInt | None = 16
    precision: Precision = "fp32"
    loss_scale: PositiveFloat | None = None
    max_gradient_norm: PositiveFloat | None = None
    accumulate: PositiveInt = 1
    ema: EMAConfig | None = None
    final: FinalEpochs | None = None
    evaluate_every: PositiveInt = 1
    checkpoint_every: PositiveInt = 1
    initial_weights: str | None = None
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0

    def __post_init__(self) -> None:
        if self.final is not None and not self.schedule.counts_epochs:
            raise ConfigError("final: the schedule counts iterations, so there are no last epochs")

    @property
    def final_epoch(self) -> int | None:
        """The first of the final epochs, counted from 0; None if there are none."""
        return None if self.final is None else max(self.schedule.length - self.final.epochs, 0)

    def stretched_to(self, length: int) -> Experiment:
        """The same recipe over another number of epochs (or iterations)."""
        final = self.final
        if final is not None:
            epochs = max(round(final.epochs * length / self.schedule.length), 1)
            final = dataclasses.replace(final, epochs=epochs)
        return dataclasses.replace(self, schedule=self.schedule.stretched_to(length), final=final)

    def check_needs(self, data: DetectionDataset, *, training: bool) -> None:
        """Raises :class:`DataError` if the data lacks proposals or semantic maps it needs."""
        if self.model.needs_proposals and data.proposals is None:
            raise DataError(
                f"{data.source}: has no proposals, and this model only classifies given "
                "regions. Add --proposals FILE: a .pkl of MMDetection, or what detzoo test "
                "with a region proposal network writes with --save-proposals FILE."
            )
        if training and self.model.needs_semantic_maps and data.semantic_dir is None:
            raise DataError(
                f"{data.source}: has no semantic maps, and this model is trained on them. Add "
                "--semantic-maps DIR: a folder with a gray PNG of classes for every image, such as "
                "train2017 of COCO's stuffthingmaps."
            )

    def build_model(self) -> Detector:
        """The detector for these classes, newly initialized."""
        return self.model.build(len(self.class_names))
