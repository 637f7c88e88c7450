"""Transformers see nothing of the padding; proposals; the choice of detections."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.heads.query.base import best_pairs, to_pixels
from detzoo.heads.query.deformable_detr import DeformableDETRHeadConfig
from detzoo.heads.query.deformable_transformer import (
    DeformableTransformer,
    DeformableTransformerConfig,
    Pyramid,
    inverse_sigmoid,
)
from detzoo.heads.query.detr import DETRHeadConfig, Transformer, TransformerConfig
from detzoo.heads.query.set_loss import QueryPredictions
from detzoo.layers.positional_encoding import ValidCells
from detzoo.structures import ImageBatch, ImageInfo

SMALL = TransformerConfig(
    channels=8, num_heads=2, encoder_layers=1, decoder_layers=2, feedforward_channels=16
)
DEFORMABLE = DeformableTransformerConfig(
    channels=8,
    num_heads=2,
    num_points=2,
    encoder_layers=2,
    decoder_layers=1,
    feedforward_channels=16,
)
CPU = torch.device("cpu")


def test_transformer_does_not_look_at_padding() -> None:
    torch.manual_seed(0)
    transformer = Transformer(SMALL).eval()
    cells, positions, queries = torch.randn(1, 6, 8), torch.randn(1, 6, 8), torch.randn(3, 8)
    key_mask = torch.tensor([[True, True, False, True, False, False]])
    kept = key_mask[0]
    masked = transformer(cells, positions, queries, key_mask)
    alone = transformer(cells[:, kept], positions[:, kept], queries, None)
    torch.testing.assert_close(masked, alone)


def pyramid(size: tuple[int, int], of: tuple[int, int], *strides: int) -> Pyramid:
    grids = [(of[0] // stride, of[1] // stride) for stride in strides]
    return Pyramid.of([ValidCells.of([ImageInfo.of(size)], of, grid, CPU) for grid in grids])


def test_deformable_encoder_does_not_look_at_padding() -> None:
    torch.manual_seed(0)
    transformer = DeformableTransformer(DEFORMABLE, 2, two_stage=False).eval()
    features = [torch.randn(1, 8, 6, 8), torch.randn(1, 8, 3, 4)]
    positions = [torch.randn(1, 48, 8), torch.randn(1, 12, 8)]
    whole = pyramid((48, 64), (48, 64), 8, 16)
    alone = transformer.encode(features, positions, whole)
    larger = pyramid((48, 64), (64, 96), 8, 16)
    assert larger.valid is not None
    padded, padded_positions = [], []
    for feature, position, (height, width) in zip(features, positions, larger.grids):
        canvas, places = (torch.randn(1, 8, height, width) for _ in range(2))
        rows, columns = feature.shape[2:]
        canvas[:, :, :rows, :columns] = feature
        places[:, :, :rows, :columns] = position.transpose(1, 2).unflatten(2, (rows, columns))
        padded.append(canvas)
        padded_positions.append(places.flatten(2).transpose(1, 2))
    found = transformer.encode(padded, padded_positions, larger)
    torch.testing.assert_close(found[larger.valid], alone[0], atol=1e-5, rtol=1e-5)


def test_proposals_start_at_their_cells() -> None:
    torch.manual_seed(0)
    transformer = DeformableTransformer(DEFORMABLE, 2, two_stage=True)
    levels = pyramid((48, 64), (64, 64), 8, 16)
    memory = torch.randn(1, 8 * 8 + 4 * 4, 8)
    cells, boxes = transformer.propose(memory, levels)
    start = boxes.sigmoid()[0]
    # Cell (row 2, column 3) of the first level, and (0, 1) of the second.
    wanted = torch.tensor([3.5 / 8, 2.5 / 6, 0.05, 0.05])
    torch.testing.assert_close(start[2 * 8 + 3], wanted)
    torch.testing.assert_close(start[64 + 1], torch.tensor([1.5 / 4, 0.5 / 3, 0.1, 0.1]))
    # Rows from the sixth on are padding: their box is where the sigmoid ends, all cells alike.
    assert (start[6 * 8 : 64] == 1).all()
    assert torch.equal(cells[0, 48], cells[0, 63])


@pytest.mark.parametrize("refines", [False, True])
@pytest.mark.parametrize("two_stage", [False, True])
def test_branches(refines: bool, two_stage: bool) -> None:
    config = DeformableDETRHeadConfig(
        num_queries=5, transformer=DEFORMABLE, refines_boxes=refines, two_stage=two_stage
    )
    head = config.build((8, 8), 3)
    assert len(head.cls_branches) == len(head.reg_branches) == 1 + two_stage
    distinct = {id(branch) for branch in head.reg_branches}
    assert len(distinct) == (len(head.reg_branches) if refines else 1)
    images = ImageBatch(torch.zeros(1, 3, 64, 64), (ImageInfo.of((64, 64)),))
    predictions = head((torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)), images)
    assert predictions.logits.shape == (1, 1, 5, 3)
    assert (predictions.proposals is not None) is two_stage
    assert all(name in dict(head.state_dict()) for name in head.class_parameters())


def test_fewer_cells_than_queries() -> None:
    config = DeformableDETRHeadConfig(num_queries=50, transformer=DEFORMABLE, two_stage=True)
    images = ImageBatch(torch.zeros(1, 3, 32, 32), (ImageInfo.of((32, 32)),))
    head = config.build((8, 8), 3)
    predictions = head((torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)), images)
    assert predictions.logits.shape == (1, 1, 20, 3)


def test_softmax_has_one_detection_per_query_and_sigmoid_the_best_pairs() -> None:
    info = ImageInfo.of((10, 20))
    logits = torch.tensor([[2.0, 1.9, 0.0], [0.0, 0.1, 3.0]]).view(1, 1, 2, 3)
    boxes = torch.tensor([[-5.0, 0.0, 25.0, 8.0], [1.0, 1.0, 2.0, 2.0]]).view(1, 1, 2, 4)
    predictions = QueryPredictions(logits, boxes)
    head = DETRHeadConfig(num_queries=2, transformer=SMALL).build((8,), 2)
    (found,) = head.detect(predictions, [info])
    assert found.labels.tolist() == [0, 1]  # the third output is background
    assert found.boxes[0].tolist() == [0, 0, 20, 8]
    config = DeformableDETRHeadConfig(num_queries=2, transformer=DEFORMABLE, max_detections=2)
    (found,) = config.build((8,), 3).detect(predictions, [info])
    assert found.labels.tolist() == [2, 0]
    assert found.boxes[0].tolist() == [1, 1, 2, 2]


def test_helpers() -> None:
    boxes = to_pixels(torch.tensor([[[0.5, 0.5, 0.2, 0.4]]]), [ImageInfo.of((100, 50))])
    torch.testing.assert_close(boxes, torch.tensor([[[20.0, 30.0, 30.0, 70.0]]]))
    query, scores, labels = best_pairs(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), 3)
    assert query.tolist() == [0, 1, 1]
    assert labels.tolist() == [1, 0, 1]
    assert scores.tolist() == pytest.approx([0.9, 0.8, 0.2])
    ends = inverse_sigmoid(torch.tensor([0.0, 0.5, 1.0]))
    assert ends.isfinite().all()
    assert ends[1] == 0


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="channels: 10 is not a multiple of 4"):
        dataclasses.replace(SMALL, channels=10)
    with pytest.raises(ConfigError, match="num_queries: 0"):
        DETRHeadConfig(num_queries=0)
    with pytest.raises(
        ConfigError, match=r"channels: 256 must equal the channels of the neck's maps, 8"
    ):
        DeformableDETRHeadConfig().build((8, 8), 3)
