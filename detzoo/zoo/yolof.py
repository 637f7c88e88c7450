"""YOLOF."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.pretrained import CAFFE
from detzoo.data.transforms import Flip, Pad, RandomShift, Resize
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.yolof import YOLOFHeadConfig
from detzoo.necks.dilated_encoder import DilatedEncoderConfig
from detzoo.optim.optimizers import ParameterRule, SGDConfig
from detzoo.optim.schedules import Warmup, epochs, iterations
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import FULL, Recipe, detectron_resnet, experiment

WARMUP = Warmup(iterations=1500, ratio=0.00066667)


def yolof(**recipe: Unpack[Recipe]) -> Experiment:
    """YOLOF on the last map of ResNet-50, 64 images per step."""
    model = SingleStageConfig(
        backbone=dataclasses.replace(detectron_resnet(50), out_stages=(3,)),
        neck=DilatedEncoderConfig(),
        bbox_head=YOLOFHeadConfig(),
        pixels=CAFFE,
    )
    optimizer = SGDConfig(
        lr=0.12,
        norm_weight_decay_scale=0.0,
        rules=(ParameterRule(name="backbone", lr_scale=1 / 3),),
    )
    recipe.setdefault("optimizer", optimizer)
    recipe.setdefault("schedule", epochs(12, warmup=WARMUP))
    recipe.setdefault("images_per_device", 8)
    recipe.setdefault("workers", 8)
    recipe.setdefault("reference_batch", 64)
    usual = experiment(model, **recipe)
    transforms = (Resize(sizes=FULL), Flip(), RandomShift(), Pad(divisor=32))
    data = dataclasses.replace(usual.data, train_transforms=transforms)
    return dataclasses.replace(usual, data=data)


ENTRIES = (
    Entry(
        "yolof_r50_c5_8x8_1x_coco",
        yolof(),
        box_ap=37.5,
        memory_gb=8.3,
        weights="yolof_r50_c5_8x8_1x_coco_20210425_024427-8e864411.pth",
    ),
    Entry(
        "yolof_r50_c5_8x8_iter-1x_coco",
        yolof(
            schedule=iterations(22_500, milestones=(15_000, 20_000), warmup=WARMUP),
            evaluate_every=4500,
            checkpoint_every=2500,
        ),
    ),
)

FAMILY = Family(
    folder="yolof",
    title="YOLOF",
    paper="https://arxiv.org/abs/2103.09460",
    entries=ENTRIES,
)
