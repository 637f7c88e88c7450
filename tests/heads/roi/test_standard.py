from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.heads.roi.box_head import BoxHead, BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig, mask_probabilities
from detzoo.heads.roi.regions import SampledRegions
from detzoo.heads.roi.staged import ImageMaps, StagedRoIHead
from detzoo.heads.roi.standard import StandardRoIHead, StandardRoIHeadConfig
from detzoo.losses.boxes import GIoULoss, L1Loss
from detzoo.losses.classification import SigmoidCrossEntropy, SoftmaxCrossEntropy
from detzoo.postprocess.select import Select
from detzoo.samplers.ohem import OHEMSampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import BitmapMasks, Detections, ImageInfo, RoIMasks, Targets

CLASSES = 3
CHANNELS, STRIDES = (4, 4), (4, 8)
INFO = ImageInfo.of((64, 64))
BOXES = torch.tensor([[4.0, 4.0, 24.0, 24.0], [30.0, 30.0, 60.0, 50.0]])


def features(images: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn((images, 4, 64 // s, 64 // s), generator=generator) for s in STRIDES]


def settings(masks: bool = False, **fields: object) -> StandardRoIHeadConfig:
    base = StandardRoIHeadConfig(
        extractor=PyramidRoIAlignConfig(output_size=3, num_levels=2, finest_scale=14.0),
        box_head=BoxHeadConfig(fc_channels=8),
        mask_extractor=PyramidRoIAlignConfig(output_size=4, num_levels=2, finest_scale=14.0),
        mask_head=MaskHeadConfig(num_convs=1, channels=8) if masks else None,
        sampler=RandomSampler(num=8, positive_fraction=0.5, adds_targets=True),
    )
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


def build(config: StandardRoIHeadConfig) -> StandardRoIHead:
    torch.manual_seed(0)
    return config.build(CHANNELS, STRIDES, CLASSES)


def proposals(*boxes: list[float]) -> Detections:
    made = torch.tensor(boxes).reshape(-1, 4)
    return Detections(made, torch.ones(len(made)), torch.zeros(len(made)).long())


def targets(masks: bool = False) -> Targets:
    bitmaps = torch.zeros(2, 64, 64, dtype=torch.uint8)
    bitmaps[0, 4:14, 4:24] = 1
    bitmaps[1, 30:50, 40:60] = 1
    return Targets.of(BOXES, torch.tensor([2, 0]), BitmapMasks(bitmaps) if masks else None)


NONE = Targets.of(torch.zeros(0, 4), torch.zeros(0).long())
NEAR_FIRST, FAR = [6.0, 4.0, 24.0, 24.0], [40.0, 0.0, 50.0, 10.0]


def draw(head: StagedRoIHead, boxes: Sequence[Tensor], *wanted: Targets) -> list[SampledRegions]:
    """What the first stage trains on."""
    maps = ImageMaps(features(len(boxes)))
    return head.sample(maps, 0, head.label(0, boxes, wanted))


def test_regions_to_train_on() -> None:
    (found,) = draw(build(settings()), [proposals(FAR, NEAR_FIRST).boxes], targets())
    # Positives first: both targets themselves, and the proposal near the first.
    assert found.boxes.tolist() == [*BOXES.tolist(), NEAR_FIRST, FAR]
    assert found.labels.tolist() == [2, 0, 2, CLASSES]
    assert found.target_index[:3].tolist() == [0, 1, 0]


def test_targets_need_not_be_among_the_regions() -> None:
    sampler = RandomSampler(num=8, positive_fraction=0.5)
    head = build(settings(sampler=sampler))
    (found,) = draw(head, [proposals(FAR, NEAR_FIRST).boxes], targets())
    assert found.boxes.tolist() == [NEAR_FIRST, FAR]


def test_regions_of_an_image_without_targets() -> None:
    head = build(settings())
    (found,) = draw(head, [proposals(FAR, NEAR_FIRST).boxes], NONE)
    assert found.labels.tolist() == [CLASSES, CLASSES]
    assert len(draw(head, [torch.zeros(0, 4)], NONE)[0].boxes) == 0
    assert len(draw(head, [torch.zeros(0, 4)], targets())[0].boxes) == 2


def test_ohem_trains_on_the_regions_with_the_highest_loss() -> None:
    head = build(settings(sampler=OHEMSampler(num=4, positive_fraction=0.5)))
    torch.nn.init.normal_(head.bbox_head.fc_cls.weight, std=1.0)
    generator = torch.Generator().manual_seed(3)
    low = torch.rand((30, 2), generator=generator) * 40
    boxes = torch.cat([low, low + 4 + 16 * torch.rand((30, 2), generator=generator)], 1)
    boxes = torch.cat([boxes, BOXES, BOXES + 1])
    maps = ImageMaps(features(2))
    none = torch.zeros(0, 4)
    _, found = head.sample(maps, 0, head.label(0, [none, boxes], [NONE, targets()]))
    # One region at a time, on the second image's features.
    overlap = head.config.assigner.assign(boxes, targets())
    losses: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
    for number, box in enumerate(boxes):
        index = int(overlap.target_index[number])
        label = int(targets().labels[index]) if index >= 0 else CLASSES
        roi = torch.tensor([[1.0, *box.tolist()]])
        logits, _ = head.bbox_head(head.pool(maps, 0, roi))
        loss = F.cross_entropy(logits, torch.tensor([label])).item()
        losses[index >= 0].append((loss, number))
    assert len(losses[True]) > 2
    hardest = [sorted(losses[kind], reverse=True)[:2] for kind in (True, False)]
    wanted = [number for kind in hardest for _, number in kind]
    assert sorted(map(tuple, found.boxes.tolist())) == sorted(
        tuple(boxes[number].tolist()) for number in wanted
    )


def slow_box_losses(
    head: BoxHead, logits: Tensor, deltas: Tensor, regions: Tensor, labels: Tensor, wanted: Tensor
) -> dict[str, float]:
    classification, box, right = 0.0, 0.0, 0
    for r, label in enumerate(labels.tolist()):
        row = logits[r].tolist()
        classification += math.log(sum(math.exp(x) for x in row)) - row[label]
        right += max(range(len(row)), key=row.__getitem__) == label
        if label < CLASSES:
            if head.config.box_loss.on_boxes:
                decoded = head.config.coder.decode(regions[r], deltas[r, label])
                box += GIoULoss().per_example(decoded[None], wanted[r][None]).item()
            else:
                encoded = head.config.coder.encode(regions[r], wanted[r])
                box += (deltas[r, label] - encoded).abs().sum().item()
    count = len(labels)
    return {
        "loss_cls": classification / count,
        "acc": 100 * right / count,
        "loss_bbox": box / count,
    }


@pytest.mark.parametrize("box_loss", [L1Loss(), GIoULoss()])
def test_box_losses_equal_the_loop(box_loss: L1Loss | GIoULoss) -> None:
    head = BoxHeadConfig(box_loss=box_loss).build(4, 3, CLASSES)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((6, CLASSES + 1), generator=generator)
    deltas = torch.randn((6, CLASSES, 4), generator=generator)
    low = 50 * torch.rand((6, 2), generator=generator)
    regions = torch.cat([low, low + 20], 1)
    labels = torch.tensor([2, 3, 0, 3, 1, 1])
    values = (logits, deltas, regions, labels, regions + torch.tensor([1.0, 2, 3, 5]))
    losses = {name: value.item() for name, value in head.loss(*values).logged().items()}
    assert losses == pytest.approx(slow_box_losses(head, *values), rel=1e-5)


def test_losses_of_no_regions_are_zero() -> None:
    head = BoxHeadConfig(fc_channels=8).build(4, 3, CLASSES)
    logits, deltas = head(torch.zeros(0, 4, 3, 3))
    none = torch.zeros(0, 4)
    losses = head.loss(logits, deltas, none, torch.zeros(0).long(), none)
    assert {name: value.item() for name, value in losses.logged().items()} == {
        "loss_cls": 0,
        "acc": 0,
        "loss_bbox": 0,
    }


def test_decode_refines_each_class_by_itself() -> None:
    head = BoxHeadConfig().build(4, 3, CLASSES)
    scores = torch.tensor([[0.7, 0.2, 0.04, 0.06], [0.1, 0.1, 0.2, 0.6]])
    deltas = torch.zeros(2, CLASSES, 4)
    deltas[0, 1, 0] = 5.0  # half of a width, as the coder's deviation is 0.1
    deltas[1, 2, 0] = 100.0
    pairs = Select(min_score=0.15).pairs(scores[:, :CLASSES])
    found = head.decode(pairs, deltas, BOXES, INFO)
    assert found.labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(found.scores, torch.tensor([0.7, 0.2, 0.2]))
    # The last is cut at the image.
    wanted = [[4, 4, 24, 24], [14, 4, 34, 24], [64, 30, 64, 50]]
    torch.testing.assert_close(found.boxes, torch.tensor(wanted, dtype=torch.float32))


@pytest.mark.parametrize(
    ("loss", "outputs"), [(SoftmaxCrossEntropy(), CLASSES + 1), (SigmoidCrossEntropy(), CLASSES)]
)
def test_shapes_of_the_box_head(
    loss: SoftmaxCrossEntropy | SigmoidCrossEntropy, outputs: int
) -> None:
    x = torch.randn(5, 4, 3, 3)
    for fcs in (0, 2):
        config = BoxHeadConfig(num_shared_fcs=fcs, fc_channels=8, classification_loss=loss)
        logits, deltas = config.build(4, 3, CLASSES)(x)
        assert logits.shape == (5, outputs)
        assert deltas.shape == (5, CLASSES, 4)


def test_mask_loss_is_of_each_regions_class() -> None:
    head = MaskHeadConfig(loss_weight=0.5).build(4, CLASSES)
    logits = torch.randn(2, CLASSES, 4, 4, generator=torch.Generator().manual_seed(0))
    wanted = (torch.rand(2, 4, 4) > 0.5).float()
    total = 0.0
    for r, label in enumerate((2, 0)):
        for row in range(4):
            for column in range(4):
                x = logits[r, label, row, column].item()
                answer = wanted[r, row, column].item()
                total += math.log1p(math.exp(-x if answer else x))
    loss = head.loss(logits, torch.tensor([2, 0]), wanted)["loss_mask"]
    assert loss.item() == pytest.approx(0.5 * total / 32, rel=1e-5)


def test_masks_are_of_each_regions_class() -> None:
    head = MaskHeadConfig(num_convs=0, channels=8).build(4, CLASSES)
    logits = head(torch.randn(2, 4, 3, 3))
    assert logits.shape == (2, CLASSES, 6, 6)
    found = mask_probabilities(logits, torch.tensor([2, 0]))
    torch.testing.assert_close(found, torch.stack([logits[0, 2], logits[1, 0]]).sigmoid())


def test_mask_targets_are_cut_out_of_the_targets_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    head = build(settings(masks=True))
    assert head.mask_head is not None
    seen = {}

    def loss(logits: Tensor, labels: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        seen.update(labels=labels, wanted=wanted)
        return {"loss_mask": logits.sum()}

    monkeypatch.setattr(head.mask_head, "loss", loss)
    head.loss(features(), [proposals(FAR)], [targets(masks=True)], [INFO])
    assert seen["labels"].tolist() == [2, 0]
    upper, right = seen["wanted"]
    # The first mask fills the upper half of its box, the second the right two thirds.
    assert upper.tolist() == [[1.0] * 8] * 4 + [[0.0] * 8] * 4
    assert right.tolist() == [[0.0] * 3 + [1.0] * 5] * 8


@pytest.mark.parametrize("shared_regions", [False, True])
def test_predictions_have_masks(shared_regions: bool) -> None:
    config = settings(masks=True)
    if shared_regions:
        config = dataclasses.replace(config, mask_extractor=None)
    head = build(config).eval()
    given = [proposals(NEAR_FIRST, FAR), proposals(), proposals(FAR)]
    found = head.predict(features(3), given, [INFO] * 3)
    # A fresh head gives every class a quarter.
    assert [len(image) for image in found] == [6, 0, 3]
    size = 6 if shared_regions else 8
    for image in found:
        assert isinstance(image.masks, RoIMasks)
        assert image.masks.probabilities.shape == (len(image), size, size)
        assert image.labels.dtype == torch.int64


@pytest.mark.parametrize("masks", [False, True])
def test_no_proposals_in_any_image(masks: bool) -> None:
    head = build(settings(masks=masks)).eval()
    found = head.predict(features(2), [proposals(), proposals()], [INFO] * 2)
    for image in found:
        assert image.boxes.shape == (0, 4)
        assert image.scores.shape == image.labels.shape == (0,)
        assert (image.masks is not None) is masks
        pasted = image.to_original(INFO).masks
        if masks:
            assert isinstance(pasted, BitmapMasks)
            assert pasted.bitmaps.shape == (0, 64, 64)


def test_regions_of_several_images_keep_to_their_image() -> None:
    """The loss of a batch is the mean over the regions of its images alone."""
    config = settings(sampler=RandomSampler(num=64, positive_fraction=0.5, adds_targets=True))
    head = build(config)
    maps = features(2)
    given = [proposals(NEAR_FIRST, FAR), proposals(FAR)]
    both = head.loss(maps, given, [targets(), NONE], [INFO, INFO])
    parts = []
    for image, (boxes, target) in enumerate(zip(given, (targets(), NONE))):
        own = [level[image : image + 1] for level in maps]
        parts.append(head.loss(own, [boxes], [target], [INFO]))
    for name in ("loss_cls", "loss_bbox"):
        mean = (4 * parts[0][name] + 1 * parts[1][name]) / 5
        torch.testing.assert_close(both[name], mean)


def test_one_mask_for_all_classes() -> None:
    head = build(settings(mask_head=MaskHeadConfig(num_convs=1, channels=8, class_agnostic=True)))
    assert head.mask_head is not None
    logits = head.mask_head(torch.randn(2, 4, 4, 4))
    assert logits.shape == (2, 1, 8, 8)
    first, last = torch.tensor([0, 2]), torch.tensor([1, 1])
    assert torch.equal(mask_probabilities(logits, first), mask_probabilities(logits, last))
    assert not any(name.startswith("mask_head") for name in head.class_parameters())
