"""Generalized attention in ResNet (an empirical study of spatial attention)."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.generalized_attention import GeneralizedAttentionConfig
from detzoo.zoo.dcn import deformable
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.parts import resnet

ALL_TERMS = GeneralizedAttentionConfig()
# What stands out attracts all cells alike.
KEY_ALONE = GeneralizedAttentionConfig(terms=("key",))


def attentive(attention: GeneralizedAttentionConfig) -> ResNetConfig:
    """ResNet-50 with attention in its last two stages."""
    return dataclasses.replace(resnet(50), attention=attention)


ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_attention_0010_1x_coco",
        faster_rcnn(attentive(KEY_ALONE)),
        box_ap=39.1,
        memory_gb=4.2,
        inference_ms=54.35,
        weights="faster_rcnn_r50_fpn_attention_0010_1x_coco_20200130-7cb0c14d.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_attention_0010_dcn_1x_coco",
        faster_rcnn(deformable(attentive(KEY_ALONE))),
        box_ap=42.0,
        memory_gb=4.2,
        inference_ms=58.48,
        weights="faster_rcnn_r50_fpn_attention_0010_dcn_1x_coco_20200130-1a2e831d.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_attention_1111_1x_coco",
        faster_rcnn(attentive(ALL_TERMS)),
        box_ap=40.0,
        memory_gb=8.0,
        inference_ms=72.46,
        weights="faster_rcnn_r50_fpn_attention_1111_1x_coco_20200130-403cccba.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_attention_1111_dcn_1x_coco",
        faster_rcnn(deformable(attentive(ALL_TERMS))),
        box_ap=42.1,
        memory_gb=8.0,
        inference_ms=78.74,
        weights="faster_rcnn_r50_fpn_attention_1111_dcn_1x_coco_20200130-8b2523a6.pth",
    ),
)

FAMILY = Family(
    folder="empirical_attention",
    title="Generalized attention",
    paper="https://arxiv.org/abs/1904.05873",
    entries=ENTRIES,
)
