"""The skeleton of dense heads, on a head whose predictions the tests write by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.coders.delta import DeltaCoder
from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, flatten_level
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.losses.boxes import GIoULoss, L1Loss
from detzoo.losses.classification import FocalLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.samplers.random import RandomSampler
from detzoo.structures import DensePredictions, Detections, ImageInfo, Targets

CLASSES = 3
# Cells of 16 pixels, one square anchor of 16 pixels at each: 4 x 4 cells, then 2 x 2 of 32 pixels.
GRIDS, STRIDES = ((4, 4), (2, 2)), (16, 32)
INFO = ImageInfo.of((64, 64))


@config
class PlainConfig(DenseHeadConfig):
    priors: AnchorGrid = AnchorGrid(scales=(1.0,), ratios=(1.0,))
    assigner: MaxIoUAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
    classification_loss: SigmoidCrossEntropy | SoftmaxCrossEntropy = SigmoidCrossEntropy()
    box_loss: L1Loss | GIoULoss = L1Loss()
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5))

    def build(self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int) -> Plain:
        return Plain(self, strides, num_classes)


class Plain(DenseHead):
    """Its features are its predictions."""

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        return x[:, : self.num_outputs], x[:, self.num_outputs :]

    def class_parameters(self) -> dict[str, ClassRows]:
        return {}


PLAIN = PlainConfig()


def head(settings: PlainConfig = PLAIN) -> Plain:
    return settings.build((), STRIDES, CLASSES)


def predictions(of: Plain, images: int = 1) -> DensePredictions:
    generator = torch.Generator().manual_seed(0)
    channels = of.num_outputs + 4
    return of([torch.randn((images, channels, *g), generator=generator) for g in GRIDS])


def target(*boxes: list[float], labels: tuple[int, ...] = ()) -> Targets:
    return Targets.of(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64))


# The anchor of row 1, column 2 of the first level (prior 6) is exactly this box.
ANCHOR_6 = [24.0, 8.0, 40.0, 24.0]


def test_predictions_are_in_the_order_of_the_priors() -> None:
    """Channels are anchor by anchor, and each anchor's outputs lie together."""
    x = torch.arange(2 * 6 * 2 * 3).reshape(2, 6, 2, 3)  # two anchors of three outputs
    flat = flatten_level(x, 3)
    assert flat.shape == (2, 12, 3)
    for row, column, anchor in ((0, 0, 1), (1, 2, 0), (1, 1, 1)):
        prior = (row * 3 + column) * 2 + anchor
        assert torch.equal(flat[1, prior], x[1, 3 * anchor : 3 * anchor + 3, row, column])


def test_targets_of_priors() -> None:
    of = head()
    given = [target(ANCHOR_6, labels=(2,)), target()]
    found = of.assign(predictions(of, 2), given, [INFO, INFO])
    assert found.labels.shape == (2, 20)
    assert (found.labels[0] != CLASSES).nonzero()[:, 0].tolist() == [6]
    assert found.labels[0, 6] == 2
    assert (found.labels[1] == CLASSES).all()
    assert found.label_weights.all()  # nothing is between the thresholds
    assert found.box_weights.nonzero().tolist() == [[0, 6]]
    assert found.boxes[0, 6].tolist() == ANCHOR_6
    # One positive in the first image; the second counts as having one.
    assert found.num_samples == 2


def test_priors_between_the_thresholds_are_left_out() -> None:
    of = head(
        dataclasses.replace(
            PLAIN,
            assigner=MaxIoUAssigner(positive_iou=0.9, negative_iou=0.1, match_low_quality=False),
        )
    )
    box = [24.0, 8.0, 40.0, 16.0]  # half of anchor 6
    found = of.assign(predictions(of), [target(box, labels=(0,))], [INFO])
    # An eighth of the anchor of the coarse level above it, at (32, 0).
    wanted = torch.ones(20)
    wanted[[6, 17]] = 0
    assert found.label_weights[0].tolist() == wanted.tolist()
    assert not found.box_weights.any()


def test_priors_beyond_the_image_are_left_out() -> None:
    of = head()
    info = dataclasses.replace(INFO, size=(30, 64), padded_size=(32, 64))
    box = [24.0, 24.0, 40.0, 40.0]  # the anchor of row 2, whose center is at the border
    found = of.assign(predictions(of), [target(box, labels=(1,))], [info])
    inside = [*range(8), 16, 17]
    assert found.label_weights[0].nonzero()[:, 0].tolist() == inside
    assert found.box_weights[0, 10] == 0


def test_a_target_takes_no_prior_beyond_the_border() -> None:
    """Not even as the one that overlaps it most."""
    settings = dataclasses.replace(
        PLAIN,
        border=0.0,
        assigner=MaxIoUAssigner(positive_iou=0.9, negative_iou=0.1, min_positive_iou=0.0),
    )
    of = head(settings)
    box = [0.0, 0.0, 12.0, 12.0]  # most of anchor 0, which reaches beyond the corner, some of 5
    found = of.assign(predictions(of), [target(box, labels=(1,))], [INFO])
    assert found.box_weights[0].nonzero()[:, 0].tolist() == [5]


def test_a_sampler_draws_what_is_trained_on() -> None:
    settings = dataclasses.replace(PLAIN, sampler=RandomSampler(num=6, positive_fraction=0.5))
    of = head(settings)
    given = [target(ANCHOR_6, labels=(2,)), target()]
    found = of.assign(predictions(of, 2), given, [INFO, INFO])
    assert found.label_weights.sum(1).tolist() == [6, 6]
    assert found.label_weights[0, 6] == 1
    # 1 + 5 in the first image; the second has six negatives and counts as having a positive.
    assert found.num_samples == 6 + 7


def slow_losses(
    of: Plain, made: DensePredictions, given: list[Targets], on_boxes: bool
) -> tuple[float, float]:
    """Per image and prior: cross entropy of each class, and L1 of the deltas or GIoU."""
    classification, box, positives = 0.0, 0.0, 0
    for image, targets in enumerate(given):
        assignment = of.config.assigner.assign(made.priors.boxes, targets).target_index.tolist()
        positives += max(sum(index >= 0 for index in assignment), 1)
        for prior, index in enumerate(assignment):
            label = int(targets.labels[index]) if index >= 0 else CLASSES
            for k, logit in enumerate(made.cls_logits[image, prior].tolist()):
                classification += math.log1p(math.exp(-logit if k == label else logit))
            if index >= 0:
                reference, wanted = made.priors.boxes[prior], targets.boxes[index]
                deltas = made.box_deltas[image, prior]
                if on_boxes:
                    decoded = of.config.coder.decode(reference, deltas)
                    box += GIoULoss().per_example(decoded[None], wanted[None]).item()
                else:
                    encoded = of.config.coder.encode(reference, wanted)
                    box += (deltas - encoded).abs().sum().item()
    return classification / positives, box / positives


@pytest.mark.parametrize("box_loss", [L1Loss(), GIoULoss()])
def test_losses_equal_the_loop(box_loss: L1Loss | GIoULoss) -> None:
    settings = dataclasses.replace(
        PLAIN,
        box_loss=box_loss,
        coder=DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2)),
        assigner=MaxIoUAssigner(positive_iou=0.3, negative_iou=0.3),
    )
    of = head(settings)
    given = [
        target(ANCHOR_6, [5.0, 5.0, 40.0, 37.0], labels=(2, 0)),
        target(),
        target([30.0, 34.0, 60.0, 55.0], labels=(1,)),
    ]
    made = predictions(of, 3)
    losses = of.loss(made, given, [INFO] * 3)
    wanted = slow_losses(of, made, given, box_loss.on_boxes)
    assert losses["loss_cls"].item() == pytest.approx(wanted[0], rel=1e-5)
    assert losses["loss_bbox"].item() == pytest.approx(wanted[1], rel=1e-5)


def quiet(of: Plain, **scores: tuple[int, float]) -> DensePredictions:
    """No object anywhere but ``p6=(label, probability)`` at prior 6, and so on."""
    made = predictions(of)
    logits = torch.full_like(made.cls_logits, -20.0)
    for prior, (label, score) in scores.items():
        logits[0, int(prior[1:]), label] = math.log(score / (1 - score))
    return dataclasses.replace(made, cls_logits=logits, box_deltas=made.box_deltas * 0)


def test_decode() -> None:
    of = head()
    (found,) = of.decode(quiet(of, p6=(2, 0.9), p0=(1, 0.4), p19=(0, 0.6), p5=(0, 0.04)), [INFO])
    rows = sorted(zip(found.scores.tolist(), found.labels.tolist(), found.boxes.tolist()))
    scores, labels, boxes = zip(*rows)
    assert scores == pytest.approx((0.4, 0.6, 0.9))
    assert labels == (1, 0, 2)
    # Prior 0 is cut at the corner; prior 19 is the last of the coarse level, around (32, 32).
    assert list(boxes) == [[0, 0, 8, 8], [16, 16, 48, 48], ANCHOR_6]
    assert torch.equal(found.group, found.labels)


def test_one_prior_can_be_of_several_classes() -> None:
    of = head()
    made = quiet(of, p6=(2, 0.9))
    made.cls_logits[0, 6, 0] = 0.0
    (found,) = of.decode(made, [INFO])
    assert sorted(found.labels.tolist()) == [0, 2]
    (detections,) = of.select([found])
    assert detections.labels.tolist() == [2, 0]


def test_the_best_of_each_level_are_considered() -> None:
    of = head(dataclasses.replace(PLAIN, select=Select(min_score=0.05, pre_nms=2)))
    made = quiet(of, p1=(0, 0.3), p6=(2, 0.9), p7=(1, 0.8), p16=(0, 0.1), p17=(0, 0.2))
    (found,) = of.decode(made, [INFO])
    assert sorted(found.scores.tolist()) == pytest.approx([0.1, 0.2, 0.8, 0.9])


def test_background_is_no_detection() -> None:
    of = head(dataclasses.replace(PLAIN, classification_loss=SoftmaxCrossEntropy()))
    made = predictions(of)
    made.cls_logits[...] = torch.tensor([0.0, 0.0, 0.0, 30.0])
    (found,) = of.decode(made, [INFO])
    assert len(found) == 0


def test_boxes_are_cut_at_the_image() -> None:
    of = head()
    made = quiet(of, p6=(2, 0.9), p0=(1, 0.4))
    made.box_deltas[0, 0] = torch.tensor([-50.0, 0.0, 0.0, 0.0])  # left of the image
    (found,) = of.decode(made, [INFO])
    rows = dict(zip(found.labels.tolist(), found.boxes.tolist()))
    assert rows == {2: ANCHOR_6, 1: [0, 0, 0, 8]}


def test_nothing_found() -> None:
    of = head()
    (found,) = of.decode(quiet(of), [INFO])
    (detections,) = of.select([found])
    assert (len(found), len(detections)) == (0, 0)
    assert detections.boxes.shape == (0, 4)
    assert detections.labels.dtype == torch.int64


def features(channels: int, images: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn((images, channels, *g), generator=generator) for g in GRIDS]


def test_retina_starts_from_rare_objects() -> None:
    of = RetinaHeadConfig(num_convs=1, channels=8).build((8, 8), STRIDES, CLASSES)
    made = of(features(8))
    assert made.cls_logits.shape == (1, 20 * 9, CLASSES)
    assert made.box_deltas.shape == (1, 20 * 9, 4)
    torch.testing.assert_close(
        made.cls_logits.sigmoid(), torch.full((1, 180, CLASSES), 0.01), rtol=0, atol=2e-3
    )
    assert list(dict(of.named_children())) == ["cls_convs", "reg_convs", "retina_cls", "retina_reg"]
    assert isinstance(of.config.classification_loss, FocalLoss)


def rpn() -> tuple[RPNHeadConfig, list[Detections], DensePredictions]:
    select = Select(min_score=0.0, pre_nms=10, suppression=NMS(max_iou=0.7), max_detections=7)
    settings = RPNHeadConfig(
        priors=AnchorGrid(scales=(1.0,), ratios=(1.0,)),
        select=select,
        train_select=dataclasses.replace(select, pre_nms=4, max_detections=50),
    )
    torch.manual_seed(0)
    of = settings.build((8, 8), STRIDES)
    made = of(features(8))
    made = dataclasses.replace(made, box_deltas=made.box_deltas * 0)
    return settings, [of.eval().propose(made, [INFO])[0], of.train().propose(made, [INFO])[0]], made


def test_proposals() -> None:
    _, (evaluation, training), made = rpn()
    scores = made.cls_logits[0, :, 0].sigmoid()
    # 10 of 16 from the fine level and all 4 of the coarse one: the seven best of those 14.
    best = torch.cat([scores[:16].topk(10).values, scores[16:]]).topk(7).values
    torch.testing.assert_close(evaluation.scores, best)
    # In training the four best of each level.
    best = torch.cat([scores[:16].topk(4).values, scores[16:]]).sort(descending=True).values
    torch.testing.assert_close(training.scores, best)
    assert not training.boxes.requires_grad
    assert training.labels.tolist() == [0] * 8


def test_proposals_suppress_each_other_within_a_level_only() -> None:
    settings, _, made = rpn()
    of = settings.build((8, 8), STRIDES).eval()
    deltas = torch.zeros_like(made.box_deltas)
    whole = torch.tensor([[0.0, 0.0, 64.0, 64.0]])
    everywhere = of.config.coder.encode(made.priors.boxes, whole.expand(20, 4))
    (found,) = of.propose(dataclasses.replace(made, box_deltas=deltas + everywhere), [INFO])
    assert len(found) == 2


def test_rpn_takes_every_class_for_an_object() -> None:
    settings = RPNHeadConfig(priors=AnchorGrid(scales=(1.0,), ratios=(1.0,)))
    of = settings.build((8, 8), STRIDES)
    made = of(features(8))
    losses = []
    for label in (0, 40):
        torch.manual_seed(0)
        losses.append(of.loss(made, [target(ANCHOR_6, labels=(label,))], [INFO]))
    assert list(losses[0]) == ["loss_rpn_cls", "loss_rpn_bbox"]
    assert losses[0] == losses[1]
