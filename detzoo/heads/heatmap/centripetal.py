"""CentripetalNet's head (https://arxiv.org/abs/2003.09119)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.config import config
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

# Area in pixels from which a box counts as large, and the parts of the sides of small and of large
# boxes within which both corners must see the center: section 4.1 of the paper.
LARGE_AREA = 3500.0
SMALL_PART, LARGE_PART = 1 / 2.4, 1 / 2.1


@config
class CentripetalHeadConfig(CornerPairHeadConfig):
    """Corners that see the same center of the object belong together.

    A tag is the logarithm of the way from the corner to the center, ``tag_weight`` the weight of
    its loss. A first guess of that way, with ``guide_weight``, says where a deformable convolution
    looks for it.
    """

    tag_weight: float = 1.0
    guide_weight: float = 0.05

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> CentripetalHead:
        return CentripetalHead(self, in_channels, num_classes)


class CentripetalHead(CornerPairHead):
    """For both corners the children ``guiding_shift``, ``dcn_offset``, ``feat_adaption`` and
    ``centripetal_shift`` (after ``tl_`` and ``br_``), besides those of the base."""

    config: CentripetalHeadConfig

    def __init__(
        self, config: CentripetalHeadConfig, in_channels: Sequence[int], num_classes: int
    ) -> None:
        super().__init__(config, in_channels, num_classes)
        width = in_channels[0]
        self.tl_feat_adaption = nn.ModuleList(_look_around(width) for _ in in_channels)
        self.br_feat_adaption = nn.ModuleList(_look_around(width) for _ in in_channels)
        self.tl_guiding_shift, self.br_guiding_shift = self.branches(width, 2)
        self.tl_dcn_offset = nn.ModuleList(_sampling() for _ in in_channels)
        self.br_dcn_offset = nn.ModuleList(_sampling() for _ in in_channels)
        self.tl_centripetal_shift, self.br_centripetal_shift = self.branches(width, 2)

    def forward_stack(self, x: Tensor, stack: int) -> CornerPair:
        start, end = self.tl_pool[stack](x), self.br_pool[stack](x)
        start_guide = self.tl_guiding_shift[stack](start)
        end_guide = self.br_guiding_shift[stack](end)
        # What follows must not bend the guess to its own needs.
        start_look = self.tl_feat_adaption[stack](
            start, self.tl_dcn_offset[stack](start_guide.detach())
        )
        end_look = self.br_feat_adaption[stack](end, self.br_dcn_offset[stack](end_guide.detach()))
        return CornerPair(
            CornerMaps(
                self.tl_heat[stack](start),
                self.tl_off[stack](start),
                self.tl_centripetal_shift[stack](start_look),
                start_guide,
            ),
            CornerMaps(
                self.br_heat[stack](end),
                self.br_off[stack](end),
                self.br_centripetal_shift[stack](end_look),
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
            guides.append(at_corners(maps.guide, wanted.from_cell, wanted))
            # Cells without a corner have no logarithm; they do not count.
            way = torch.where(wanted.is_corner, wanted.from_corner, 1.0)
            tags.append(at_corners(maps.tag, way.log(), wanted))
        return {
            "guiding_loss": self.config.guide_weight * torch.stack(guides).mean(),
            "centripetal_loss": self.config.tag_weight * torch.stack(tags).mean(),
        }

    def is_pair(
        self, start: Corners, end: Corners, boxes: Tensor, cell: Tensor, origin: Tensor
    ) -> Tensor:
        """Whether both centers lie in the middle of the box, and close together: the area between
        them is at most ``max_distance`` of that of the middle."""
        seen = ((start.position + start.tag.exp()) * cell - origin).clamp(min=0)[:, None]
        other = ((end.position - end.tag.exp()) * cell - origin).clamp(min=0)[None]
        size = boxes[..., 2:] - boxes[..., :2]
        is_large = size.prod(-1).abs() > LARGE_AREA
        part = torch.where(is_large, LARGE_PART, SMALL_PART)[..., None]
        center, reach = (boxes[..., :2] + boxes[..., 2:]) / 2, size * part / 2
        low, high = center - reach, center + reach
        in_middle = ((seen > low) & (seen < high) & (other > low) & (other < high)).all(-1)
        between = (other - seen).prod(-1).abs()
        middle = (high - low).prod(-1).abs()
        return in_middle & (between / middle <= self.config.max_distance)


def _look_around(channels: int) -> ShiftedConv2d:
    conv = ShiftedConv2d(channels, channels)
    nn.init.normal_(conv.weight, std=0.01)
    return conv


def _sampling() -> ConvModule:
    """From a guess of the center (x, y) to nine sampling positions."""
    conv = ConvModule(2, 18, 1, bias=False, activation="none")
    nn.init.normal_(conv.conv.weight, std=0.1)
    return conv
