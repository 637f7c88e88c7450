"""Mask2Former."""

from __future__ import annotations

import dataclasses
from typing import TypedDict

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.backbones.swin import SwinConfig
from detzoo.data.sample import Transform
from detzoo.data.transforms import Crop, FilterBoxes, Flip, Pad, Resize
from detzoo.detectors.mask_former import MaskFormerConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.query.mask2former import Mask2FormerHeadConfig
from detzoo.optim.optimizers import AdamWConfig, ParameterRule
from detzoo.optim.schedules import Schedule, Warmup, iterations
from detzoo.postprocess.query_panoptic import QueryFusion
from detzoo.structures import Pixels
from detzoo.zoo import classes
from detzoo.zoo.detr import SLOW_BACKBONE
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import FROZEN, FULL, Depth, resnet
from detzoo.zoo.swin import TINY as SWIN_TINY

SIZE = (1024, 1024)
# Large scale jittering: images scaled by a random factor and cut out at 1024x1024.
JITTERED: tuple[Transform, ...] = (
    Flip(),
    Resize(sizes=(SIZE,), ratio_range=(0.1, 2.0)),
    Crop(size=SIZE, allow_empty=True, boxes_from_masks=True),
)
# Of images with instances alone, which are padded with gray.
GRAY = Pixels(padding=128.0)

# 50 and 100 epochs of COCO, 16 images at a time. The files have a warm-up that changes nothing.
NO_WARMUP = Warmup(iterations=10, ratio=1.0)
EPOCHS_50 = iterations(368_750, milestones=(327_778, 355_092), warmup=NO_WARMUP)
EPOCHS_100 = iterations(737_500, milestones=(655_556, 710_184), warmup=NO_WARMUP)

EMBEDDINGS = tuple(
    ParameterRule(name=name, weight_decay_scale=0.0)
    for name in ("query_embed", "query_feat", "level_embed")
)


def trained_resnet(depth: Depth) -> ResNetConfig:
    """ResNet, of which only the norms are frozen."""
    return dataclasses.replace(resnet(depth), frozen_stages=-1, norm=FROZEN)


TINY = dataclasses.replace(SWIN_TINY, stochastic_depth=0.3)
SMALL = dataclasses.replace(TINY, blocks=(2, 2, 18, 2))
BASE = dataclasses.replace(SMALL, channels=128, num_heads=(4, 8, 16, 32), window_size=12)


def in21k(backbone: SwinConfig) -> SwinConfig:
    """The same, with weights trained on ImageNet-21k."""
    assert backbone.pretrained is not None
    pretrained = backbone.pretrained.replace("{architecture}", "{architecture}_22k")
    return dataclasses.replace(backbone, pretrained=pretrained)


LARGE = in21k(dataclasses.replace(BASE, channels=192, num_heads=(6, 12, 24, 48)))


def rules_of(backbone: BackboneConfig) -> tuple[ParameterRule, ...]:
    """A slow backbone, without weight decay of norms, embeddings and biases of positions."""
    if not isinstance(backbone, SwinConfig):
        return (SLOW_BACKBONE, *EMBEDDINGS)
    norms = ["backbone.patch_embed.norm", "backbone.norm"]
    tables = ["absolute_pos_embed", "relative_position_bias_table"]
    blocks = [
        (stage, block) for stage, count in enumerate(backbone.blocks) for block in range(count)
    ]
    # The order of the files: they inherit the rules of Swin-T.
    blocks.sort(key=lambda place: place[1] >= TINY.blocks[place[0]])
    of_blocks = [f"backbone.stages.{stage}.blocks.{block}.norm" for stage, block in blocks]
    mergings = [f"backbone.stages.{stage}.downsample.norm" for stage in range(3)]
    count = sum(TINY.blocks)
    names = [*norms, *tables, *of_blocks[:count], *mergings, *of_blocks[count:]]
    slow = [ParameterRule(name=n, lr_scale=0.1, weight_decay_scale=0.0) for n in names]
    return (SLOW_BACKBONE, *EMBEDDINGS, *slow)


class Settings(TypedDict, total=False):
    """What differs between panoptic models; see :func:`panoptic`."""

    num_queries: int
    schedule: Schedule
    images_per_device: int


def panoptic(backbone: BackboneConfig, **settings: Unpack[Settings]) -> Experiment:
    """Mask2Former of things and stuff."""
    head = Mask2FormerHeadConfig(
        num_queries=settings.get("num_queries", 100), fusion=QueryFusion(inside_only=True)
    )
    return Experiment(
        model=MaskFormerConfig(backbone=backbone, panoptic_head=head),
        class_names=classes.COCO,
        stuff_names=classes.COCO_STUFF,
        data=DataConfig(
            train_transforms=(*JITTERED, Pad(size=SIZE)),
            test_transforms=(Resize(sizes=FULL), Pad(divisor=32)),
            images_per_device=settings.get("images_per_device", 2),
            workers=settings.get("images_per_device", 2),
            masks="bitmap",
        ),
        optimizer=AdamWConfig(
            lr=1e-4,
            weight_decay=0.05,
            rules=rules_of(backbone),
            norm_weight_decay_scale=0.0,
        ),
        schedule=settings.get("schedule", EPOCHS_50),
        max_gradient_norm=0.01,
        evaluate_every=5000,
        checkpoint_every=5000,
    )


def instances(backbone: BackboneConfig) -> Experiment:
    """Mask2Former of instances."""
    made = panoptic(backbone)
    data = dataclasses.replace(
        made.data,
        train_transforms=(
            *JITTERED,
            FilterBoxes(min_size=(1e-5, 1e-5), min_mask_area=1),
            Pad(size=SIZE),
        ),
    )
    head = Mask2FormerHeadConfig()
    model = MaskFormerConfig(backbone=backbone, pixels=GRAY, panoptic_head=head)
    return dataclasses.replace(made, model=model, data=data, stuff_names=())


ENTRIES = (
    Entry(
        "mask2former_r50_lsj_8x2_50e_coco-panoptic",
        panoptic(trained_resnet(50)),
        box_ap=44.8,
        mask_ap=41.9,
        pq=51.9,
        memory_gb=13.9,
        weights="mask2former_r50_lsj_8x2_50e_coco-panoptic_20220326_224516-11a44721.pth",
    ),
    Entry(
        "mask2former_r101_lsj_8x2_50e_coco-panoptic",
        panoptic(trained_resnet(101)),
        box_ap=45.3,
        mask_ap=42.4,
        pq=52.4,
        memory_gb=16.1,
        weights="mask2former_r101_lsj_8x2_50e_coco-panoptic_20220329_225104-c54e64c9.pth",
    ),
    Entry(
        "mask2former_swin-t-p4-w7-224_lsj_8x2_50e_coco-panoptic",
        panoptic(TINY),
        box_ap=46.3,
        mask_ap=43.4,
        pq=53.4,
        memory_gb=15.9,
        weights="mask2former_swin-t-p4-w7-224_lsj_8x2_50e_coco-panoptic_20220326_224553-fc567107.pth",
    ),
    Entry(
        "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco-panoptic",
        panoptic(SMALL),
        box_ap=47.8,
        mask_ap=44.5,
        pq=54.5,
        memory_gb=19.1,
        weights="mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco-panoptic_20220329_225200-c7b94355.pth",
    ),
    Entry(
        "mask2former_swin-b-p4-w12-384_lsj_8x2_50e_coco-panoptic",
        panoptic(BASE),
        box_ap=48.2,
        mask_ap=44.9,
        pq=55.1,
        memory_gb=26.0,
        weights="mask2former_swin-b-p4-w12-384_lsj_8x2_50e_coco-panoptic_20220331_002244-c149a9e9.pth",
    ),
    Entry(
        "mask2former_swin-b-p4-w12-384-in21k_lsj_8x2_50e_coco-panoptic",
        panoptic(in21k(BASE)),
        box_ap=50.0,
        mask_ap=46.3,
        pq=56.3,
        memory_gb=25.8,
        weights="mask2former_swin-b-p4-w12-384-in21k_lsj_8x2_50e_coco-panoptic_20220329_230021-3bb8b482.pth",
    ),
    Entry(
        "mask2former_swin-l-p4-w12-384-in21k_lsj_16x1_100e_coco-panoptic",
        panoptic(LARGE, num_queries=200, schedule=EPOCHS_100, images_per_device=1),
        box_ap=52.2,
        mask_ap=48.5,
        pq=57.6,
        memory_gb=21.1,
        weights="mask2former_swin-l-p4-w12-384-in21k_lsj_16x1_100e_coco-panoptic_20220407_104949-d4919c44.pth",
    ),
    Entry(
        "mask2former_r50_lsj_8x2_50e_coco",
        instances(trained_resnet(50)),
        box_ap=45.7,
        mask_ap=42.9,
        memory_gb=13.7,
        weights="mask2former_r50_lsj_8x2_50e_coco_20220506_191028-8e96e88b.pth",
    ),
    Entry(
        "mask2former_r101_lsj_8x2_50e_coco",
        instances(trained_resnet(101)),
        box_ap=46.7,
        mask_ap=44.0,
        memory_gb=15.5,
        weights="mask2former_r101_lsj_8x2_50e_coco_20220426_100250-c50b6fa6.pth",
    ),
    Entry(
        "mask2former_swin-t-p4-w7-224_lsj_8x2_50e_coco",
        instances(TINY),
        box_ap=47.7,
        mask_ap=44.7,
        memory_gb=15.3,
        weights="mask2former_swin-t-p4-w7-224_lsj_8x2_50e_coco_20220508_091649-4a943037.pth",
    ),
    Entry(
        "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco",
        instances(SMALL),
        box_ap=49.3,
        mask_ap=46.1,
        memory_gb=18.8,
        weights="mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_20220504_001756-743b7d99.pth",
    ),
)

FAMILY = Family(
    folder="mask2former",
    title="Mask2Former",
    paper="https://arxiv.org/abs/2112.01527",
    entries=ENTRIES,
)
