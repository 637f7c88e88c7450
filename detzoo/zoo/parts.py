"""Parts shared by the families: backbones with their weights, input sizes, the usual recipe."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict, Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.transforms import Flip, Pad, Resize
from detzoo.detectors.base import DetectorConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.layers.norm import BatchNormConfig
from detzoo.optim.optimizers import OptimizerConfig, SGDConfig
from detzoo.optim.schedules import Schedule, epochs, iterations
from detzoo.zoo import classes

Depth = Literal[18, 34, 50, 101, 152]

# Statistics are those of the pretrained weights; weight and bias are trained.
FIXED = BatchNormConfig(fixed_statistics=True)
# Nothing is trained.
FROZEN = BatchNormConfig(fixed_statistics=True, trainable=False)

# Input sizes as maximum (longer side, shorter side).
FULL = ((1333, 800),)
# One of six sizes, or any between the two: see ``Recipe.size_mode``.
SIX_SIZES = tuple((1333, short) for short in (640, 672, 704, 736, 768, 800))
RANGE_640_800 = ((1333, 640), (1333, 800))

EPOCHS_24_CAFFE = epochs(24, milestones=(16, 23))
EPOCHS_36_CAFFE = epochs(36, milestones=(28, 34))


def resnet(depth: Depth = 50) -> ResNetConfig:
    """ResNet with torchvision's weights."""
    return ResNetConfig(depth=depth, pretrained="torchvision://{architecture}", norm=FIXED)


def caffe_resnet(depth: Depth = 50) -> ResNetConfig:
    """ResNet with weights converted from Caffe."""
    return ResNetConfig(
        depth=depth,
        style="caffe",
        pretrained="open-mmlab://detectron2/{architecture}_caffe",
        norm=FROZEN,
    )


def detectron_resnet(depth: Depth = 50) -> ResNetConfig:
    """ResNet with Caffe's weights as converted by the first Detectron."""
    return ResNetConfig(
        depth=depth,
        style="caffe",
        pretrained="open-mmlab://detectron/{architecture}_caffe",
        norm=FROZEN,
    )


def resnext(groups: int, width_per_group: int) -> ResNetConfig:
    """ResNeXt-101."""
    return ResNetConfig(
        depth=101,
        groups=groups,
        width_per_group=width_per_group,
        pretrained="open-mmlab://{architecture}",
        norm=FIXED,
    )


def caffe2_resnext_32x8d() -> ResNetConfig:
    """ResNeXt-101-32x8d with weights trained in Caffe2."""
    return ResNetConfig(
        depth=101,
        groups=32,
        width_per_group=8,
        pretrained="open-mmlab://detectron2/{architecture}",
        norm=FROZEN,
    )


class Recipe(TypedDict, total=False):
    """Variable settings of training and inference, apart from the model; see :func:`experiment`."""

    class_names: tuple[str, ...]
    stuff_names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    size_mode: Literal["value", "range"]
    repeats: int
    images_per_device: int
    workers: int
    pad_divisor: int
    masks: Literal["none", "bitmap", "polygon"]
    optimizer: OptimizerConfig
    schedule: Schedule
    reference_batch: int
    precision: Literal["fp32", "bf16", "fp16"]
    loss_scale: float | None
    max_gradient_norm: float | None
    evaluate_every: int
    checkpoint_every: int
    initial_weights: str | None


class SizeRange(TypedDict):
    """The settings shared by the published "3x" schedules with a size range."""

    sizes: tuple[tuple[int, int], ...]
    size_mode: Literal["value", "range"]
    repeats: int
    schedule: Schedule


class Iterations(TypedDict):
    """The settings shared by schedules in iterations."""

    schedule: Schedule
    evaluate_every: int
    checkpoint_every: int


# Any size between the two, three passes over the data in each of 12 epochs.
RANGE_3X: SizeRange = {
    "sizes": RANGE_640_800,
    "size_mode": "range",
    "repeats": 3,
    "schedule": epochs(12, milestones=(9, 11)),
}
# Detectron's "1x" in iterations instead of epochs.
ITERATIONS_90K: Iterations = {
    "schedule": iterations(90_000, milestones=(60_000, 80_000)),
    "evaluate_every": 10_000,
    "checkpoint_every": 10_000,
}


def experiment(model: DetectorConfig, **recipe: Unpack[Recipe]) -> Experiment:
    """Builds the recipe of MMDetection's Detectron-like configurations, except for given settings.

    COCO, 1333x800, random horizontal flips, 12 epochs of SGD with learning rate 0.02 for 16 images.
    """
    data = DataConfig(
        train_transforms=(
            Resize(sizes=recipe.get("sizes", FULL), mode=recipe.get("size_mode", "value")),
            Flip(),
            Pad(divisor=recipe.get("pad_divisor", 32)),
        ),
        test_transforms=(Resize(sizes=FULL), Pad(divisor=recipe.get("pad_divisor", 32))),
        images_per_device=recipe.get("images_per_device", 2),
        workers=recipe.get("workers", 2),
        repeats=recipe.get("repeats", 1),
        masks=recipe.get("masks", "none"),
    )
    return Experiment(
        model=model,
        class_names=recipe.get("class_names", classes.COCO),
        data=data,
        optimizer=recipe.get("optimizer", SGDConfig(lr=0.02)),
        schedule=recipe.get("schedule", epochs(12)),
        reference_batch=recipe.get("reference_batch", 16),
        precision=recipe.get("precision", "fp32"),
        loss_scale=recipe.get("loss_scale"),
        max_gradient_norm=recipe.get("max_gradient_norm"),
        evaluate_every=recipe.get("evaluate_every", 1),
        checkpoint_every=recipe.get("checkpoint_every", 1),
        initial_weights=recipe.get("initial_weights"),
        stuff_names=recipe.get("stuff_names", ()),
    )
