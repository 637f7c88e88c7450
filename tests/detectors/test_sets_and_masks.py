"""Detectors without priors: neighbours, missing masks, names of losses."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.detectors.set_prediction import SetPredictionConfig
from detzoo.detectors.solo import SOLOConfig
from detzoo.detectors.sparse import SparseConfig
from detzoo.heads.mask_grid.decoupled import DecoupledSOLOHeadConfig, DecoupledSOLOLightHeadConfig
from detzoo.heads.mask_grid.solo import SOLOHeadConfig
from detzoo.heads.query.deformable_detr import DeformableDETRHeadConfig
from detzoo.heads.query.deformable_transformer import DeformableTransformerConfig
from detzoo.heads.query.detr import DETRHeadConfig, TransformerConfig
from detzoo.heads.query.dynamic import DynamicMaskHeadConfig, InteractionHeadConfig
from detzoo.heads.query.learned_proposals import LearnedProposalsConfig
from detzoo.heads.query.sparse_roi import SparseRoIHeadConfig
from detzoo.layers.fusion import fuse
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.channel_mapper import ChannelMapperConfig
from detzoo.necks.fpn import FPNConfig
from tests.detectors import models
from tests.detectors.test_edge_cases import ORDINARY, TARGETS

DEFORMABLE = DeformableTransformerConfig(
    channels=16,
    num_heads=2,
    num_points=2,
    encoder_layers=1,
    decoder_layers=2,
    feedforward_channels=16,
)
GRIDS = {
    "num_convs": 1,
    "channels": 16,
    "norm": GroupNormConfig(groups=4),
    "grids": (8, 6, 5, 4, 3),
}


def deformable_detr(*, refines_boxes: bool = False, two_stage: bool = False) -> DetectorConfig:
    return SetPredictionConfig(
        backbone=dataclasses.replace(models.BACKBONE, out_stages=(1, 2, 3)),
        neck=ChannelMapperConfig(out_channels=16, norm=GroupNormConfig(groups=4)),
        bbox_head=DeformableDETRHeadConfig(
            num_queries=12,
            transformer=DEFORMABLE,
            refines_boxes=refines_boxes,
            two_stage=two_stage,
            max_detections=10,
        ),
    )


MODELS: dict[str, DetectorConfig] = {
    "detr": SetPredictionConfig(
        backbone=models.BACKBONE,
        bbox_head=DETRHeadConfig(
            num_queries=8,
            transformer=TransformerConfig(
                channels=16,
                num_heads=2,
                encoder_layers=1,
                decoder_layers=2,
                feedforward_channels=16,
            ),
        ),
    ),
    "deformable_detr": deformable_detr(),
    "deformable_detr-refine": deformable_detr(refines_boxes=True),
    "deformable_detr-two_stage": deformable_detr(refines_boxes=True, two_stage=True),
    "queryinst": SparseConfig(
        backbone=models.BACKBONE,
        neck=FPNConfig(out_channels=16, num_outputs=4),
        rpn_head=LearnedProposalsConfig(num_proposals=8),
        roi_head=SparseRoIHeadConfig(
            num_stages=2,
            box_head=InteractionHeadConfig(
                num_heads=2, dynamic_channels=8, feedforward_channels=16
            ),
            mask_head=DynamicMaskHeadConfig(dynamic_channels=8, num_convs=1),
            max_detections=6,
        ),
    ),
    "solo": SOLOConfig(
        backbone=models.BACKBONE, neck=models.NECK, mask_head=SOLOHeadConfig(**GRIDS)
    ),
    "decoupled_solo": SOLOConfig(
        backbone=models.BACKBONE, neck=models.NECK, mask_head=DecoupledSOLOHeadConfig(**GRIDS)
    ),
    "decoupled_solo_light": SOLOConfig(
        backbone=models.BACKBONE, neck=models.NECK, mask_head=DecoupledSOLOLightHeadConfig(**GRIDS)
    ),
}


def build(name: str) -> Detector:
    torch.manual_seed(0)
    model = MODELS[name].build(models.CLASSES)
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model.train()


def certain(model: Detector) -> Detector:
    """With scores and masks far from those of a fresh head, so that SOLO finds something."""
    for name, parameter in model.named_parameters():
        if name in model.class_parameters() or "conv_mask_list" in name:
            nn.init.normal_(parameter, std=1.0)
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_images_do_not_depend_on_their_neighbors(name: str) -> None:
    """The same detections alone and in a batch; padding is the batch's in both."""
    model = fuse(certain(build(name)))
    both = models.images(2)
    with torch.no_grad():
        together = model(both)
        for number in range(2):
            one = dataclasses.replace(
                both,
                pixels=both.pixels[number : number + 1],
                infos=both.infos[number : number + 1],
            )
            (alone,) = model(one)
            torch.testing.assert_close(alone.scores, together[number].scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["queryinst", "solo"])
def test_mask_heads_want_masks(name: str) -> None:
    bare = [dataclasses.replace(target, masks=None) for target in TARGETS["ordinary"]]
    with pytest.raises(AssertionError, match="trains on targets with masks"):
        build(name)(models.images(), bare)


def test_later_decoder_layers_are_named_as_in_v2() -> None:
    losses = build("deformable_detr-two_stage")(models.images(1), [ORDINARY])
    kinds = ("loss_cls", "loss_bbox", "loss_iou")
    assert set(losses) == {f"{prefix}{kind}" for prefix in ("", "d0.", "enc_") for kind in kinds}
    staged = build("queryinst")(models.images(1), [ORDINARY])
    kinds = (*kinds, "loss_mask")
    assert set(staged) == {f"stage{stage}_{kind}" for stage in (0, 1) for kind in kinds}
    assert set(staged.metrics) == {"stage0_pos_acc", "stage1_pos_acc"}
