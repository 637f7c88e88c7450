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
from detzoo.data.image_size import resized
from detzoo.data.sample import Transform
from detzoo.data.tta import TTA
from detzoo.detectors.base import Detector, DetectorConfig, PanopticConfig
from detzoo.detectors.receptive_fields import ReceptiveFields
from detzoo.devices import Precision
from detzoo.errors import DataError
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import OptimizerConfig, SGDConfig
from detzoo.optim.schedules import Schedule

# "voc" uses the area under the curve, "voc07" eleven points.
Metric = Literal["coco", "lvis", "openimages", "voc", "voc07", "cityscapes", "panoptic"]


@config
class DataConfig:
    """Configuration of loading, transforms and evaluation. The data set itself is given at run
    time.

    Args:
        train_transforms: Transforms of training images, in order.
        test_transforms: Transforms of images in evaluation and inference, in order.
        images_per_device: Batch size per device (per process).
        workers: Number of worker processes that load images, per device; 0: load in the main
            process.
        repeats: Passes over the data that count as one epoch.
        skip_empty: Whether training leaves out images without objects.
        min_image_size: Minimum side in pixels of the images used in training.
        min_object_size: Objects with a shorter side, in pixels, are ignored in training.
        learn_crowds: Whether training takes a crowd, a group of objects in one box, for an object
            like others, as MMDetection does on Open Images; otherwise it is ignored.
        oversample_threshold: Images with a class that is in a smaller fraction of the images are
            repeated (repeat factor sampling, LVIS); None: none are.
        balance_classes: Whether an epoch has images of every class equally often (class-aware
            sampling), in place of every image once.
        tta: Test-time augmentation.
        train_proposals: Number of precomputed proposals per image used in training; None: all.
        test_proposals: Number of precomputed proposals per image used in testing; None: all.
        masks: Whether training loads masks, and how they are kept: as bitmaps or as polygons.
        batch_resize: Multi-scale training by resizing batches; None: batches are not resized.
        metric: The metrics, which also determine the best checkpoint; None: panoptic quality for a
            panoptic model, LVIS's or Open Images' if the data has their annotations, otherwise
            COCO's.
    """

    train_transforms: tuple[Transform, ...]
    test_transforms: tuple[Transform, ...]
    images_per_device: PositiveInt = 2
    workers: NonNegativeInt = 2
    repeats: PositiveInt = 1
    skip_empty: bool = True
    min_image_size: PositiveInt = 32
    min_object_size: NonNegativeFloat = 0.0
    learn_crowds: bool = False
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

    def with_image_size(self, size: tuple[int, int]) -> DataConfig:
        """For test images of ``size`` (width, height), and training images to match: see
        :func:`resized`.
        """
        if self.batch_resize is not None:
            raise ConfigError(
                "this recipe also resizes batches; change data.batch_resize and the sizes of its "
                "transforms with --set"
            )
        train, test = resized(self.train_transforms, self.test_transforms, size)
        return dataclasses.replace(self, train_transforms=train, test_transforms=test)


@config
class FinalEpochs:
    """Changes for the final epochs of training; heads may also add a loss in them.

    Args:
        epochs: Number of final epochs.
        transforms: Transforms of training images, replacing ``train_transforms``.
        evaluate_every: Epochs between evaluations.
    """

    epochs: PositiveInt
    transforms: tuple[Transform, ...]
    evaluate_every: PositiveInt = 1


@config
class Experiment:
    """Everything needed to train and evaluate a detector, given a data set.

    Args:
        model: The detector.
        class_names: Names of the classes, in the order of the labels.
        data: How images are loaded, transformed and evaluated.
        optimizer: The optimizer, with the learning rate and the weight decay.
        schedule: Length of training, and the schedules of the learning rate and the momentum.
        reference_batch: Total batch size over all devices that the learning rate is given for; it
            is scaled to the batch size of a run. None: no scaling.
        precision: Precision of training: float32, or mixed precision with bfloat16 or float16.
        loss_scale: Fixed loss scale in fp16; None: dynamic.
        max_gradient_norm: Gradients are clipped to this norm; None: no clipping.
        gradient_norm_order: Order of that norm, 2 of the Euclidean one; None: the largest value.
        accumulate: Number of batches whose gradients are accumulated for each step.
        ema: Exponential moving average of the weights; None: no average.
        final: Changes for the final epochs; None: no changes.
        evaluate_every: Epochs (or iterations, if the schedule counts them) between evaluations.
        checkpoint_every: Epochs (or iterations) between checkpoints.
        initial_weights: Weights that training starts from: a zoo entry (its published weights), or
            the path or address of a file; None: the backbone's pretrained weights only.
        seed: Random seed of training.
        stuff_names: Names of the classes without instances (grass, sky) that a panoptic model
            segments; their labels follow those of ``class_names``, the things.
        receptive_fields: Dilations of the model's convolutions, or a search for them; None: those
            of the model.
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
    gradient_norm_order: PositiveFloat | None = 2.0
    accumulate: PositiveInt = 1
    ema: EMAConfig | None = None
    final: FinalEpochs | None = None
    evaluate_every: PositiveInt = 1
    checkpoint_every: PositiveInt = 1
    initial_weights: str | None = None
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    stuff_names: tuple[str, ...] = ()
    receptive_fields: ReceptiveFields | None = None

    def __post_init__(self) -> None:
        if self.final is not None and not self.schedule.counts_epochs:
            raise ConfigError("final: the schedule counts iterations, so there are no final epochs")
        if self.schedule.momentum is not None and self.optimizer.scheduled_momentum is None:
            raise ConfigError("schedule.momentum: this optimizer has no momentum to change")

    @property
    def final_epoch(self) -> int | None:
        """The first of the final epochs, counted from 0; None if there are none."""
        return None if self.final is None else max(self.schedule.length - self.final.epochs, 0)

    def stretched_to(self, length: int) -> Experiment:
        """Returns the same recipe scaled to another number of epochs (or iterations)."""
        final = self.final
        if final is not None:
            epochs = max(round(final.epochs * length / self.schedule.length), 1)
            final = dataclasses.replace(final, epochs=epochs)
        return dataclasses.replace(self, schedule=self.schedule.stretched_to(length), final=final)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of things, then those of stuff, as the labels of a panoptic model go."""
        return (*self.class_names, *self.stuff_names)

    @property
    def panoptic_stuff(self) -> tuple[str, ...] | None:
        """The stuff that the model segments; None if it only finds objects."""
        return self.stuff_names if self.model.predicts_panoptic else None

    def for_data(self, data: DetectionDataset) -> Experiment:
        """The same for the classes of ``data``."""
        stuff = data.stuff_names if self.model.predicts_panoptic else ()
        return dataclasses.replace(self, class_names=data.class_names, stuff_names=stuff)

    def with_all_names(self, names: tuple[str, ...], num_stuff: int | None = None) -> Experiment:
        """The same with other names for its things and then for its stuff, of which there are
        ``num_stuff`` classes; None: as many as before."""
        things = max(len(names) - (len(self.stuff_names) if num_stuff is None else num_stuff), 0)
        return dataclasses.replace(self, class_names=names[:things], stuff_names=names[things:])

    def check_needs(self, data: DetectionDataset, *, training: bool) -> None:
        """Raises :class:`DataError` if the data lacks required proposals or maps."""
        if self.model.needs_proposals and data.proposals is None:
            raise DataError(
                f"{data.source}: has no proposals, and this model only classifies given "
                "regions. Add --proposals FILE: a .pkl from MMDetection, or what detzoo test "
                "with a region proposal network writes with --save-proposals FILE."
            )
        if training and self.model.predicts_panoptic and not data.stuff_names:
            raise DataError(
                f"{data.source}: has no panoptic maps with classes of stuff, and this model is "
                "trained on them. Give panoptic annotations in COCO's format: a JSON file with "
                "segments_info, and a folder of PNG files that is called like it."
            )
        is_trained_on_maps = training and self.model.needs_semantic_maps
        if is_trained_on_maps and not self.model.predicts_panoptic and data.semantic_dir is None:
            raise DataError(
                f"{data.source}: has no semantic maps, and this model is trained on them. Add "
                "--semantic-maps DIR: a folder with a grayscale PNG of classes per image, such as "
                "train2017 of COCO's stuffthingmaps."
            )

    def build_model(self) -> Detector:
        """Builds the detector for these classes, with initial weights."""
        if isinstance(self.model, PanopticConfig):
            detector = self.model.build(len(self.class_names), len(self.stuff_names))
        else:
            detector = self.model.build(len(self.class_names))
        if self.receptive_fields is not None:
            self.receptive_fields.arrange(detector)
        return detector
