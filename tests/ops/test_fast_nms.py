from __future__ import annotations

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from detzoo.export.onnx import OPSET, translations
from detzoo.export.program import quiet
from detzoo.ops.nms import fast_nms_mask, fast_nms_mask_of_pairs, grouped_fast_nms
from detzoo.postprocess.nms import FastNMS
from detzoo.structures import Candidates


def row(*starts: float) -> torch.Tensor:
    """Boxes of ten by ten pixels, from these columns on."""
    return torch.tensor([[x, 0.0, x + 10, 10] for x in starts])


def test_boxes_that_are_dropped_drop_others() -> None:
    """Greedy NMS would keep the third: the second, which it overlaps, is gone by then."""
    scores = torch.tensor([0.7, 0.9, 0.8])
    kept = grouped_fast_nms(row(6, 0, 3), scores, torch.zeros(3), 0.4, 200)
    assert kept.tolist() == [1]


def test_groups_and_limit() -> None:
    boxes, scores = row(0, 0, 100, 200, 300), torch.tensor([0.5, 0.9, 0.6, 0.8, 0.7])
    group = torch.tensor([3, 1, 3, 3, 3])
    assert grouped_fast_nms(boxes, scores, group, 0.5, 3).tolist() == [1, 3, 4, 2]
    assert grouped_fast_nms(boxes[:0], scores[:0], group[:0], 0.5, 3).tolist() == []
    candidates = Candidates(boxes, scores, group, group)
    index, kept_scores = FastNMS(max_per_group=1)(candidates)
    assert index.tolist() == [1, 3]
    assert kept_scores.tolist() == [scores[1], scores[3]]


def crowd() -> Candidates:
    """Boxes of three groups, of which some are padding."""
    generator = torch.Generator().manual_seed(0)
    low = 30 * torch.rand((60, 2), generator=generator)
    boxes = torch.cat([low, low + 12], 1)
    scores = torch.rand(60, generator=generator).where(torch.arange(60) % 5 > 0, -1.0)
    group = torch.randint(0, 3, (60,), generator=generator)
    return Candidates(boxes, scores, group, group)


@pytest.mark.parametrize("limit", [4, 200])
def test_fixed_shapes(limit: int) -> None:
    """The same with a number of boxes to begin with, of which some are padding."""
    every = crowd()
    suppression = FastNMS(max_iou=0.4, max_per_group=limit)
    real = (every.scores >= 0).nonzero()[:, 0]
    kept, kept_scores = suppression(every[real])
    index, best = suppression.best(every, 40)
    assert index[best >= 0].tolist() == real[kept].tolist()
    assert best[best >= 0].tolist() == kept_scores.tolist()


@pytest.mark.parametrize("limit", [4, 200])
def test_a_gpu_keeps_the_same(limit: int) -> None:
    every = crowd()
    given = (every.boxes, every.scores, every.group, 0.4, limit)
    wanted = fast_nms_mask(*given)
    assert 0 < int(wanted.sum()) < 48
    assert torch.equal(fast_nms_mask_of_pairs(*given), wanted)


@pytest.mark.parametrize("limit", [4, 200])
def test_onnx_keeps_the_same(limit: int) -> None:
    class Keep(nn.Module):
        def forward(self, boxes: Tensor, scores: Tensor, group: Tensor) -> Tensor:
            return fast_nms_mask(boxes, scores, group, 0.4, limit)

    every = crowd()
    given = {"boxes": every.boxes, "scores": every.scores, "group": every.group}
    with quiet():
        exported = torch.onnx.export(
            torch.export.export(Keep(), tuple(given.values())),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(given),
            custom_translation_table=translations(),
            verbose=False,
        )
    assert exported is not None
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString())
    (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
    assert found.tolist() == Keep()(*given.values()).tolist()
