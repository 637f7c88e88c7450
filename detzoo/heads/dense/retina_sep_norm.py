"""RetinaNet with separate norms per level (NAS-FPN, https://arxiv.org/abs/1904.07392)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.losses.boxes import BoxLoss, L1Loss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, octave_scales
from detzoo.priors.base import PriorGrid


@config
class RetinaSepNormHeadConfig(DenseHeadConfig):
    """RetinaNet whose levels share convolutions but not norms, as their statistics differ.

    Args:
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers.
    """

    priors: PriorGrid = AnchorGrid(scales=octave_scales(4.0, 3))
    assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5)
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = L1Loss()
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    num_convs: NonNegativeInt = 4
    channels: Channels = 256
    norm: NormConfig = BatchNormConfig()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> RetinaSepNormHead:
        return RetinaSepNormHead(self, in_channels, strides, num_classes)


class RetinaSepNormHead(DenseHead):
    """Children ``cls_convs`` and ``reg_convs``, with one tower per level, ``retina_cls``,
    ``retina_reg``.

    A shared convolution has a name on every level, also in checkpoints.
    """

    def __init__(
        self,
        config: RetinaSepNormHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.cls_convs = _towers(config, in_channels)
        self.reg_convs = _towers(config, in_channels)
        self.num_anchors = config.priors.num_per_cell
        self.retina_cls = nn.Conv2d(
            config.channels, self.num_anchors * self.num_outputs, 3, padding=1
        )
        self.retina_reg = nn.Conv2d(config.channels, self.num_anchors * 4, 3, padding=1)
        initialize_convs(self)
        set_prior_probability(self.retina_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        classes, boxes = self.cls_convs[level](x), self.reg_convs[level](x)
        return self.retina_cls(classes), self.retina_reg(boxes)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(
            groups=self.num_anchors, shared=self.config.classification_loss.num_outputs(0)
        )
        return {"retina_cls.weight": rows, "retina_cls.bias": rows}


def _towers(config: RetinaSepNormHeadConfig, in_channels: Sequence[int]) -> nn.ModuleList:
    """One tower per level, with shared convolutions."""
    first, *others = towers = [
        tower(channels, config.channels, config.num_convs, norm=config.norm)
        for channels in in_channels
    ]
    for other in others:
        for layer, shared in zip(other, first):
            layer.conv = shared.conv
    return nn.ModuleList(towers)
