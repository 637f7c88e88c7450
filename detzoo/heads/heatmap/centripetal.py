"""CentripetalNet (https://arxiv.org/abs/2003.09119)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.config import NonNegativeFloat, config
from detzoo.heads.heatmap.corner_base import (
    CornerMaps,
    CornerPair,
    CornerPairHead,
    CornerPairHeadConfig,
    Corners,
    CornerTargets,
    at_corners,
)
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.shifted_conv import ShiftedConv2d

# The area, in pixels, above which a box is large, and the fractions of the sides of small and large
# boxes that delimit their central regions: section 4.1 of the paper.
LARGE_AREA = 3500.0
SMALL_PART, LARGE_PART = 1 / 2.4, 1 / 2.1


@config
class CentripetalHeadConfig(CornerPairHeadConfig):
    """CentripetalNet: pairs corners whose centripetal shifts lead to the same center. The tag of a
    corner is the logarithm of its shift; an initial estimate, the guiding shift, determines the
    offsets of the deformable convolution that predicts it.

    Args:
        tag_weight: Weight of the loss of the centripetal shifts.
        guide_weight: Weight of the loss of the guiding shifts.
    """

    tag_weight: NonNegativeFloat = 1.0
    guide_weight: NonNegativeFloat = 0.05

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> CentripetalHead:
        return CentripetalHead(self, in_channels, num_classes)


class CentripetalHead(CornerPairHead):
    """In addition to the base's children, for both corners (prefixes ``tl_`` and ``br_``):
    ``guiding_shift``, ``dcn_offset``, ``feat_adaption`` and ``centripetal_shift``."""

    config: CentripetalHeadConfig

    def __init__(
        self, config: CentripetalHeadConfig, in_channels: Sequence[int], num_classes: int
    ) -> None:
        super().__init__(config, in_channels, num_classes)
        width = in_channels[0]
        self.tl_feat_adaption = nn.ModuleList(_feature_adaption(width) for _ in in_channels)
        self.br_feat_adaption = nn.ModuleList(_feature_adaption(width) for _ in in_channels)
        self.tl_guiding_shift, self.br_guiding_shift = self.branches(width, 2)
        self.tl_dcn_offset = nn.ModuleList(_offset_conv() for _ in in_channels)
        self.br_dcn_offset = nn.ModuleList(_offset_conv() for _ in in_channels)
        self.tl_centripetal_shift, self.br_centripetal_shift = self.branches(width, 2)

    def forward_stack(self, x: Tensor, stack: int) -> CornerPair:
        start, end = self.tl_pool[stack](x), self.br_pool[stack](x)
        start_guide = self.tl_guiding_shift[stack](start)
        end_guide = self.br_guiding_shift[stack](end)
        # The guiding shifts are trained by their own loss only.
        start_adapted = self.tl_feat_adaption[stack](
            start, self.tl_dcn_offset[stack](start_guide.detach())
        )
        end_adapted = self.br_feat_adaption[stack](
            end, self.br_dcn_offset[stack](end_guide.detach())
        )
        return CornerPair(
            CornerMaps(
                self.tl_heat[stack](start),
                self.tl_off[stack](start),
                self.tl_centripetal_shift[stack](start_adapted),
                start_guide,
            ),
            CornerMaps(
                self.br_heat[stack](end),
                self.br_off[stack](end),
                self.br_centripetal_shift[stack](end_adapted),
                end_guide,
            ),
        )

    def tag_losses(
        self, pair: CornerPair, targets: tuple[CornerTargets, CornerTargets]
    ) -> dict[str, Tensor]:
        kinds = list(zip((pair.top_left, pair.bottom_right), targets))
        guides, tags = [], []
        for maps, wanted in kinds:
            assert maps.guide is not None
            guides.append(at_corners(maps.guide, wanted.guiding_shift, wanted))
            # Cells without a corner are not used, but must have a finite logarithm.
            shift = torch.where(wanted.is_corner, wanted.centripetal_shift, 1.0)
            tags.append(at_corners(maps.tag, shift.log(), wanted))
        return {
            "guiding_loss": self.config.guide_weight * torch.stack(guides).mean(),
            "centripetal_loss": self.config.tag_weight * torch.stack(tags).mean(),
        }

    def is_pair(
        self, start: Corners, end: Corners, boxes: Tensor, cell: Tensor, origin: Tensor
    ) -> Tensor:
        """Whether both centers are in the box's central region and close together: the area between
        them is at most ``max_distance`` times that of the region."""
        seen = ((start.position + start.tag.exp()) * cell - origin).clamp(min=0)[:, None]
        other = ((end.position - end.tag.exp()) * cell - origin).clamp(min=0)[None]
        size = boxes[..., 2:] - boxes[..., :2]
        is_large = size.prod(-1).abs() > LARGE_AREA
        part = torch.where(is_large, LARGE_PART, SMALL_PART)[..., None]
        center, reach = (boxes[..., :2] + boxes[..., 2:]) / 2, size * part / 2
        low, high = center - reach, center + reach
        in_region = ((seen > low) & (seen < high) & (other > low) & (other < high)).all(-1)
        between = (other - seen).prod(-1).abs()
        region = (high - low).prod(-1).abs()
        return in_region & (between / region <= self.config.max_distance)


def _feature_adaption(channels: int) -> ShiftedConv2d:
    conv = ShiftedConv2d(channels, channels)
    nn.init.normal_(conv.weight, std=0.01)
    return conv


def _offset_conv() -> ConvModule:
    """Predicts the offsets of nine samples from a guiding shift (x, y)."""
    conv = ConvModule(2, 18, 1, bias=False, activation="none")
    nn.init.normal_(conv.conv.weight, std=0.1)
    return conv
