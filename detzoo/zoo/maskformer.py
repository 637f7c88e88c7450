"""MaskFormer."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.mask_former import MaskFormerConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.query.detr import TransformerConfig
from detzoo.heads.query.maskformer import MaskFormerHeadConfig
from detzoo.optim.optimizers import AdamWConfig, ParameterRule
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo import classes
from detzoo.zoo.detr import SLOW_BACKBONE, detr_transforms
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask2former import LARGE, NO_WARMUP, trained_resnet
from detzoo.zoo.parts import FULL

NO_DECAY_OF_QUERIES = ParameterRule(name="query_embed", weight_decay_scale=0.0)


def maskformer() -> Experiment:
    """MaskFormer on ResNet-50, with the transforms of DETR."""
    return Experiment(
        model=MaskFormerConfig(backbone=trained_resnet(50), panoptic_head=MaskFormerHeadConfig()),
        class_names=classes.COCO,
        stuff_names=classes.COCO_STUFF,
        data=DataConfig(
            train_transforms=detr_transforms(1333),
            test_transforms=(Resize(sizes=FULL), Pad(divisor=1)),
            images_per_device=1,
            workers=1,
            masks="bitmap",
        ),
        optimizer=AdamWConfig(
            lr=1e-4,
            weight_decay=1e-4,
            rules=(SLOW_BACKBONE, NO_DECAY_OF_QUERIES),
            norm_weight_decay_scale=0.0,
        ),
        schedule=epochs(75, milestones=(50,), warmup=NO_WARMUP),
        max_gradient_norm=0.01,
    )


def swin_maskformer() -> Experiment:
    """MaskFormer without an encoder, on Swin-L, 64 images at a time."""
    base = maskformer()
    head = MaskFormerHeadConfig(transformer=TransformerConfig(encoder_layers=0))
    names = ("norm", "absolute_pos_embed", "relative_position_bias_table")
    optimizer = AdamWConfig(
        lr=6e-5,
        weight_decay=0.01,
        rules=(
            # The backbone is slow here, too, and its norms have weight decay: "norm" is shorter.
            *base.optimizer.rules,
            *(ParameterRule(name=name, weight_decay_scale=0.0) for name in names),
        ),
        norm_weight_decay_scale=0.0,
    )
    warmup = Warmup(iterations=1500, ratio=1e-6)
    return dataclasses.replace(
        base,
        model=MaskFormerConfig(backbone=LARGE, panoptic_head=head),
        optimizer=optimizer,
        schedule=epochs(300, milestones=(250,), warmup=warmup),
        reference_batch=64,
    )


ENTRIES = (
    Entry(
        "maskformer_r50_mstrain_16x1_75e_coco",
        maskformer(),
        pq=46.9,
        memory_gb=16.2,
        weights="maskformer_r50_mstrain_16x1_75e_coco_20220221_141956-bc2699cb.pth",
    ),
    Entry(
        "maskformer_swin-l-p4-w12_mstrain_64x1_300e_coco",
        swin_maskformer(),
        pq=53.2,
        memory_gb=27.2,
        weights="maskformer_swin-l-p4-w12_mstrain_64x1_300e_coco_20220326_221612-061b4eb8.pth",
    ),
)

FAMILY = Family(
    folder="maskformer",
    title="MaskFormer",
    paper="https://arxiv.org/abs/2107.06278",
    entries=ENTRIES,
)
