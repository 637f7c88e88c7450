"""RetinaNet's head (https://arxiv.org/abs/1708.02002)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig
from detzoo.layers.conv import ConvModule
from detzoo.losses.boxes import BoxLoss, L1Loss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, octave_scales
from detzoo.priors.base import PriorGrid

# Initial score of every class: rare objects must not start from even odds.
PRIOR_PROBABILITY = 0.01


@config
class RetinaHeadConfig(DenseHeadConfig):
    """Two towers of ``num_convs`` convolutions, shared by all levels: classes and boxes."""

    priors: PriorGrid = AnchorGrid(scales=octave_scales(4.0, 3))
    assigner: Assigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = L1Loss()
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    num_convs: int = 4
    channels: int = 256

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> RetinaHead:
        return RetinaHead(self, in_channels, strides, num_classes)


class RetinaHead(DenseHead):
    """Children ``cls_convs``, ``reg_convs``, ``retina_cls``, ``retina_reg``."""

    def __init__(
        self,
        config: RetinaHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.cls_convs = _tower(in_channels[0], config)
        self.reg_convs = _tower(in_channels[0], config)
        self.num_anchors = config.priors.num_per_cell
        self.retina_cls = nn.Conv2d(
            config.channels, self.num_anchors * self.num_outputs, 3, padding=1
        )
        self.retina_reg = nn.Conv2d(config.channels, self.num_anchors * 4, 3, padding=1)
        initialise_convs(self)
        assert self.retina_cls.bias is not None
        nn.init.constant_(self.retina_cls.bias, -math.log(1 / PRIOR_PROBABILITY - 1))

    def forward_level(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.retina_cls(self.cls_convs(x)), self.retina_reg(self.reg_convs(x))

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(
            groups=self.num_anchors, shared=self.config.classification_loss.num_outputs(0)
        )
        return {"retina_cls.weight": rows, "retina_cls.bias": rows}


def _tower(in_channels: int, config: RetinaHeadConfig) -> nn.Sequential:
    widths = [in_channels, *[config.channels] * config.num_convs]
    return nn.Sequential(*(ConvModule(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)))


def initialise_convs(module: nn.Module) -> None:
    """Small weights, so that a fresh head says nothing strongly."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
