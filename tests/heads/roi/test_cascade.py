from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from detzoo.coders.delta import DeltaCoder
from detzoo.config import ConfigError
from detzoo.heads.roi.augmented import every_pair
from detzoo.heads.roi.box_head import BoxHead, BoxHeadConfig
from detzoo.heads.roi.cascade import (
    CascadeRoIHead,
    CascadeRoIHeadConfig,
    CascadeStage,
)
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig, mask_probabilities
from detzoo.heads.roi.regions import SampledRegions
from detzoo.heads.roi.staged import ImageMaps, StageRegions
from detzoo.ops.roi_align import rois_of
from detzoo.samplers.ohem import OHEMSampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Detections, ImageInfo, RoIMasks
from tests.heads.roi.test_standard import (
    BOXES,
    CHANNELS,
    CLASSES,
    FAR,
    INFO,
    NEAR_FIRST,
    NONE,
    STRIDES,
    draw,
    features,
    proposals,
    targets,
)

EXTRACTOR = PyramidRoIAlignConfig(output_size=3, num_levels=2, finest_scale=14.0)
SAMPLER = RandomSampler(num=64, positive_fraction=0.5, adds_targets=True)


def stage(agnostic: bool = True, loss_weight: float = 1.0) -> CascadeStage:
    box_head = BoxHeadConfig(fc_channels=8, class_agnostic_boxes=agnostic)
    return CascadeStage(box_head=box_head, sampler=SAMPLER, loss_weight=loss_weight)


def settings(masks: bool = False) -> CascadeRoIHeadConfig:
    return CascadeRoIHeadConfig(
        stages=(stage(), stage(loss_weight=0.5), stage(loss_weight=0.25)),
        extractor=EXTRACTOR,
        mask_extractor=dataclasses.replace(EXTRACTOR, output_size=4) if masks else None,
        mask_head=MaskHeadConfig(num_convs=1, channels=8) if masks else None,
    )


def build(config: CascadeRoIHeadConfig) -> CascadeRoIHead:
    torch.manual_seed(0)
    head = config.build(CHANNELS, STRIDES, CLASSES)
    for box_head in head.bbox_head:
        assert isinstance(box_head, BoxHead)
        torch.nn.init.normal_(box_head.fc_cls.weight, std=1.0)
        torch.nn.init.normal_(box_head.fc_reg.weight, std=1.0)
    return head


def test_targets_are_marked_among_the_regions() -> None:
    given = [proposals(FAR, NEAR_FIRST).boxes, proposals(FAR).boxes]
    first, second = draw(build(settings()), given, targets(), NONE)
    assert first.boxes.tolist() == [*BOXES.tolist(), NEAR_FIRST, FAR]
    assert first.is_target.tolist() == [True, True, False, False]
    assert first.is_positive.tolist() == [True, True, True, False]
    assert second.is_target.tolist() == [False]


def sampled(boxes: list[list[float]], labels: list[int], is_target: list[bool]) -> SampledRegions:
    count = len(boxes)
    return SampledRegions(
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.zeros(count, dtype=torch.int64),
        torch.tensor(is_target, dtype=torch.bool),
    )


def test_refinement_leaves_the_targets_out() -> None:
    head = build(settings())
    regions = [
        sampled([[0.0, 0, 20, 20], [10, 10, 30, 30]], [1, CLASSES], [True, False]),
        sampled([], [], []),
        sampled([[40.0, 40, 60, 60]], [CLASSES], [False]),
    ]
    deltas = torch.zeros(3, 1, 4)
    deltas[1:, 0, 0] = 5.0  # half of a width to the right
    logits = torch.zeros(3, CLASSES + 1)
    predicted = StageRegions([], regions, torch.zeros(3, 4, 3, 3), logits, deltas)
    found = head.refined(0, predicted, [INFO] * 3)
    assert found[0].tolist() == [[20, 10, 40, 30]]
    assert found[1].shape == (0, 4)
    assert found[2].tolist() == [[50, 40, 64, 60]]  # cut at the image


def test_background_is_refined_as_its_likeliest_class() -> None:
    head = BoxHeadConfig().build(4, 3, CLASSES)
    logits = torch.tensor([[0.0, 2, 1, 9], [0, 2, 1, 9], [0, 2, 1, 9]])
    deltas = torch.zeros(3, CLASSES, 4)
    deltas[:, :, 0] = torch.tensor([1.0, 2, 3])  # tenths of a width, by class
    regions = torch.tensor([[0.0, 0, 10, 10]]).expand(3, 4)
    labels = torch.tensor([CLASSES, 0, 2])
    assert head.refine(logits, deltas, regions, labels, INFO)[:, 0].tolist() == [2, 1, 3]
    assert head.refine(logits, deltas, regions, None, INFO)[:, 0].tolist() == [2, 2, 2]


def test_each_stage_trains_on_the_boxes_of_the_one_before() -> None:
    head = build(settings(masks=True))
    maps = features(2)
    given, wanted = [proposals(FAR, NEAR_FIRST), proposals(FAR)], [targets(masks=True)] * 2
    losses = head.loss(maps, given, wanted, [INFO, INFO])
    assert set(losses) == {
        f"s{n}.{name}" for n in range(3) for name in ("loss_cls", "loss_bbox", "loss_mask")
    }
    assert set(losses.metrics) == {f"s{n}.acc" for n in range(3)}
    boxes = [image.boxes for image in given]
    for number, config in enumerate(head.config.stages):
        drawn = draw(head, boxes, *wanted)
        own = head.bbox_head[number]
        rois = rois_of([regions.boxes for regions in drawn])
        logits, deltas = own(head.bbox_roi_extractor[number](maps, rois))
        labels = torch.cat([regions.labels for regions in drawn])
        expected = config.loss_weight * torch.nn.functional.cross_entropy(logits, labels)
        torch.testing.assert_close(losses[f"s{number}.loss_cls"], expected)
        moved = own.refine(logits, deltas, rois[:, 1:], labels, INFO).detach()
        refined = moved.split([len(image.boxes) for image in drawn])
        boxes = [own[~image.is_target] for own, image in zip(refined, drawn)]


@torch.no_grad()
def test_detections_are_of_the_mean_logits_and_the_last_boxes() -> None:
    head = build(settings()).eval()
    maps = features()
    boxes = proposals(NEAR_FIRST, FAR).boxes
    total: Tensor | float = 0.0
    for number in range(3):
        logits, deltas = head.bbox_head[number](
            head.bbox_roi_extractor[number](maps, rois_of([boxes]))
        )
        total = total + logits
        boxes = head.bbox_head[number].refine(logits, deltas, boxes, None, INFO)
    assert isinstance(total, Tensor)
    scores = (total / 3).softmax(1)[:, :-1]
    (found,) = head.decode(ImageMaps(maps), [proposals(NEAR_FIRST, FAR)], [INFO], every_pair)
    torch.testing.assert_close(found.scores, scores.flatten())
    torch.testing.assert_close(found.boxes, boxes.repeat_interleave(CLASSES, 0))


@torch.no_grad()
def test_masks_are_the_mean_of_all_stages() -> None:
    head = build(settings(masks=True)).eval()
    maps, labels = features(), torch.tensor([1, 2])
    (found,) = head.predict_branches(ImageMaps(maps), [Detections(BOXES, torch.ones(2), labels)])
    grids = [
        mask_probabilities(mask_head(pool(maps, rois_of([BOXES]))), labels)
        for mask_head, pool in zip(head.mask_head, head.mask_roi_extractor)
    ]
    assert isinstance(found.masks, RoIMasks)
    torch.testing.assert_close(found.masks.probabilities, (grids[0] + grids[1] + grids[2]) / 3)


def test_an_image_without_proposals() -> None:
    head = build(settings(masks=True)).eval()
    with torch.no_grad():
        found = head.predict(features(2), [proposals(), proposals(FAR)], [INFO, INFO])
        none = head.predict(features(2), [proposals(), proposals()], [INFO, INFO])
    assert len(found[0]) == 0
    assert len(found[1]) > 0
    assert [len(image) for image in none] == [0, 0]


def test_stages_keep_to_their_image() -> None:
    head = build(settings())
    small = ImageInfo.of((30, 40))
    with torch.no_grad():
        given = [proposals([20.0, 40.0, 60.0, 60.0])] * 2
        large, cut = head.decode(ImageMaps(features(2)), given, [INFO, small], every_pair)
    assert (cut.boxes[:, 2:] <= torch.tensor([40.0, 30.0])).all()
    assert (large.boxes[:, 3] > 30).all()


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="at least 1 element"):
        CascadeRoIHeadConfig(stages=())
    with pytest.raises(ConfigError, match=r"mask_extractor: requires a mask_head"):
        CascadeRoIHeadConfig(stages=(stage(),), mask_head=MaskHeadConfig())


def test_stages_differ_in_what_they_correct() -> None:
    coder = DeltaCoder(stds=(0.05, 0.05, 0.1, 0.1))
    config = stage()
    second = dataclasses.replace(
        config,
        box_head=dataclasses.replace(config.box_head, coder=coder),  # type: ignore[arg-type]
    )
    head = build(CascadeRoIHeadConfig(stages=(config, second), extractor=EXTRACTOR))
    deltas, regions = torch.ones(1, 1, 4), torch.tensor([[20.0, 20, 40, 40]])
    logits = torch.zeros(1, CLASSES + 1)
    shifts = [own.refine(logits, deltas, regions, None, INFO)[0] for own in head.bbox_head]
    assert [round(((box[0] + box[2]) / 2 - 30).item(), 4) for box in shifts] == [2, 1]


def test_every_stage_can_train_on_what_is_hardest_for_it() -> None:
    hard = dataclasses.replace(stage(), sampler=OHEMSampler(num=4, positive_fraction=0.5))
    head = build(CascadeRoIHeadConfig(stages=(hard, hard), extractor=EXTRACTOR))
    low = torch.rand((30, 2), generator=torch.Generator().manual_seed(0)) * 40
    boxes = torch.cat([torch.cat([low, low + 20], 1), BOXES + 1])
    maps = ImageMaps(features())
    for number, own in enumerate(head.bbox_head):
        (labeled,) = head.label(number, [boxes], [targets()])
        (found,) = head.sample(maps, number, [labeled])
        logits, _ = own(head.pool(maps, number, rois_of([labeled.boxes])))
        losses = own.classification_losses(logits, labeled.labels)
        wanted = losses[labeled.labels == CLASSES].topk(2).values
        drawn = found.labels == CLASSES
        logits, _ = own(head.pool(maps, number, rois_of([found.boxes[drawn]])))
        torch.testing.assert_close(
            own.classification_losses(logits, found.labels[drawn]).sort(descending=True).values,
            wanted,
        )
