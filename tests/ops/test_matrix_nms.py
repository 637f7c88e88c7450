"""Suppression of masks, against loops over pairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detzoo.ops.matrix_nms import matrix_decay
from detzoo.postprocess.matrix_nms import MaskSelect, MatrixNMS
from detzoo.postprocess.static import StaticMaskSelect


def reference(masks: Tensor, labels: Tensor, sigma: float) -> list[float]:
    def overlap(i: int, j: int) -> float:
        if labels[i] != labels[j]:
            return 0.0
        common, union = (masks[i] & masks[j]).sum(), (masks[i] | masks[j]).sum()
        return float(common / union)

    def worst(j: int) -> float:
        return max((overlap(i, j) for i in range(j)), default=0.0)

    return [
        min(
            [math.exp(sigma * (worst(i) ** 2 - overlap(i, j) ** 2)) for i in range(j)]
            # Nothing falls by a mask that it does not overlap.
            + [1.0] * (j == 0)
        )
        for j in range(len(masks))
    ]


def test_equals_loops_over_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand((12, 6, 7), generator=generator) > 0.4
    labels = torch.randint(2, (12,), generator=generator)
    found = matrix_decay(masks, labels, sigma=2.0)
    wanted = torch.tensor(reference(masks, labels, 2.0))
    # A mask never rises, whatever the better ones have lost.
    torch.testing.assert_close(found, wanted.clamp(max=1.0))


def test_a_copy_falls_and_others_stay() -> None:
    square = torch.zeros(4, 4, dtype=torch.bool)
    square[:2, :2] = True
    masks = torch.stack([square, square, ~square, square])
    labels = torch.tensor([0, 0, 0, 1])
    decay = matrix_decay(masks, labels, sigma=2.0)
    torch.testing.assert_close(decay, torch.tensor([1.0, math.exp(-2.0), 1.0, 1.0]))


def test_no_masks() -> None:
    none = torch.zeros(0, 4, 4)
    assert matrix_decay(none, torch.zeros(0, dtype=torch.long), 2.0).shape == (0,)
    select = MaskSelect()
    kept, scores = select(none, torch.zeros(0, dtype=torch.long), torch.zeros(0), torch.zeros(0))
    assert len(kept) == len(scores) == 0


def test_fixed_shapes() -> None:
    """No more masks than candidates, and no more than cells, of which one has two candidates."""
    scores = torch.tensor([[0.9, 0.0], [0.3, 0.8], [0.0, 0.2]])
    for limit, cells, mask in ((2, [0, 1], [0, 1]), (4, [0, 1, 2], [0, 1, 1, 2])):
        pairs = StaticMaskSelect(max_candidates=limit).pairs(scores)
        assert pairs.cells.tolist() == cells
        assert pairs.mask.tolist() == mask
        assert pairs.labels.tolist() == [0, 1, 0, 1][:limit]


def test_selection() -> None:
    square = torch.zeros(4, 4, dtype=torch.bool)
    square[:2, :2] = True
    masks = torch.stack([square, ~square])
    # Candidates 0 and 2 share a mask and a class, 1 has that mask in another class.
    mask, labels = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 0, 0])
    scores = torch.tensor([0.6, 0.5, 0.9, 0.2])
    select = MaskSelect(suppression=MatrixNMS(sigma=2.0, min_score=0.1), max_detections=3)
    kept, found = select(masks, mask, scores, labels)
    assert kept.tolist() == [2, 1, 3]
    torch.testing.assert_close(found, torch.tensor([0.9, 0.5, 0.2]))
    few, _ = MaskSelect(pre_nms=1)(masks, mask, scores, labels)
    assert few.tolist() == [2]
