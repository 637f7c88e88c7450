"""RetinaNet's head (https://arxiv.org/abs/1708.02002)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig
from detzoo.heads.dense.towers import expect_rarely, initialise_convs, tower
from detzoo.losses.boxes import BoxLoss, L1Loss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, octave_scales
from detzoo.priors.base import PriorGrid


@config
class RetinaHeadConfig(DenseHeadConfig):
    """Two towers of ``num_convs`` convolutions, shared by all levels: classes and boxes."""

    priors: PriorGrid = AnchorGrid(scales=octave_scales(4.0, 3))
    assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
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
        self.cls_convs = tower(in_channels[0], config.channels, config.num_convs)
        self.reg_convs = tower(in_channels[0], config.channels, config.num_convs)
        self.num_anchors = config.priors.num_per_cell
        self.retina_cls = nn.Conv2d(
            config.channels, self.num_anchors * self.num_outputs, 3, padding=1
        )
        self.retina_reg = nn.Conv2d(config.channels, self.num_anchors * 4, 3, padding=1)
        initialise_convs(self)
        expect_rarely(self.retina_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        return self.retina_cls(self.cls_convs(x)), self.retina_reg(self.reg_convs(x))

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(
            groups=self.num_anchors, shared=self.config.classification_loss.num_outputs(0)
        )
        return {"retina_cls.weight": rows, "retina_cls.bias": rows}
