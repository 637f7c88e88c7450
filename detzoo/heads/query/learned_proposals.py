"""Learned proposals (Sparse R-CNN, https://arxiv.org/abs/2011.12450)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.config import PositiveInt, config
from detzoo.heads.query.base import to_pixels
from detzoo.structures import ImageInfo


@config
class LearnedProposalsConfig:
    """Learned boxes, in normalized coordinates, and features, shared by all images.

    Args:
        num_proposals: Number of proposals.
    """

    num_proposals: PositiveInt = 100

    def build(self, channels: int) -> LearnedProposals:
        return LearnedProposals(self, channels)


class LearnedProposals(nn.Module):
    """Children ``init_proposal_bboxes`` (center and size) and ``init_proposal_features``."""

    def __init__(self, config: LearnedProposalsConfig, channels: int) -> None:
        super().__init__()
        self.init_proposal_bboxes = nn.Embedding(config.num_proposals, 4)
        self.init_proposal_features = nn.Embedding(config.num_proposals, channels)
        # Every proposal is initially the whole image.
        self.init_proposal_bboxes.weight.data.copy_(torch.tensor([0.5, 0.5, 1.0, 1.0]))

    def forward(self, infos: Sequence[ImageInfo]) -> tuple[Tensor, Tensor]:
        """Boxes (B, Q, 4), xyxy in input pixels, and features (B, Q, C)."""
        boxes = to_pixels(self.init_proposal_bboxes.weight, infos)
        return boxes, self.init_proposal_features.weight.expand(len(infos), -1, -1)
