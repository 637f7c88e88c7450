"""RetinaNet (https://arxiv.org/abs/1708.02002)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, PriorHead, PriorHeadConfig
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.losses.boxes import BoxLoss, L1Loss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, octave_scales
from detzoo.priors.base import PriorGrid


@config
class RetinaLayersConfig(PriorHeadConfig):
    """The layers of RetinaNet: two towers, for classes and boxes, shared by all levels.

    Args:
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
    """

    priors: PriorGrid = AnchorGrid(scales=octave_scales(4.0, 3))
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    num_convs: NonNegativeInt = 4
    channels: Channels = 256


class RetinaLayers(PriorHead):
    """The layers of RetinaNet and of families that train them differently.

    Children ``cls_convs``, ``reg_convs``, ``retina_cls``, ``retina_reg``.
    """

    config: RetinaLayersConfig

    def __init__(
        self,
        config: RetinaLayersConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.cls_convs, self.reg_convs = (
            tower(in_channels[0], config.channels, config.num_convs) for _ in range(2)
        )
        self.num_anchors = config.priors.num_per_cell
        self.retina_cls, self.retina_reg = (
            nn.Conv2d(config.channels, self.num_anchors * outputs, 3, padding=1)
            for outputs in (self.num_outputs, 4)
        )
        initialize_convs(self)
        set_prior_probability(self.retina_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        return self.retina_cls(self.cls_convs(x)), self.retina_reg(self.reg_convs(x))

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(groups=self.num_anchors, shared=self.config.scoring.num_outputs(0))
        return {"retina_cls.weight": rows, "retina_cls.bias": rows}


@config
class RetinaHeadConfig(RetinaLayersConfig, DenseHeadConfig):
    """RetinaNet: every anchor is trained on the target that it overlaps, or as background."""

    assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = L1Loss()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> RetinaHead:
        return RetinaHead(self, in_channels, strides, num_classes)


class RetinaHead(RetinaLayers, DenseHead):
    """The layers of RetinaNet, trained on an assignment."""

    config: RetinaHeadConfig
