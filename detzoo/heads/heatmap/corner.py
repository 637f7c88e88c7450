"""CornerNet (https://arxiv.org/abs/1808.01244)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, config
from detzoo.heads.heatmap.corner_base import (
    CornerMaps,
    CornerPair,
    CornerPairHead,
    CornerPairHeadConfig,
    Corners,
    CornerTargets,
)

# Margin between the tags of different objects.
MARGIN = 1.0


@config
class CornerHeadConfig(CornerPairHeadConfig):
    """CornerNet: pairs corners with similar tags, which are single numbers (associative embedding,
    https://arxiv.org/abs/1611.05424).

    Args:
        pull_weight: Weight of the loss that pulls the tags of each object together.
        push_weight: Weight of the loss that pushes the tags of different objects apart.
    """

    pull_weight: NonNegativeFloat = 0.1
    push_weight: NonNegativeFloat = 0.1

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> CornerHead:
        return CornerHead(self, in_channels, num_classes)


class CornerHead(CornerPairHead):
    """In addition to the base's children, ``tl_emb`` and ``br_emb``."""

    config: CornerHeadConfig

    def __init__(
        self, config: CornerHeadConfig, in_channels: Sequence[int], num_classes: int
    ) -> None:
        super().__init__(config, in_channels, num_classes)
        self.tl_emb, self.br_emb = self.branches(in_channels[0], 1)

    def forward_stack(self, x: Tensor, stack: int) -> CornerPair:
        start, end = self.tl_pool[stack](x), self.br_pool[stack](x)
        return CornerPair(
            CornerMaps(
                self.tl_heat[stack](start), self.tl_off[stack](start), self.tl_emb[stack](start)
            ),
            CornerMaps(self.br_heat[stack](end), self.br_off[stack](end), self.br_emb[stack](end)),
        )

    def tag_losses(
        self, pair: CornerPair, targets: tuple[CornerTargets, CornerTargets]
    ) -> dict[str, Tensor]:
        """Pull and push losses, summed over the images."""
        pulls, pushes = [], []
        for image, (start, end) in enumerate(zip(targets[0].cells, targets[1].cells)):
            first = pair.top_left.tag[image, 0, start[:, 1], start[:, 0]].float()
            second = pair.bottom_right.tag[image, 0, end[:, 1], end[:, 0]].float()
            pull, push = embedding_losses(first, second)
            pulls.append(pull)
            pushes.append(push)
        return {
            "pull_loss": self.config.pull_weight * torch.stack(pulls).sum(),
            "push_loss": self.config.push_weight * torch.stack(pushes).sum(),
        }

    def is_pair(
        self, start: Corners, end: Corners, boxes: Tensor, cell: Tensor, origin: Tensor
    ) -> Tensor:
        return (start.tag - end.tag.T).abs() <= self.config.max_distance


def embedding_losses(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Pull and push loss of the tags (N,) at the two corners of N objects."""
    count = len(first)
    mean = (first + second) / 2
    pull = ((first - mean).square() + (second - mean).square()).sum() / max(count, 1)
    closeness = (MARGIN - (mean[:, None] - mean).abs()).clamp(min=0)
    others = 1 - torch.eye(count, device=mean.device)
    return pull, (closeness * others).sum() / max(count * (count - 1), 1)
