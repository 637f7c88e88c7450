"""Raw outputs of dense heads."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Priors:
    """P anchors or points of all levels, fine to coarse.

    ``boxes`` (P, 4) xyxy in input pixels (a point is a box of size zero); ``stride`` (P,) of the
    prior's level in pixels; ``level_sizes`` are the numbers of priors and ``grids`` the sizes
    (height, width) in cells of the levels.
    """

    boxes: Tensor
    stride: Tensor
    level_sizes: tuple[int, ...]
    grids: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.boxes)

    @functools.cached_property
    def level(self) -> Tensor:
        """The index of each prior's level: (P,)."""
        with torch.inference_mode(False):  # it is cached, and may be used in training
            device = self.boxes.device
            levels = [torch.full((n,), i, device=device) for i, n in enumerate(self.level_sizes)]
            return torch.cat(levels)

    def best_of_levels(self, values: Tensor, limit: int | None) -> Tensor:
        """Indices (..., K) of the ``limit`` highest values (..., P) per level; None: no limit."""
        if limit is None:
            return torch.arange(values.shape[-1], device=values.device).expand(values.shape)
        best, start = [], 0
        for level in values.split(self.level_sizes, -1):
            best.append(level.topk(torch.sym_min(limit, level.shape[-1]), -1).indices + start)
            start += level.shape[-1]
        return torch.cat(best, -1)


@dataclass(frozen=True)
class DensePredictions:
    """Outputs of a dense head for the priors of all levels, concatenated along P.

    ``cls_logits`` (B, P, C), ``box_deltas`` (B, P, D), ``quality_logits`` (B, P) if the head
    predicts the quality of its boxes (centerness, IoU).
    """

    cls_logits: Tensor
    box_deltas: Tensor
    priors: Priors
    quality_logits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.cls_logits)
