"""A data set of coloured rectangles and a detector small enough to train inside a test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.transforms import Flip, Pad, Resize
from detzoo.detectors.base import Detector
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.priors.anchors import AnchorGrid
from detzoo.samplers.random import RandomSampler

CLASS_NAMES = ("red", "green")
COLOURS = ((0, 0, 255), (0, 255, 0))  # BGR
SIZE = 64
BACKBONE = ResNetConfig(
    depth=18, base_channels=8, frozen_stages=-1, norm=BatchNormConfig(), out_stages=(2, 3)
)


def make_data(folder: Path, images: int = 8, objects: tuple[int, ...] = (2,)) -> DetectionDataset:
    """Images of SIZE x SIZE with ``objects[i % len(objects)]`` rectangles each."""
    rng = np.random.default_rng(images)
    content: dict[str, list[object]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1 + i, "name": name} for i, name in enumerate(CLASS_NAMES)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(images):
        image = rng.integers(0, 80, (SIZE, SIZE, 3), dtype=np.uint8)
        for _ in range(objects[i % len(objects)]):
            label = int(rng.integers(2))
            width, height = (int(side) for side in rng.integers(16, 40, 2))
            x, y = int(rng.integers(SIZE - width)), int(rng.integers(SIZE - height))
            image[y : y + height, x : x + width] = COLOURS[label]
            content["annotations"].append(
                {
                    "id": 1 + len(content["annotations"]),
                    "image_id": i,
                    "category_id": 1 + label,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]],
                }
            )
        cv2.imwrite(str(folder / f"{i}.png"), image)
        content["images"].append({"id": i, "file_name": f"{i}.png", "height": SIZE, "width": SIZE})
    (folder / "annotations.json").write_text(json.dumps(content))
    return read_coco(folder / "annotations.json", folder)


def tiny_two_stage(*, masks: bool = False) -> TwoStageConfig:
    """A Faster R-CNN, which draws random samples in every step, or a Mask R-CNN, made not to."""
    num = 1_000_000 if masks else 8
    return TwoStageConfig(
        backbone=BACKBONE,
        neck=FPNConfig(out_channels=8, num_outputs=3),
        rpn_head=RPNHeadConfig(
            priors=AnchorGrid(scales=(4.0,)),
            sampler=RandomSampler(num=2 * num, positive_fraction=0.5),
        ),
        roi_head=StandardRoIHeadConfig(
            extractor=PyramidRoIAlignConfig(output_size=3, num_levels=2),
            box_head=BoxHeadConfig(fc_channels=16),
            sampler=RandomSampler(num=num, positive_fraction=0.25, adds_targets=True),
            mask_head=MaskHeadConfig(num_convs=1, channels=8) if masks else None,
            mask_extractor=PyramidRoIAlignConfig(output_size=4, num_levels=2) if masks else None,
        ),
    )


def tiny_experiment(**changes: object) -> Experiment:
    """Two epochs of a RetinaNet that is as small as one can be, with all that keeps state."""
    experiment = Experiment(
        model=SingleStageConfig(
            backbone=BACKBONE,
            neck=FPNConfig(out_channels=8, num_outputs=2),
            bbox_head=RetinaHeadConfig(num_convs=1, channels=8),
        ),
        class_names=CLASS_NAMES,
        data=DataConfig(
            train_transforms=(Resize(sizes=((SIZE, SIZE),)), Flip(), Pad(divisor=32)),
            test_transforms=(Resize(sizes=((SIZE, SIZE),)), Pad(divisor=32)),
            workers=0,
        ),
        optimizer=SGDConfig(lr=0.02),
        schedule=epochs(2, milestones=(1,)),
        reference_batch=2,
        max_gradient_norm=10.0,
        ema=EMAConfig(momentum=0.1, warmup=2),
    )
    return dataclasses.replace(experiment, **changes)


def build(experiment: Experiment) -> Detector:
    """The model with the same weights every time."""
    torch.manual_seed(0)
    return experiment.build_model()
