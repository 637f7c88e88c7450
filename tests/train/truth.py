"""The runs of ``test_truth``: which settings meet, on which scenes, with which detectors."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from torch import Tensor, nn

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.config import config
from detzoo.data.transforms import Flip, Pad
from detzoo.detectors.base import DetectorConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, GroupNormConfig, NormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import AdamWConfig, SGDConfig
from detzoo.optim.schedules import Schedule, Step, Warmup
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.samplers.random import RandomSampler
from detzoo.train.validation import EarlyStopping

# ---------------------------------------------------------------------------------- the runs


@dataclass(frozen=True)
class Settings:
    """What is combined. ``resumed``: Ctrl-C half-way, then on; its twin runs through."""

    norm: Literal["learned", "fixed", "group", "none"]
    optimizer: Literal["sgd", "adamw"] = "sgd"
    ema: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    accumulate: int = 1
    processes: int = 1
    resumed: bool = False
    model: Literal["retinanet", "mask_rcnn"] = "retinanet"


# The first eight have every pair of two settings' values: a test counts them.
COVERING = (
    Settings("learned"),
    Settings("learned", "adamw", True, "bf16", 2, 2, True, "mask_rcnn"),
    Settings("fixed", "adamw", True, processes=2, model="mask_rcnn"),
    Settings("fixed", precision="bf16", accumulate=2, resumed=True),
    Settings("group", ema=True, precision="bf16", processes=2, resumed=True),
    Settings("group", "adamw", accumulate=2, model="mask_rcnn"),
    Settings("none", ema=True, resumed=True, model="mask_rcnn"),
    Settings("none", "adamw", precision="bf16", accumulate=2, processes=2),
    # Statistics that each process learns for itself, and no average in between.
    Settings("learned", "adamw", processes=2, resumed=True),
)


@dataclass(frozen=True)
class Run:
    """A training, and what ends it early."""

    name: str
    settings: Settings
    experiment: Experiment
    early_stopping: EarlyStopping | None = None


def all_runs() -> dict[str, Run]:
    """By name."""
    runs = [Run(name_of(s), s, experiment_of(s)) for s in COVERING]
    return {run.name: run for run in [*runs, spoiled(), blind()]}


def name_of(settings: Settings) -> str:
    """The values of all settings, those that are off left out."""
    parts: list[str] = [settings.norm, settings.optimizer]
    parts += ["ema"] if settings.ema else []
    parts += ["bf16"] if settings.precision == "bf16" else []
    parts += ["accumulated"] if settings.accumulate > 1 else []
    parts += ["two_processes"] if settings.processes > 1 else []
    parts += ["resumed"] if settings.resumed else []
    return "-".join([*parts, settings.model])


def spoiled() -> Run:
    """It learns, then a rate that is far too high undoes it: the best evaluation is in between."""
    settings = Settings("group", "adamw", resumed=True)
    policy = Step(milestones=(3,), gamma=30.0)
    experiment = dataclasses.replace(
        experiment_of(settings), schedule=schedule(epochs=9, policy=policy)
    )
    return Run("spoiled", settings, experiment, EarlyStopping("bbox/AP50", patience=3))


def blind() -> Run:
    """It learns, but finds nothing sure enough: every evaluation is as good as the first."""
    settings = Settings("learned")
    model = retinanet(BatchNormConfig(), backbone("learned"))
    head = dataclasses.replace(model.bbox_head, select=Select(min_score=0.9999))
    experiment = dataclasses.replace(
        experiment_of(settings),
        model=dataclasses.replace(model, bbox_head=head),
        schedule=schedule(epochs=6),
    )
    return Run("blind", settings, experiment, EarlyStopping(patience=2))


# ---------------------------------------------------------------------------- their experiments


def experiment_of(settings: Settings) -> Experiment:
    """Three epochs, each evaluated, in which a detector learns something."""
    norm = NORMS[settings.norm]
    make: Callable[..., DetectorConfig]
    make = mask_rcnn if settings.model == "mask_rcnn" else retinanet
    pad = Pad(divisor=32)
    return Experiment(
        model=make(norm, backbone(settings.norm)),
        class_names=CLASS_NAMES,
        data=DataConfig(
            train_transforms=(Flip(), pad),
            test_transforms=(pad,),
            images_per_device=2,
            workers=0,
            # As many steps, whatever a step has.
            repeats=settings.accumulate * settings.processes,
            masks="bitmap" if settings.model == "mask_rcnn" else "none",
        ),
        optimizer=SGDConfig(lr=0.02) if settings.optimizer == "sgd" else AdamWConfig(lr=0.004),
        schedule=schedule(epochs=3),
        reference_batch=2 * settings.accumulate * settings.processes,
        precision=settings.precision,
        max_gradient_norm=3.0,
        accumulate=settings.accumulate,
        ema=EMAConfig(momentum=0.1, warmup=4) if settings.ema else None,
    )


def schedule(*, epochs: int, policy: Step = Step(milestones=())) -> Schedule:  # noqa: B008 - frozen
    return Schedule(length=epochs, policy=policy, warmup=Warmup(iterations=5, ratio=0.1))


NORMS: dict[str, NormConfig | None] = {
    "learned": BatchNormConfig(),
    "fixed": BatchNormConfig(fixed_statistics=True),
    "group": GroupNormConfig(groups=4),
    "none": None,
}


def backbone(norm: str) -> BackboneConfig:
    """Maps of stride 8 and 16."""
    kind = NORMS[norm]
    if kind is None:
        return PlainConfig()
    # Where statistics are fixed the stem is too, as in the zoo: it runs as in inference while the
    # rest trains.
    frozen = 0 if norm == "fixed" else -1
    return ResNetConfig(
        depth=18, base_channels=8, frozen_stages=frozen, norm=kind, out_stages=(1, 2)
    )


@config
class PlainConfig(BackboneConfig):
    """Convolutions without norms: in detzoo's zoo only VGG has none, which is too large here."""

    @property
    def architecture(self) -> str:
        return "plain"

    def build(self) -> Plain:
        return Plain()

    def from_scratch(self) -> PlainConfig:
        return self


class Plain(Backbone):
    """Children ``fine`` and ``coarse``; each convolution halves the resolution."""

    out_channels = (16, 32)
    out_strides = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 8, 16, 16, 32)
        first, second, third, last = (
            ConvModule(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.fine = nn.Sequential(first, second, third)
        self.coarse = last

    def frozen_modules(self) -> list[nn.Module]:
        return []

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        fine = self.fine(x)
        return fine, self.coarse(fine)


def retinanet(norm: NormConfig | None, backbone: BackboneConfig) -> SingleStageConfig:
    return SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(out_channels=16, num_outputs=2, norm=norm),
        bbox_head=RetinaHeadConfig(num_convs=1, channels=16),
    )


def mask_rcnn(norm: NormConfig | None, backbone: BackboneConfig) -> TwoStageConfig:
    few = Select(min_score=0.0, pre_nms=100, suppression=NMS(max_iou=0.7), max_detections=40)
    regions = PyramidRoIAlignConfig(output_size=4, num_levels=2, finest_scale=32.0)
    return TwoStageConfig(
        backbone=backbone,
        neck=FPNConfig(out_channels=16, num_outputs=2, norm=norm),
        rpn_head=RPNHeadConfig(
            priors=AnchorGrid(scales=(4.0,)),
            sampler=RandomSampler(num=64, positive_fraction=0.5),
            select=few,
            train_select=few,
        ),
        roi_head=StandardRoIHeadConfig(
            extractor=regions,
            box_head=BoxHeadConfig(fc_channels=64),
            mask_extractor=dataclasses.replace(regions, output_size=7),
            mask_head=MaskHeadConfig(num_convs=1, channels=16),
            assigner=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5),
            sampler=RandomSampler(num=32, positive_fraction=0.25, adds_targets=True),
        ),
    )


# ---------------------------------------------------------------------------------- the scenes

CLASS_NAMES = ("red", "green", "blue")
COLORS = ((40, 40, 230), (40, 230, 40), (230, 40, 40))  # BGR
# (height, width): input sizes change from image to image, and with them how kernels are laid out.
SIZES = ((96, 128), (128, 96), (64, 96), (96, 128), (128, 192))


def write_scenes(folder: Path, split: str, count: int, *, seed: int) -> None:
    """A split of a COCO folder: rectangles of three colors on noise, with polygons."""
    rng = np.random.default_rng(seed)
    (folder / split).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        height, width = SIZES[number % len(SIZES)]
        picture = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
        for _ in range(rng.integers(1, 5)):
            objects.append(_draw(picture, rng) | {"id": len(objects) + 1, "image_id": number})
        name = f"{number:03d}.png"
        cv2.imwrite(str(folder / split / name), picture)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASS_NAMES)]
    file = folder / "annotations" / f"{split}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        json.dumps({"images": images, "annotations": objects, "categories": categories})
    )


def _draw(picture: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Draws one object; returns its annotation without ids."""
    label = int(rng.integers(len(CLASS_NAMES)))
    w, h = (int(side) for side in rng.integers(20, 56, 2))
    x, y = int(rng.integers(picture.shape[1] - w)), int(rng.integers(picture.shape[0] - h))
    picture[y : y + h, x : x + w] = COLORS[label]
    return {
        "category_id": label + 1,
        "bbox": [x, y, w, h],
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
        "area": w * h,
        "iscrowd": 0,
    }
