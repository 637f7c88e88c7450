"""RetinaNet with side-aware boundary localization (SABL, https://arxiv.org/abs/1912.04260)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.approximate import ApproximateIoUAssigner
from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.coders.buckets import NUM_NEAREST, BucketCoder
from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.norm import NormConfig
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.buckets import bucket_losses
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.base import PriorGrid
from detzoo.structures import Candidates, DensePredictions, ImageInfo, Losses


@config
class SABLRetinaHeadConfig(DenseHeadConfig):
    """RetinaNet that localizes each side of a box by buckets, relative to one square per cell.
    ``box_loss`` is the loss of the offsets within buckets.

    Args:
        bucket_loss_weight: Weight of the loss of the buckets.
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
    """

    priors: PriorGrid = AnchorGrid(scales=(4.0,), ratios=(1.0,))
    assigner: PriorAssigner = ApproximateIoUAssigner(
        matching=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
    )
    coder: BucketCoder = BucketCoder(scale=3.0)
    classification_loss: ClassificationLoss = FocalLoss()
    bucket_loss_weight: NonNegativeFloat = 1.5
    box_loss: BoxLoss = SmoothL1Loss(beta=1 / 9, weight=1.5)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    num_convs: NonNegativeInt = 4
    channels: Channels = 256
    norm: NormConfig | None = None

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> SABLRetinaHead:
        return SABLRetinaHead(self, in_channels, strides, num_classes)


class SABLRetinaHead(DenseHead):
    """Children ``cls_convs``, ``reg_convs``, ``retina_cls``, ``retina_bbox_cls``,
    ``retina_bbox_reg``."""

    config: SABLRetinaHeadConfig

    def __init__(
        self,
        config: SABLRetinaHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.box_channels = config.coder.code_size
        channels = config.channels
        self.cls_convs = tower(in_channels[0], channels, config.num_convs, norm=config.norm)
        self.reg_convs = tower(in_channels[0], channels, config.num_convs, norm=config.norm)
        self.retina_cls = nn.Conv2d(channels, self.num_outputs, 3, padding=1)
        self.retina_bbox_cls = nn.Conv2d(channels, self.box_channels // 2, 3, padding=1)
        self.retina_bbox_reg = nn.Conv2d(channels, self.box_channels // 2, 3, padding=1)
        initialize_convs(self)
        set_prior_probability(self.retina_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        boxes = self.reg_convs(x)
        code = torch.cat([self.retina_bbox_cls(boxes), self.retina_bbox_reg(boxes)], 1)
        return self.retina_cls(self.cls_convs(x)), code

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.classification_loss.num_outputs(0))
        return {"retina_cls.weight": rows, "retina_cls.bias": rows}

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        """Computes the losses of classes, buckets, and offsets within buckets."""
        config = self.config
        classification = config.classification_loss(
            predictions.cls_logits.flatten(0, 1).float(),
            targets.labels.flatten(),
            targets.label_weights.flatten(),
        )
        references = predictions.priors.boxes.expand_as(targets.boxes)
        buckets, offsets = bucket_losses(
            config.coder,
            config.box_loss,
            predictions.box_deltas.float(),
            references,
            targets.boxes,
            targets.box_weights,
        )
        buckets = config.bucket_loss_weight * buckets / config.coder.num_per_side
        sides = 4 * targets.num_samples
        return Losses(
            loss_cls=classification / targets.num_samples,
            loss_bbox_cls=buckets / sides,
            loss_bbox_reg=offsets / NUM_NEAREST / sides,
        )

    def decode(self, predictions: DensePredictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """Decodes the boxes with the highest scores of each image and level, rescored by the
        confidence of their sides.
        """
        out = []
        for image, info in enumerate(infos):
            prior, labels, scores = self.best(predictions.cls_logits[image], predictions.priors)
            codes = predictions.box_deltas[image, prior].float()
            boxes = self.decode_boxes(predictions.priors, prior, codes, info.size)
            scores = scores * self.config.coder.confidence(codes)
            out.append(Candidates(boxes, scores, labels, labels))
        return out
