"""Box regression losses.

Losses with ``on_boxes`` compare boxes (xyxy in pixels), the others encoded deltas.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from detzoo.config import PositiveFloat, config
from detzoo.losses.base import Loss
from detzoo.ops.boxes import box_area, elementwise_iou, intersection


@config
class BoxLoss(Loss):
    """A loss between predicted and target boxes or deltas, (N, 4) each."""

    @property
    def on_boxes(self) -> bool:
        """Whether the loss compares decoded boxes instead of deltas."""
        return True


@config
class L1Loss(BoxLoss):
    """Absolute difference of the deltas, summed over the four coordinates."""

    @property
    def on_boxes(self) -> bool:
        return False

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        return (predicted - target).abs().sum(-1)


@config
class SmoothL1Loss(BoxLoss):
    """Quadratic for small differences, linear for others (https://arxiv.org/abs/1504.08083).

    Args:
        beta: Difference above which it is linear.
    """

    beta: PositiveFloat = 1.0

    @property
    def on_boxes(self) -> bool:
        return False

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        return smooth_l1(predicted - target, self.beta).sum(-1)


@config
class BalancedL1Loss(BoxLoss):
    """Balanced L1 loss, with larger gradients for accurate boxes
    (https://arxiv.org/abs/1904.02701).

    With ``beta`` 1, the gradient is ``alpha * log(1 + b * error)`` up to ``beta``, with b such that
    it then reaches ``gamma``, and constant above. Other values of ``beta`` follow the published
    code.

    Args:
        alpha: Growth of the gradient; smaller values favor accurate boxes.
        gamma: Maximum gradient.
        beta: Error above which the gradient is constant.
    """

    alpha: PositiveFloat = 0.5
    gamma: PositiveFloat = 1.5
    beta: PositiveFloat = 1.0

    @property
    def on_boxes(self) -> bool:
        return False

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        alpha, gamma, beta = self.alpha, self.gamma, self.beta
        b = math.exp(gamma / alpha) - 1
        error = (predicted - target).abs()
        accurate = alpha / b * (b * error + 1) * (b * error / beta + 1).log() - alpha * error
        outlier = gamma * error + gamma / b - alpha * beta
        return torch.where(error < beta, accurate, outlier).sum(-1)


@config
class IoULoss(BoxLoss):
    """How far the IoU is from 1 (https://arxiv.org/abs/1608.01471).

    Args:
        eps: Least IoU that counts.
        kind: "log": its negative logarithm; "linear": one minus it; "square": one minus its square.
    """

    eps: PositiveFloat = 1e-6
    kind: Literal["log", "linear", "square"] = "log"

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        iou = elementwise_iou(predicted, target).clamp(min=self.eps)
        if self.kind == "log":
            return -iou.log()
        return 1 - (iou if self.kind == "linear" else iou.square())


@config
class GIoULoss(BoxLoss):
    """One minus the generalized IoU (https://arxiv.org/abs/1902.09630).

    Args:
        eps: Lower bound of areas in denominators.
    """

    eps: PositiveFloat = 1e-6

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        common = intersection(predicted, target)
        union = (box_area(predicted) + box_area(target) - common).clamp(min=self.eps)
        enclosing = _enclosing_size(predicted, target).prod(-1).clamp(min=self.eps)
        return 1 - common / union + (enclosing - union) / enclosing


@config
class DIoULoss(BoxLoss):
    """One minus the distance IoU: overlap and center distance (https://arxiv.org/abs/1911.08287).

    Args:
        eps: Added to what is divided by.
    """

    eps: PositiveFloat = 1e-6

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        iou, distance = _iou_and_distance(predicted, target, self.eps)
        return 1 - iou + distance


@config
class CIoULoss(BoxLoss):
    """One minus the complete IoU: overlap, center distance and aspect ratio.

    https://arxiv.org/abs/2005.03572

    Args:
        eps: Added to denominators.
    """

    eps: PositiveFloat = 1e-6

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        iou, distance = _iou_and_distance(predicted, target, self.eps)
        angle = _aspect_angle(target, self.eps) - _aspect_angle(predicted, self.eps)
        aspect = 4 / math.pi**2 * angle.square()
        with torch.no_grad():
            # The aspect ratio is used only above an IoU of 0.5.
            tradeoff = (iou > 0.5).to(iou) * aspect / (1 - iou + aspect).clamp(min=self.eps)
        return 1 - (iou - distance - tradeoff * aspect).clamp(-1.0, 1.0)


@config
class BoundedIoULoss(BoxLoss):
    """Bounded IoU loss: an upper bound of the IoU per coordinate
    (https://arxiv.org/abs/1711.00164).

    Args:
        beta: Loss above which it is linear instead of quadratic.
        eps: Added to denominators.
    """

    beta: PositiveFloat = 0.2
    eps: PositiveFloat = 1e-3

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        center = (predicted[..., :2] + predicted[..., 2:]) / 2
        size = predicted[..., 2:] - predicted[..., :2]
        with torch.no_grad():
            target_center = (target[..., :2] + target[..., 2:]) / 2
            target_size = target[..., 2:] - target[..., :2]
        shift = (target_center - center).abs()
        center_loss = 1 - ((target_size - 2 * shift) / (target_size + 2 * shift + self.eps)).clamp(
            min=0
        )
        size_loss = 1 - torch.minimum(
            target_size / (size + self.eps), size / (target_size + self.eps)
        )
        return smooth_l1(torch.cat([center_loss, size_loss], -1), self.beta).sum(-1)


@config
class LossOfDeltas(BoxLoss):
    """A loss of boxes that is given encoded deltas, as if these were corners.

    It is no sensible loss, but what MMDetection trains where ``reg_decoded_bbox`` is left out.

    Args:
        loss: The loss.
    """

    loss: BoxLoss

    @property
    def on_boxes(self) -> bool:
        return False

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        return self.loss.weighted(predicted, target)


@config
class LossOfBoxes(BoxLoss):
    """A loss of deltas that is given decoded boxes, so that it counts pixels.

    Args:
        loss: The loss.
    """

    loss: BoxLoss

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        return self.loss.weighted(predicted, target)


def smooth_l1(difference: Tensor, beta: float | Tensor) -> Tensor:
    """Elementwise smooth L1: quadratic below ``beta``, linear above."""
    size = difference.abs()
    return torch.where(size < beta, size.square() * (0.5 / beta), size - 0.5 * beta)


def _enclosing_size(a: Tensor, b: Tensor) -> Tensor:
    """Width and height (..., 2) of the enclosing box."""
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0)


def _iou_and_distance(predicted: Tensor, target: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """IoU, and the squared distance of the centers relative to the enclosing box's diagonal."""
    common = intersection(predicted, target)
    iou = common / (box_area(predicted) + box_area(target) - common + eps)
    diagonal = _enclosing_size(predicted, target).square().sum(-1) + eps
    shift = predicted[..., :2] + predicted[..., 2:] - target[..., :2] - target[..., 2:]
    return iou, shift.square().sum(-1) / 4 / diagonal


def _aspect_angle(boxes: Tensor, eps: float) -> Tensor:
    size = boxes[..., 2:] - boxes[..., :2]
    return torch.atan(size[..., 0] / (size[..., 1] + eps))
