"""Losses and gradients against MMDetection's own heads, run in float64 on the same weights, maps,
targets and random numbers."""

from __future__ import annotations

import dataclasses
from unittest import mock

import pytest
import torch

from detzoo.heads.query.deformable_pixel_decoder import DeformablePixelDecoderConfig
from detzoo.heads.query.detr import TransformerConfig
from detzoo.heads.query.mask2former import Mask2FormerHeadConfig, MaskedDecoderConfig
from detzoo.heads.query.mask_base import MaskQueryHeadConfig
from detzoo.heads.query.mask_set_loss import MaskSetLoss, Points
from detzoo.heads.query.maskformer import MaskFormerHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.postprocess.query_panoptic import QueryFusion
from detzoo.structures import BitmapMasks, ImageBatch, ImageInfo, Targets
from tests.heads.query import mask_inputs
from tests.parity.double import float64

NORM = GroupNormConfig(groups=4)
TRANSFORMER = TransformerConfig(
    channels=32, num_heads=4, encoder_layers=2, decoder_layers=4, feedforward_channels=48
)
# By name: the head, then MMDetection's loss_cls, loss_mask and loss_dice of each layer, and the
# norms of the gradients of the four maps.
RECORDED: dict[str, tuple[MaskQueryHeadConfig, list[float], list[float]]] = {
    "mask2former": (
        Mask2FormerHeadConfig(
            num_queries=7,
            pixel_decoder=DeformablePixelDecoderConfig(
                channels=32, num_heads=4, encoder_layers=2, feedforward_channels=48, norm=NORM
            ),
            decoder=MaskedDecoderConfig(num_heads=4, decoder_layers=4, feedforward_channels=48),
            loss=MaskSetLoss(points=Points(count=112)),
            fusion=QueryFusion(),
        ),
        [
            *(6.46382155, 6.73487335, 3.90403532),
            *(6.28258112, 7.02118941, 3.95177538),
            *(8.36017998, 7.7421445, 3.8084058),
            *(18.5691431, 10.7404964, 3.87116529),
            *(15.0206376, 16.8525366, 3.75584847),
        ],
        [4.344548, 8.966705, 5.008982, 11.40389],
    ),
    "maskformer": (
        MaskFormerHeadConfig(num_queries=7, transformer=TRANSFORMER, norm=NORM),
        [
            *(5.66378299, 65.1968992, 0.802806396),
            *(4.36508913, 11.7227559, 0.934915409),
            *(3.9094778, 16.378015, 0.957815156),
            *(6.38801957, 54.9200133, 0.798619619),
        ],
        [5.930024, 5.311945, 3.740873, 59.2367],
    ),
    "maskformer without an encoder": (
        MaskFormerHeadConfig(
            num_queries=7,
            transformer=dataclasses.replace(TRANSFORMER, encoder_layers=0),
            norm=NORM,
        ),
        [
            *(2.96628072, 46.8291463, 0.809665431),
            *(4.57538105, 17.9801072, 0.847043053),
            *(3.82407993, 19.171266, 0.803595322),
            *(3.15045989, 14.2665196, 0.860658868),
        ],
        [6.30406, 4.969922, 3.097794, 26.21587],
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_losses_and_gradients(name: str) -> None:
    config, losses, gradients = RECORDED[name]
    with float64(), mock.patch("torch.rand", mask_inputs.rand):
        head = config.build(mask_inputs.CHANNELS, mask_inputs.THINGS, mask_inputs.STUFF)
        mask_inputs.fill(head)
        maps = [x.requires_grad_() for x in mask_inputs.features()]
        images = ImageBatch(
            torch.zeros(2, 3, *mask_inputs.SIZE),
            tuple(
                dataclasses.replace(ImageInfo.of(size), padded_size=mask_inputs.SIZE)
                for size in mask_inputs.SIZES
            ),
        )
        targets = [
            dataclasses.replace(
                Targets.of(torch.zeros(len(labels), 4), labels, BitmapMasks(masks)),
                semantic_map=semantic,
            )
            for labels, masks, semantic in mask_inputs.targets()
        ]
        found = head.loss(head(maps, images), targets)
        found.total().backward()
    layers = [*(f"d{number}." for number in range(len(losses) // 3 - 1)), ""]
    names = [f"{layer}loss_{kind}" for layer in layers for kind in ("cls", "mask", "dice")]
    assert {key: value.item() for key, value in found.items()} == pytest.approx(
        dict(zip(names, losses)), rel=2e-6
    )
    norms = [x.grad.norm().item() for x in maps if x.grad is not None]
    assert norms == pytest.approx(gradients, rel=2e-5)
