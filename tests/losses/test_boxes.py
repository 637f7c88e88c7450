"""Each loss against its formula, one box at a time in Python floats."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from detzoo.config import ConfigError
from detzoo.losses.boxes import (
    BalancedL1Loss,
    BoundedIoULoss,
    BoxLoss,
    CIoULoss,
    DIoULoss,
    GIoULoss,
    IoULoss,
    L1Loss,
    LossOfBoxes,
    LossOfDeltas,
    SmoothL1Loss,
)
from tests.ops import reference

LOSSES = (
    L1Loss(),
    SmoothL1Loss(beta=1 / 9),
    IoULoss(),
    IoULoss(kind="linear"),
    IoULoss(kind="square"),
    GIoULoss(),
    DIoULoss(),
    CIoULoss(),
    BoundedIoULoss(),
)
Box = list[float]


def smooth(difference: float, beta: float) -> float:
    size = abs(difference)
    return size * size / (2 * beta) if size < beta else size - beta / 2


def enclosing(a: Box, b: Box) -> Box:
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]


def slow_giou(a: Box, b: Box) -> float:
    around = reference.area(enclosing(a, b))
    union = reference.area(a) + reference.area(b) - reference.common_area(a, b)
    return 1 - (reference.iou(a, b) - (around - union) / around)


def slow_distance(a: Box, b: Box) -> float:
    """The squared distance of the centers over the squared diagonal of the enclosing box."""
    around = enclosing(a, b)
    diagonal = (around[2] - around[0]) ** 2 + (around[3] - around[1]) ** 2
    distance = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    return distance / diagonal


def slow_ciou(a: Box, b: Box) -> float:
    iou = reference.iou(a, b)
    angle = math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))
    v = 4 / math.pi**2 * angle**2
    alpha = v / (1 - iou + v) if iou > 0.5 else 0.0
    return 1 - min(max(iou - slow_distance(a, b) - alpha * v, -1.0), 1.0)


def slow_bounded_iou(a: Box, b: Box, beta: float, eps: float) -> float:
    total = 0.0
    for low, high in ((0, 2), (1, 3)):
        side, wanted = a[high] - a[low], b[high] - b[low]
        shift = abs(a[low] + a[high] - b[low] - b[high]) / 2
        centre_bound = max((wanted - 2 * shift) / (wanted + 2 * shift + eps), 0.0)
        size_bound = min(wanted / (side + eps), side / (wanted + eps))
        total += smooth(1 - centre_bound, beta) + smooth(1 - size_bound, beta)
    return total


def slow(loss: BoxLoss, a: Box, b: Box) -> float:
    pairs = list(zip(a, b))
    match loss:
        case L1Loss():
            return sum(abs(x - y) for x, y in pairs)
        case SmoothL1Loss():
            return sum(smooth(x - y, loss.beta) for x, y in pairs)
        case IoULoss():
            iou = max(reference.iou(a, b), loss.eps)
            return {"log": -math.log(iou), "linear": 1 - iou, "square": 1 - iou**2}[loss.kind]
        case GIoULoss():
            return slow_giou(a, b)
        case DIoULoss():
            return 1 - reference.iou(a, b) + slow_distance(a, b)
        case CIoULoss():
            return slow_ciou(a, b)
        case BoundedIoULoss():
            return slow_bounded_iou(a, b, loss.beta, loss.eps)
    raise AssertionError(loss)


def pairs_of_boxes() -> tuple[Tensor, Tensor]:
    """Boxes that overlap much, a little and not at all."""
    target = reference.random_boxes(30, seed=0)
    shift = torch.linspace(0.2, 60, 30)[:, None]
    predicted = target + shift * torch.rand((30, 4), generator=torch.Generator().manual_seed(1))
    return torch.cat(
        [torch.minimum(predicted[:, :2], predicted[:, 2:] - 1), predicted[:, 2:]], 1
    ), target


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_equals_the_formula(loss: BoxLoss) -> None:
    predicted, target = pairs_of_boxes()
    overlaps = [reference.iou(a, b) for a, b in zip(predicted.tolist(), target.tolist())]
    assert min(overlaps) == 0
    assert max(overlaps) > 0.9
    wanted = [slow(loss, a, b) for a, b in zip(predicted.tolist(), target.tolist())]
    torch.testing.assert_close(
        loss.per_example(predicted, target), torch.tensor(wanted), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_gradients(loss: BoxLoss) -> None:
    predicted, target = pairs_of_boxes()
    predicted, target = predicted[::4].double(), target[::4].double()
    # CIoU holds its weight of the aspect ratio fixed: away from it (overlap under a half) all is
    # differentiated.
    if isinstance(loss, CIoULoss):
        low = torch.tensor(
            [reference.iou(a, b) < 0.5 for a, b in zip(predicted.tolist(), target.tolist())]
        )
        predicted, target = predicted[low], target[low]
    assert len(predicted)
    assert torch.autograd.gradcheck(
        lambda boxes: loss.per_example(boxes, target), predicted.requires_grad_()
    )


def test_ciou_gradient_holds_the_weight_of_the_aspect_ratio_fixed() -> None:
    predicted = torch.tensor([[0.0, 0.0, 10.0, 8.0]], dtype=torch.double, requires_grad=True)
    target = torch.tensor([[0.0, 0.0, 10.0, 10.0]], dtype=torch.double)
    (gradient,) = torch.autograd.grad(CIoULoss().per_example(predicted, target), predicted)

    def value(y2: float) -> float:
        """The loss for a lower border at ``y2``, with the weight of the aspect ratio at y2 = 8."""
        v, held = (4 / math.pi**2 * (math.pi / 4 - math.atan(10 / y)) ** 2 for y in (y2, 8.0))
        alpha = held / (1 - 0.8 + held)
        distance = ((10 - y2) / 2) ** 2 / 200
        return 1 - (y2 / 10 - distance - alpha * v)

    slope = (value(8 + 1e-5) - value(8 - 1e-5)) / 2e-5
    assert gradient[0, 3].item() == pytest.approx(slope, rel=1e-4)


def test_values_by_hand() -> None:
    predicted = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    half = torch.tensor([[0.0, 0.0, 10.0, 5.0]])
    apart = torch.tensor([[20.0, 0.0, 30.0, 10.0]])
    assert IoULoss().per_example(predicted, half).item() == pytest.approx(math.log(2))
    assert IoULoss().per_example(predicted, apart).item() == pytest.approx(-math.log(1e-6))
    assert GIoULoss().per_example(predicted, half).item() == pytest.approx(0.5)
    assert GIoULoss().per_example(predicted, apart).item() == pytest.approx(1 + 1 / 3)
    # No overlap; centers 20 apart in an enclosing box of 30 x 10.
    assert CIoULoss().per_example(predicted, apart).item() == pytest.approx(1 + 400 / 1000)
    assert DIoULoss().per_example(predicted, apart).item() == pytest.approx(1 + 400 / 1000)
    assert IoULoss(kind="linear").per_example(predicted, half).item() == pytest.approx(0.5)
    deltas = torch.tensor([[0.5, -2.0, 0.0, 1.0]])
    zeros = torch.zeros(1, 4)
    assert L1Loss().per_example(deltas, zeros).item() == 3.5
    assert SmoothL1Loss(beta=1.0).per_example(deltas, zeros).item() == 0.125 + 1.5 + 0.5
    # Vertical: size 10 against 5, centres 2.5 apart (5 - 5) / (5 + 5) = 0; ratios 1 and 1/2.
    wanted = (1 - 0.1) + (0.5 - 0.1)
    bounded = BoundedIoULoss(beta=0.2).per_example(predicted, half).item()
    assert bounded == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_perfect_box_costs_nothing(loss: BoxLoss) -> None:
    boxes = reference.random_boxes(50, seed=7, size=900).requires_grad_()
    values = loss.per_example(boxes, boxes.detach())
    torch.testing.assert_close(values, torch.zeros(50), rtol=0, atol=1e-5)
    values.sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_boxes_without_area_are_finite(loss: BoxLoss) -> None:
    point = torch.full((1, 4), 5.0)
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    for predicted, target in ((point, box), (box, point), (point, point)):
        predicted = predicted.clone().requires_grad_()
        value = loss.per_example(predicted, target)
        assert value.isfinite().all()
        assert value.item() >= 0
        (gradient,) = torch.autograd.grad(value.sum(), predicted)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_no_boxes(loss: BoxLoss) -> None:
    predicted = torch.zeros((0, 4), requires_grad=True)
    total = loss(predicted, torch.zeros(0, 4), torch.zeros(0))
    total.backward()
    assert total.item() == 0
    assert predicted.grad is not None


def test_the_sum_is_weighted() -> None:
    predicted, target = pairs_of_boxes()
    weights = torch.linspace(0, 1, len(target))
    loss = GIoULoss(weight=2.5)
    wanted = 2.5 * sum(w * v for w, v in zip(weights, loss.per_example(predicted, target)))
    torch.testing.assert_close(loss(predicted, target, weights), wanted)


def test_which_losses_compare_boxes() -> None:
    assert [type(loss).__name__ for loss in LOSSES if not loss.on_boxes] == [
        "L1Loss",
        "SmoothL1Loss",
    ]


def test_losses_of_what_they_are_not_made_for() -> None:
    predicted, target = pairs_of_boxes()
    boxes, deltas = LossOfBoxes(loss=L1Loss(weight=3.0)), LossOfDeltas(loss=GIoULoss(weight=2.0))
    assert (boxes.on_boxes, deltas.on_boxes) == (True, False)
    torch.testing.assert_close(boxes(predicted, target), L1Loss(weight=3.0)(predicted, target))
    torch.testing.assert_close(deltas(predicted, target), GIoULoss(weight=2.0)(predicted, target))


@pytest.mark.parametrize("loss", [SmoothL1Loss, BoundedIoULoss])
def test_smooth_losses_want_a_bend(loss: type[SmoothL1Loss] | type[BoundedIoULoss]) -> None:
    with pytest.raises(ConfigError, match="beta: 0 is not greater than 0"):
        loss(beta=0)


def test_balanced_l1_by_hand() -> None:
    loss = BalancedL1Loss(alpha=0.5, gamma=1.5, beta=1.0, weight=2.0)
    b = math.exp(3) - 1
    errors = torch.tensor([[0.5, -0.25, 2.0, 0.0]], requires_grad=True)
    wanted = 0.0
    for error in (0.5, 0.25):
        wanted += 0.5 / b * (b * error + 1) * math.log(b * error + 1) - 0.5 * error
    wanted += 1.5 * 2.0 + 1.5 / b - 0.5
    value = loss(errors, torch.zeros(1, 4), torch.ones(1))
    assert value.item() == pytest.approx(2 * wanted, rel=1e-5)
    (gradient,) = torch.autograd.grad(value, errors)
    steep = [0.5 * math.log(b * error + 1) for error in (0.5, 0.25)]
    assert gradient[0].tolist() == pytest.approx([2 * steep[0], -2 * steep[1], 3.0, 0.0], rel=1e-5)
    assert loss(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0)) == 0
