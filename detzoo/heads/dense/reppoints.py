"""RepPoints (https://arxiv.org/abs/1904.11490): represents an object by a set of points.

Nine points are predicted, then refined from features sampled at them. Coordinates are (y, x) in
strides from the prior's center, like the offsets of a deformable convolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.assigners.point import PointAssigner
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseTargets, PriorHead, PriorHeadConfig, gather_targets
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.norm import NormConfig
from detzoo.layers.shifted_conv import ShiftedConv2d
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.losses.scoring import Scoring
from detzoo.ops.boxes import box_centers, clip_boxes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, inside_image
from detzoo.priors.base import PriorGrid
from detzoo.structures import Assignment, DensePredictions, ImageInfo, Losses, Priors, Targets

KERNEL = 3
NUM_POINTS = KERNEL**2
# Fraction of the gradient that is passed to the first points through the deformable convolutions,
# and to the moment scales.
POINT_GRADIENT = 0.1
MOMENT_GRADIENT = 0.01


@config
class RepPointsHeadConfig(PriorHeadConfig):
    """RepPoints. Priors are squares around the cells' corners: the unit of the box losses and, with
    ``grid_points``, the boxes to start from.

    Args:
        first_assigner: Assigns targets to priors for the first points.
        second_assigner: Assigns targets to the boxes of the first points, for the refined points
            and the classes.
        classification_loss: Loss of the classes.
        first_box_loss: Loss of the boxes of the first points.
        second_box_loss: Loss of the boxes of the refined points.
        box_of_points: How points are converted to a box: the enclosing box of all ("minmax") or the
            first four ("partial_minmax"), or from their mean and standard deviation ("moment").
        grid_points: Predict boxes, and use a regular grid of points over them.
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
    """

    priors: PriorGrid = AnchorGrid(scales=(4.0,), ratios=(1.0,))
    first_assigner: PriorAssigner = PointAssigner()
    second_assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
    classification_loss: ClassificationLoss = FocalLoss()
    first_box_loss: BoxLoss = SmoothL1Loss(beta=0.11, weight=0.5)
    second_box_loss: BoxLoss = SmoothL1Loss(beta=0.11)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    box_of_points: Literal["minmax", "partial_minmax", "moment"] = "moment"
    grid_points: bool = False
    num_convs: NonNegativeInt = 3
    channels: Channels = 256
    norm: NormConfig | None = None

    @property
    def scoring(self) -> Scoring:
        return self.classification_loss

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> RepPointsHead:
        return RepPointsHead(self, in_channels, strides, num_classes)


class RepPointsHead(PriorHead):
    """Children ``cls_convs``, ``reg_convs``, and ``reppoints_...``: ``pts_init`` predicts the first
    points, ``pts_refine`` the refined ones and ``cls`` the classes.

    Parameter ``moment_transfer`` (2,) contains the logarithms of the scales of width and height.
    """

    config: RepPointsHeadConfig
    box_channels = 4 * NUM_POINTS  # both sets
    kernel_positions: Tensor

    def __init__(
        self,
        config: RepPointsHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        width = config.channels
        self.cls_convs, self.reg_convs = (
            tower(in_channels[0], width, config.num_convs, norm=config.norm) for _ in range(2)
        )
        outputs = 4 if config.grid_points else 2 * NUM_POINTS
        self.reppoints_cls_conv = ShiftedConv2d(width, width, KERNEL)
        self.reppoints_cls_out = nn.Conv2d(width, self.num_outputs, 1)
        self.reppoints_pts_init_conv = nn.Conv2d(width, width, 3, padding=1)
        self.reppoints_pts_init_out = nn.Conv2d(width, outputs, 1)
        self.reppoints_pts_refine_conv = ShiftedConv2d(width, width, KERNEL)
        self.reppoints_pts_refine_out = nn.Conv2d(width, outputs, 1)
        if config.box_of_points == "moment":
            self.moment_transfer = nn.Parameter(torch.zeros(2))
        place = torch.arange(KERNEL) - KERNEL // 2
        positions = torch.cartesian_prod(place, place).float()  # (9, 2) of (y, x)
        self.register_buffer("kernel_positions", positions.view(1, -1, 1, 1), persistent=False)
        initialize_convs(self)
        for conv in (self.reppoints_cls_conv, self.reppoints_pts_refine_conv):
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
        set_prior_probability(self.reppoints_cls_out)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        for_classes, for_points = self.cls_convs(x), self.reg_convs(x)
        first = self.reppoints_pts_init_out(F.relu(self.reppoints_pts_init_conv(for_points)))
        if self.config.grid_points:
            unit = self.config.priors.place(((1, 1),), (1,), x.device).boxes  # one prior at (0, 0)
            first, box = grid_over_box(first, unit.view(1, 4, 1, 1))
        attached = (1 - POINT_GRADIENT) * first.detach() + POINT_GRADIENT * first
        shifts = attached - self.kernel_positions
        logits = self.reppoints_cls_out(F.relu(self.reppoints_cls_conv(for_classes, shifts)))
        second = self.reppoints_pts_refine_out(
            F.relu(self.reppoints_pts_refine_conv(for_points, shifts))
        )
        if self.config.grid_points:
            second, _ = grid_over_box(second, box.detach())
        else:
            second = second + first.detach()
        return logits, torch.cat([first, second], 1)

    def boxes_of_points(self, points: Tensor, references: Tensor, stride: Tensor) -> Tensor:
        """Points (..., P, 18) around the centers of references (P, 4), in units of their stride
        (P,) -> boxes (..., P, 4) in input pixels."""
        scale = None
        if self.config.box_of_points == "moment":
            transfer = self.moment_transfer
            scale = MOMENT_GRADIENT * transfer + (1 - MOMENT_GRADIENT) * transfer.detach()
        boxes = enclose(points.unflatten(-1, (-1, 2)).flip(-1), self.config.box_of_points, scale)
        return boxes * stride[:, None] + box_centers(references).repeat(1, 2)

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses; refined points and classes are trained where the first boxes match
        targets.
        """
        config, priors = self.config, predictions.priors
        points = predictions.box_deltas.float()
        first, second = (
            self.boxes_of_points(part, priors.boxes, priors.stride) for part in points.chunk(2, -1)
        )
        wanted_first, wanted_second = self._assign(priors, first.detach(), targets, infos)
        classification = config.classification_loss(
            predictions.cls_logits.flatten(0, 1).float(),
            wanted_second.labels.flatten(),
            wanted_second.label_weights.flatten(),
        )
        unit = (priors.boxes[:, 2:] - priors.boxes[:, :2]).repeat(1, 2)  # (P, 4)
        return Losses(
            loss_cls=classification / wanted_second.num_samples,
            loss_pts_init=_box_loss(config.first_box_loss, first, wanted_first, unit),
            loss_pts_refine=_box_loss(config.second_box_loss, second, wanted_second, unit),
        )

    @torch.no_grad()
    def _assign(
        self,
        priors: Priors,
        first_boxes: Tensor,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> tuple[DenseTargets, DenseTargets]:
        """The targets of the first points, assigned to priors, and of the refined ones, assigned to
        boxes (B, P, 4)."""
        config = self.config
        by_prior: list[Assignment] = []
        by_box: list[Assignment] = []
        for boxes, target, info in zip(first_boxes, targets, infos):
            allowed = inside_image(priors, info, None)
            moved = dataclasses.replace(priors, boxes=boxes)
            by_prior.append(config.first_assigner.assign_priors(priors, target, allowed))
            by_box.append(config.second_assigner.assign_priors(moved, target, allowed))
        return (
            gather_targets(by_prior, targets, priors, self.num_classes),
            gather_targets(by_box, targets, priors, self.num_classes),
        )

    # ----------------------------------------------------------------------------- inference

    def decode_boxes(
        self, priors: Priors, index: Tensor, codes: Tensor, size: tuple[int, int]
    ) -> Tensor:
        second = codes.chunk(2, -1)[1]
        boxes = self.boxes_of_points(second, priors.boxes[index], priors.stride[index])
        return clip_boxes(boxes, size)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.classification_loss.num_outputs(0))
        return {"reppoints_cls_out.weight": rows, "reppoints_cls_out.bias": rows}


def enclose(points: Tensor, method: str, log_scale: Tensor | None = None) -> Tensor:
    """Converts points (..., 9, 2: x, y) to boxes (..., 4).

    ``log_scale`` (2,) is for the "moment" ``method``: the logarithm of half the sides over the
    standard deviations.
    """
    if method == "moment":
        assert log_scale is not None
        mean = points.mean(-2)
        # If all points coincide, the standard deviation has no gradient.
        variance = (points - mean[..., None, :]).square().sum(-2) / (NUM_POINTS - 1)
        half = variance.clamp(min=1e-12).sqrt() * log_scale.exp()
        return torch.cat([mean - half, mean + half], -1)
    if method == "partial_minmax":
        points = points[..., :4, :]
    return torch.cat([points.amin(-2), points.amax(-2)], -1)


def grid_over_box(deltas: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """A regular grid of points (B, 18, H, W) over the boxes decoded from ``deltas`` (B, 4, H, W),
    and these boxes (B, 4, H, W).

    The deltas are relative to ``boxes`` (B or 1, 4, ...).
    """
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    new_size = size * deltas[:, 2:].exp()
    corner = center + size * deltas[:, :2] - new_size / 2
    place = torch.linspace(0, 1, KERNEL, device=deltas.device).to(deltas.dtype).view(1, -1, 1, 1)
    x = corner[:, :1] + new_size[:, :1] * place  # (B, 3, H, W)
    y = corner[:, 1:] + new_size[:, 1:] * place
    rows, columns = y.repeat_interleave(KERNEL, 1), x.repeat(1, KERNEL, 1, 1)
    points = torch.stack([rows, columns], 2).flatten(1, 2)
    return points, torch.cat([corner, corner + new_size], 1)


def _box_loss(loss: BoxLoss, boxes: Tensor, wanted: DenseTargets, unit: Tensor) -> Tensor:
    """Loss of boxes (B, P, 4), compared in units of ``unit`` (P, 4), averaged over the samples."""
    predicted, target = boxes / unit, wanted.boxes / unit
    total = loss(predicted.flatten(0, 1), target.flatten(0, 1), wanted.box_weights.flatten())
    return total / wanted.num_samples
