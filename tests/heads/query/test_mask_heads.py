"""Heads of masks: where queries attend, what stuff becomes, scores of detections."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.heads.query.deformable_pixel_decoder import DeformablePixelDecoderConfig
from detzoo.heads.query.detr import TransformerConfig
from detzoo.heads.query.mask2former import (
    Mask2FormerHeadConfig,
    MaskedDecoderConfig,
    attended_cells,
)
from detzoo.heads.query.mask_base import MaskQueryHeadConfig
from detzoo.heads.query.mask_set_loss import MaskQueryPredictions
from detzoo.heads.query.maskformer import MaskFormerHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.postprocess.query_panoptic import QueryFusion
from detzoo.structures import BitmapMasks, ImageBatch, ImageInfo, Targets

CHANNELS, STRIDES, SIZE = (8, 12, 16, 20), (4, 8, 16, 32), (64, 96)
NORM = GroupNormConfig(groups=4)
MASK2FORMER = Mask2FormerHeadConfig(
    num_queries=5,
    pixel_decoder=DeformablePixelDecoderConfig(
        channels=16,
        num_heads=2,
        num_points=2,
        encoder_layers=1,
        feedforward_channels=16,
        norm=NORM,
    ),
    decoder=MaskedDecoderConfig(num_heads=2, decoder_layers=4, feedforward_channels=16),
    fusion=QueryFusion(),
)
MASKFORMER = MaskFormerHeadConfig(
    num_queries=5,
    transformer=TransformerConfig(
        channels=16, num_heads=2, encoder_layers=1, decoder_layers=2, feedforward_channels=16
    ),
    norm=NORM,
)


def features(count: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn((count, width, SIZE[0] // stride, SIZE[1] // stride), generator=generator)
        for width, stride in zip(CHANNELS, STRIDES)
    ]


def images(*sizes: tuple[int, int]) -> ImageBatch:
    infos = tuple(dataclasses.replace(ImageInfo.of(size), padded_size=SIZE) for size in sizes)
    return ImageBatch(torch.zeros(len(sizes), 3, *SIZE), infos)


def test_queries_attend_within_their_masks_or_everywhere() -> None:
    masks = torch.full((1, 2, 4, 4), -1.0)
    masks[0, 0, :2, :2] = 1.0
    found = attended_cells(masks, (2, 2))
    assert found.tolist() == [[[True, False, False, False], [True] * 4]]


def test_masked_attention_does_not_look_outside() -> None:
    torch.manual_seed(0)
    layer = MASK2FORMER.build(CHANNELS, 2, 0).transformer_decoder.layers[0].eval()
    x, places, memory = torch.randn(1, 2, 16), torch.randn(2, 16), torch.randn(1, 6, 16)
    inside = torch.tensor([[[True, True, False, False, False, False], [True] * 6]])
    changed = memory.clone()
    changed[:, 2:] = torch.randn(1, 4, 16)
    attention = layer.attentions[0]
    before = attention(x, x + places, memory, memory, inside)
    after = attention(x, x + places, changed, changed, inside)
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("config", [MASK2FORMER, MASKFORMER], ids=["mask2former", "maskformer"])
def test_shapes(config: MaskQueryHeadConfig) -> None:
    head = config.build(CHANNELS, num_things=2, num_stuff=1).eval()
    with torch.no_grad():
        predictions = head(features(2), images(SIZE, (48, 80)))
    layers = 5 if config is MASK2FORMER else 2  # Mask2Former predicts before the first, too
    assert predictions.logits.shape == (layers, 2, 5, 4)
    assert [mask.shape for mask in predictions.masks] == [(2, 5, 16, 24)] * layers


def test_maskformer_does_not_look_at_padding() -> None:
    """What is in the padded cells of the last map changes nothing that queries see."""
    head = MASKFORMER.build(CHANNELS, 2, 1).eval()
    given, batch = features(), images((64, 64))
    changed = [*given[:-1], given[-1].clone()]
    changed[-1][..., 2:] = 9.0
    with torch.no_grad():
        before, after = head(given, batch), head(changed, batch)
    torch.testing.assert_close(before.logits, after.logits)


def test_stuff_becomes_segments() -> None:
    head = MASK2FORMER.build(CHANNELS, num_things=2, num_stuff=3)
    things = torch.zeros((1, 48, 80), dtype=torch.uint8)
    things[0, :10, :10] = 1
    semantic = torch.full((48, 80), 255, dtype=torch.uint8)
    semantic[:10, :10], semantic[20:30], semantic[40:] = 1, 4, 2
    targets = Targets.of(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([1]), BitmapMasks(things))
    targets = dataclasses.replace(targets, semantic_map=semantic)
    segments = head._segments(targets, SIZE)
    # The thing, then the stuff by class: the thing in the semantic map is none.
    assert segments.labels.tolist() == [1, 2, 4]
    assert segments.bitmaps.shape == (3, *SIZE)
    assert segments.bitmaps.sum((1, 2)).tolist() == [100, 8 * 80, 10 * 80]
    assert segments.bitmaps[:, 48:].sum() == segments.bitmaps[:, :, 80:].sum() == 0


def test_scores_are_of_class_and_mask() -> None:
    """The surest class has the least sure mask; stuff is no detection."""
    head = MASK2FORMER.build(CHANNELS, num_things=2, num_stuff=1)
    logits = torch.full((1, 1, 5, 4), -20.0)
    logits[0, 0, :3, :3] = torch.tensor([[2.0, 0, 0], [0, 3.0, 0], [0, 0, 4.0]])
    logits[0, 0, 3:, 3] = 20.0
    masks = torch.full((1, 5, 16, 24), -5.0)
    masks[0, 0, :4, :6], masks[0, 1, 8:, 6:12] = 5.0, 0.2
    batch = images((48, 80))
    predictions = MaskQueryPredictions(logits, (masks,), SIZE)
    (found,) = head.detect(predictions, batch.infos)
    assert set(found.labels.tolist()) == {0, 1}
    classes = logits[0, 0].softmax(1)
    # Both of the surest things are there; one is less sure of its class than the other of its mask.
    first = found.scores[(found.labels == 0)].max().item()
    second = found.scores[(found.labels == 1)].max().item()
    assert first == pytest.approx(classes[0, 0].item() * torch.tensor(5.0).sigmoid().item(), 0.03)
    assert second == pytest.approx(classes[1, 1].item() * torch.tensor(0.2).sigmoid().item(), 0.05)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    # At four pixels per cell, up to where interpolation makes the border; cut at the image.
    assert found.boxes[found.scores.argmax()].tolist() == [0, 0, 24, 16]
    assert found.boxes[:, 3].max() <= 48
    assert found.panoptic is not None


def test_stuff_needs_fusion() -> None:
    with pytest.raises(ConfigError, match="fusion: None, but there are 1 classes of stuff"):
        dataclasses.replace(MASK2FORMER, fusion=None).build(CHANNELS, 2, 1)
    with pytest.raises(ConfigError, match="at most one of them can be off"):
        dataclasses.replace(MASK2FORMER, fusion=None, max_detections=0)
    with pytest.raises(ConfigError, match="num_levels: 3 is not fewer than the backbone's 3 maps"):
        MASK2FORMER.build(CHANNELS[:3], 2, 1)
