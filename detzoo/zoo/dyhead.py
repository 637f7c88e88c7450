"""Dynamic head."""

from __future__ import annotations

import dataclasses
from typing import Literal

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.swin import SwinConfig
from detzoo.data.transforms import Flip, Pad, Resize
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.atss import ATSSHeadConfig
from detzoo.necks.dyhead import DyHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.necks.sequence import NeckSequenceConfig
from detzoo.optim.optimizers import OptimizerConfig, SGDConfig
from detzoo.priors.anchors import AnchorGrid
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import FULL, caffe_resnet, experiment, resnet
from detzoo.zoo.swin import ADAMW

SWIN_LARGE = SwinConfig(
    channels=192,
    blocks=(2, 2, 18, 2),
    num_heads=(6, 12, 24, 48),
    window_size=12,
    stochastic_depth=0.2,
    out_stages=(1, 2, 3),
    pretrained="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/{architecture}_22k.pth",
)
# As in the authors' code: 1x1 predictors, anchors at the centers of cells, randomly initialized
# offsets.
AUTHORS_HEAD = ATSSHeadConfig(
    num_convs=0, kernel_size=1, priors=AnchorGrid(scales=(8.0,), ratios=(1.0,), center=0.5)
)


def dyhead(
    backbone: BackboneConfig,
    *,
    start_level: int = 1,
    neck: DyHeadConfig = DyHeadConfig(),
    head: ATSSHeadConfig = ATSSHeadConfig(num_convs=0),
    optimizer: OptimizerConfig = SGDConfig(lr=0.01),
) -> Experiment:
    """ATSS without towers, after six dynamic head blocks."""
    pyramid = FPNConfig(start_level=start_level, extra_levels="on_output")
    model = SingleStageConfig(
        backbone=backbone, neck=NeckSequenceConfig(necks=(pyramid, neck)), bbox_head=head
    )
    return experiment(model, optimizer=optimizer)


def authors_dyhead(
    backbone: BackboneConfig,
    start_level: int,
    *,
    sizes: tuple[tuple[int, int], ...] = FULL,
    mode: Literal["value", "range"] = "value",
    repeats: int = 1,
    optimizer: OptimizerConfig = SGDConfig(lr=0.01),
) -> Experiment:
    """DyHead with the details of the authors' code, and images resized by Pillow."""
    base = dyhead(
        backbone,
        start_level=start_level,
        neck=DyHeadConfig(starts_undeformed=False),
        head=AUTHORS_HEAD,
        optimizer=optimizer,
    )
    largest = Resize(sizes=sizes[-1:], library="pillow")
    data = dataclasses.replace(
        base.data,
        train_transforms=(
            Resize(sizes=sizes, mode=mode, library="pillow"),
            Flip(),
            Pad(divisor=128),
        ),
        test_transforms=(largest, Pad(divisor=128)),
        repeats=repeats,
    )
    return dataclasses.replace(base, data=data)


ENTRIES = (
    Entry(
        "atss_r50_caffe_fpn_dyhead_1x_coco",
        authors_dyhead(caffe_resnet(50), 1),
        box_ap=42.5,
        memory_gb=5.4,
        inference_ms=75.7,
        weights="dyhead/atss_r50_fpn_dyhead_for_reproduction_1x_coco/"
        "atss_r50_fpn_dyhead_for_reproduction_4x4_1x_coco_20220107_213939-162888e6.pth",
    ),
    Entry(
        "atss_r50_fpn_dyhead_1x_coco",
        dyhead(resnet(50)),
        box_ap=43.3,
        memory_gb=4.9,
        inference_ms=73.1,
        weights="dyhead/atss_r50_fpn_dyhead_4x4_1x_coco/"
        "atss_r50_fpn_dyhead_4x4_1x_coco_20211219_023314-eaa620c6.pth",
    ),
    Entry(
        "atss_swin-l-p4-w12_fpn_dyhead_mstrain_2x_coco",
        authors_dyhead(
            SWIN_LARGE,
            0,
            sizes=((2000, 480), (2000, 1200)),
            mode="range",
            repeats=2,
            optimizer=dataclasses.replace(ADAMW, lr=5e-5),
        ),
        box_ap=56.2,
        memory_gb=58.4,
        weights="atss_swin-l-p4-w12_fpn_dyhead_mstrain_2x_coco_20220509_100315-bc5b6516.pth",
    ),
)

FAMILY = Family(
    folder="dyhead",
    title="Dynamic head",
    paper="https://arxiv.org/abs/2106.08322",
    entries=ENTRIES,
)
