"""YOLOF (https://arxiv.org/abs/2103.09460): a single level, with anchors of five sizes per cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.uniform import MatchedPairs, UniformAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import PriorHead, PriorHeadConfig, gather_targets
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.norm import BatchNormConfig
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.losses.scoring import Scoring
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, inside_image
from detzoo.priors.base import PriorGrid
from detzoo.structures import DensePredictions, ImageInfo, Losses, Targets

# Clamp of logits in the normalization of scores.
MAX_LOGIT = math.log(1e8)


@config
class YOLOFHeadConfig(PriorHeadConfig):
    """YOLOF: two towers; scores combine class and objectness.

    Args:
        assigner: Assigns each target to the nearest anchors and predicted boxes.
        classification_loss: Loss of the classes.
        box_loss: Loss of the boxes.
        num_class_convs: Number of convolutions in the class tower.
        num_box_convs: Number of convolutions in the box tower.
    """

    priors: PriorGrid = AnchorGrid(scales=(1.0, 2.0, 4.0, 8.0, 16.0), ratios=(1.0,))
    assigner: UniformAssigner = UniformAssigner()
    coder: BoxCoder = DeltaCoder(max_shift=32.0)
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = GIoULoss()
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
    num_class_convs: NonNegativeInt = 2
    num_box_convs: NonNegativeInt = 4

    @property
    def scoring(self) -> Scoring:
        return self.classification_loss

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> YOLOFHead:
        return YOLOFHead(self, in_channels, strides, num_classes)


class YOLOFHead(PriorHead):
    """Children ``cls_subnet``, ``bbox_subnet``, ``cls_score``, ``bbox_pred``, ``object_pred``."""

    config: YOLOFHeadConfig

    def __init__(
        self,
        config: YOLOFHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        width, norm = in_channels[0], BatchNormConfig()
        self.cls_subnet = tower(width, width, config.num_class_convs, norm=norm)
        self.bbox_subnet = tower(width, width, config.num_box_convs, norm=norm)
        self.num_anchors = config.priors.num_per_cell
        self.cls_score, self.bbox_pred, self.object_pred = (
            nn.Conv2d(width, self.num_anchors * outputs, 3, padding=1)
            for outputs in (self.num_outputs, 4, 1)
        )
        initialize_convs(self)
        set_prior_probability(self.cls_score)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        for_boxes = self.bbox_subnet(x)
        logits = self.cls_score(self.cls_subnet(x)).unflatten(1, (self.num_anchors, -1))
        objectness = self.object_pred(for_boxes)[:, :, None]
        return joint_logits(logits, objectness).flatten(1, 2), self.bbox_pred(for_boxes)

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses; a prior's box can have several targets, its classes only one."""
        config, priors = self.config, predictions.priors
        boxes = config.coder.decode(priors.boxes, predictions.box_deltas.float())
        pairs = [
            self._match(predictions, image_boxes.detach(), target, info)
            for image_boxes, target, info in zip(boxes, targets, infos)
        ]
        wanted = gather_targets([p.assignment for p in pairs], targets, priors, self.num_classes)
        classification = config.classification_loss(
            predictions.cls_logits.flatten(0, 1).float(),
            wanted.labels.flatten(),
            wanted.label_weights.flatten(),
        )
        box = config.box_loss(
            torch.cat([boxes[image, pair.prior] for image, pair in enumerate(pairs)]),
            torch.cat([target.boxes[pair.target] for target, pair in zip(targets, pairs)]),
            torch.cat([pair.counts for pair in pairs]),
        )
        return Losses(
            loss_cls=classification / wanted.num_samples,
            loss_bbox=box / wanted.num_samples,
        )

    @torch.no_grad()
    def _match(
        self, predictions: DensePredictions, boxes: Tensor, targets: Targets, info: ImageInfo
    ) -> MatchedPairs:
        """Matches the boxes (P, 4) predicted in one image with its targets."""
        priors = predictions.priors
        allowed = inside_image(priors, info, None)
        return self.config.assigner.assign_pairs(priors.boxes, boxes, targets, allowed)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(
            groups=self.num_anchors, shared=self.config.classification_loss.num_outputs(0)
        )
        return {"cls_score.weight": rows, "cls_score.bias": rows}


def joint_logits(logits: Tensor, objectness: Tensor) -> Tensor:
    """The logits of the joint probability of object and class, from the logits of each."""
    either = logits.clamp(max=MAX_LOGIT).exp() + objectness.clamp(max=MAX_LOGIT).exp()
    return logits + objectness - torch.log1p(either)
