"""SSD (https://arxiv.org/abs/1512.02325)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.hard_negatives import hard_negative_losses
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.module_list import ModuleList
from detzoo.layers.norm import NormConfig
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.ssd import SSDAnchors
from detzoo.structures import DensePredictions, Losses


@config
class SSDHeadConfig(DenseHeadConfig):
    """SSD: on each level, one convolution predicts the classes and one the boxes.

    Args:
        negative_ratio: Hard negative mining: background priors with the highest losses that count
            per positive prior, in each image.
        separable_norm: Norm of SSDLite's depthwise convolutions, which replace the 3x3 ones; None:
            plain SSD.
    """

    priors: SSDAnchors
    assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, match_ties=False)
    coder: BoxCoder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    classification_loss: ClassificationLoss = SoftmaxCrossEntropy()
    box_loss: BoxLoss = SmoothL1Loss()
    select: Select = Select(
        min_score=0.02, pre_nms=1000, suppression=NMS(max_iou=0.45), max_detections=200
    )
    negative_ratio: NonNegativeInt = 3
    separable_norm: NormConfig | None = None

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> SSDHead:
        return SSDHead(self, in_channels, strides, num_classes)


class SSDHead(DenseHead):
    """Children ``cls_convs`` and ``reg_convs``: per level, a sequence whose last child predicts."""

    config: SSDHeadConfig

    def __init__(
        self,
        config: SSDHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.cls_convs = ModuleList[nn.Sequential]()
        self.reg_convs = ModuleList[nn.Sequential]()
        for level, channels in enumerate(in_channels):
            boxes = config.priors.num_on(level)
            for convs, width in ((self.cls_convs, self.num_outputs), (self.reg_convs, 4)):
                convs.append(_predictor(channels, boxes * width, config.separable_norm))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if config.separable_norm is None:
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        return self.cls_convs[level](x), self.reg_convs[level](x)

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        """Computes the losses with hard negative mining."""
        return hard_negative_losses(
            self.config, predictions, targets, self.num_classes, self.config.negative_ratio
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        parameters: dict[str, ClassRows] = {}
        for level, convs in enumerate(self.cls_convs):
            rows = ClassRows(
                groups=self.config.priors.num_on(level),
                shared=self.config.classification_loss.num_outputs(0),
            )
            name = f"cls_convs.{level}.{len(convs) - 1}"
            parameters |= {f"{name}.weight": rows, f"{name}.bias": rows}
        return parameters


def _predictor(channels: int, outputs: int, separable_norm: NormConfig | None) -> nn.Sequential:
    if separable_norm is None:
        return nn.Sequential(nn.Conv2d(channels, outputs, 3, padding=1))
    depthwise = ConvModule(
        channels,
        channels,
        3,
        padding=1,
        groups=channels,
        norm=separable_norm,
        activation="relu6",
    )
    return nn.Sequential(depthwise, nn.Conv2d(channels, outputs, 1))
