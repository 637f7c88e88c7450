"""RetinaNet with guided anchors (https://arxiv.org/abs/1901.03278)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.assigners.approximate import ApproximateIoUAssigner
from detzoo.assigners.base import Assigner, PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.guided import (
    FeatureAdaption,
    GuidedAnchorHead,
    GuidedAnchorHeadConfig,
    GuidedPredictions,
)
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.structures import Candidates, ImageInfo


@config
class GuidedRetinaHeadConfig(GuidedAnchorHeadConfig):
    """RetinaNet on guided anchors: locations come from the class tower, shapes from the box tower.

    Args:
        num_convs: Number of convolutions in each tower.
    """

    priors: AnchorGrid = AnchorGrid(scales=(4.0,), ratios=(1.0,))
    assigner: Assigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5)
    shape_assigner: PriorAssigner = ApproximateIoUAssigner(
        matching=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4, min_positive_iou=0.4)
    )
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = SmoothL1Loss(beta=0.04)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    num_convs: NonNegativeInt = 4

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> GuidedRetinaHead:
        return GuidedRetinaHead(self, in_channels, strides, num_classes)


class GuidedRetinaHead(GuidedAnchorHead):
    """Children ``cls_convs``, ``reg_convs``, ``conv_loc``, ``conv_shape``, ``retina_cls``,
    ``retina_reg``, ``feature_adaption_cls``, ``feature_adaption_reg``."""

    def __init__(
        self,
        config: GuidedRetinaHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        channels = config.channels
        self.cls_convs = tower(in_channels[0], channels, config.num_convs)
        self.reg_convs = tower(in_channels[0], channels, config.num_convs)
        self.conv_loc = nn.Conv2d(channels, 1, 1)
        self.conv_shape = nn.Conv2d(channels, 2, 1)
        self.feature_adaption_cls = FeatureAdaption(channels)
        self.feature_adaption_reg = FeatureAdaption(channels)
        self.retina_cls = nn.Conv2d(channels, self.num_outputs, 3, padding=1)
        self.retina_reg = nn.Conv2d(channels, 4, 3, padding=1)
        initialize_convs(self)
        self.feature_adaption_cls.initialize()
        self.feature_adaption_reg.initialize()
        set_prior_probability(self.conv_loc)
        set_prior_probability(self.retina_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        classes, boxes = self.cls_convs(x), self.reg_convs(x)
        shapes = self.conv_shape(boxes)
        return (
            self.retina_cls(self.feature_adaption_cls(classes, shapes)),
            self.retina_reg(self.feature_adaption_reg(boxes, shapes)),
            shapes,
            self.conv_loc(classes),
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.classification_loss.num_outputs(0))
        return {"retina_cls.weight": rows, "retina_cls.bias": rows}

    def decode(
        self, predictions: GuidedPredictions, infos: Sequence[ImageInfo]
    ) -> list[Candidates]:
        """Decodes the anchors with the highest scores, each with all classes above the minimum
        score.
        """
        select = self.config.select
        scores = self.config.classification_loss.scores(predictions.cls_logits.float())
        scores = scores * self.counts(predictions)[..., None]
        anchors = self.anchors(predictions)
        out = []
        for image, info in enumerate(infos):
            best = predictions.priors.best_of_levels(scores[image].amax(1), select.pre_nms)
            row, labels, chosen = select.pairs(scores[image, best])
            priors = best[row]
            boxes = self.config.coder.decode(
                anchors[image, priors], predictions.box_deltas[image, priors].float(), info.size
            )
            out.append(Candidates(boxes, chosen, labels, labels))
        return out
