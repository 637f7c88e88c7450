from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.config import ConfigError
from detzoo.heads.roi.htc import HTCMaskHead, HTCRoIHead, HTCRoIHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.regions import positive_rois, sampled_rois
from detzoo.heads.roi.semantic_head import SemanticHead, SemanticHeadConfig
from detzoo.heads.roi.staged import ImageMaps
from detzoo.structures import UNLABELED, Detections, RoIMasks, Targets
from tests.heads.roi.test_cascade import EXTRACTOR, stage
from tests.heads.roi.test_standard import (
    BOXES,
    CHANNELS,
    CLASSES,
    FAR,
    INFO,
    NEAR_FIRST,
    STRIDES,
    draw,
    features,
    proposals,
    targets,
)

SEMANTIC = SemanticHeadConfig(num_classes=5, fusion_level=1, num_convs=1, channels=4)


def build(semantic: bool = True) -> HTCRoIHead:
    torch.manual_seed(0)
    config = HTCRoIHeadConfig(
        stages=(stage(), stage(loss_weight=0.5)),
        extractor=EXTRACTOR,
        mask_extractor=dataclasses.replace(EXTRACTOR, output_size=6),
        mask_head=MaskHeadConfig(num_convs=1, channels=4),
        semantic_head=SEMANTIC if semantic else None,
        semantic_extractor=dataclasses.replace(EXTRACTOR, output_size=6, num_levels=1),
    )
    return config.build(CHANNELS, STRIDES, CLASSES)


def with_map(target: Targets) -> Targets:
    # The semantic head works at the stride of level 1: 8.
    classes = torch.randint(0, 5, (8, 8), generator=torch.Generator().manual_seed(0))
    return dataclasses.replace(target, semantic_map=classes.to(torch.uint8))


def test_all_levels_meet_in_one() -> None:
    head = SEMANTIC.build(CHANNELS)
    maps = features()
    logits, encoded = head(maps)
    assert logits.shape == (1, 5, 8, 8)
    fine = F.interpolate(maps[0], size=(8, 8), mode="bilinear", align_corners=True)
    x = head.lateral_convs[1](maps[1]) + head.lateral_convs[0](fine)
    x = head.convs[0](x)
    torch.testing.assert_close(logits, head.conv_logits(x))
    torch.testing.assert_close(encoded, head.conv_embedding(x))


def test_unlabelled_cells_count_in_the_mean() -> None:
    head: SemanticHead = SEMANTIC.build(CHANNELS)
    logits = torch.randn(1, 5, 2, 2)
    classes = torch.tensor([[[0, 4], [UNLABELED, 2]]], dtype=torch.uint8)
    cells = [(0, 0, 0), (0, 1, 4), (1, 1, 2)]
    losses = [F.cross_entropy(logits[:, :, y, x], torch.tensor([c])) for y, x, c in cells]
    wanted = 0.2 * torch.stack(losses).sum() / 4
    torch.testing.assert_close(head.loss(logits, classes), wanted)


def test_mask_heads_take_what_the_one_before_made() -> None:
    config = MaskHeadConfig(num_convs=1, channels=8)
    first = HTCMaskHead(config, 4, CLASSES, is_first=True)
    second = HTCMaskHead(config, 4, CLASSES, is_first=False)
    x, previous = torch.randn(2, 4, 5, 5), torch.randn(2, 8, 5, 5)
    assert first.conv_res is None
    assert second.conv_res is not None
    torch.testing.assert_close(first.encode(x, None), first.convs[0](x))
    wanted = second.convs[0](x + second.conv_res(previous))
    torch.testing.assert_close(second.encode(x, previous), wanted)
    assert second.predict(wanted).shape == (2, CLASSES, 10, 10)


def test_semantic_features_are_added_to_those_of_regions() -> None:
    head = build()
    levels, rois = features(), torch.tensor([[0.0, 4, 4, 24, 24]])
    maps = head.image_maps(levels)
    assert head.semantic_roi_extractor is not None
    added = head.semantic_roi_extractor([maps.semantic], rois)
    plain = head.bbox_roi_extractor[0](levels, rois)
    # From 6x6 cells to the 3x3 of the box head.
    wanted = plain + F.avg_pool2d(added, 2)
    torch.testing.assert_close(head.pool(maps, 0, rois), wanted)
    encoded = head.mask_head[0].encode(head.mask_roi_extractor[0](levels, rois) + added, None)
    (logits,) = head.mask_logits(maps, rois, [0])
    torch.testing.assert_close(logits, head.mask_head[0].predict(encoded))


@pytest.mark.parametrize("semantic", [True, False])
def test_masks_train_on_the_boxes_just_refined(semantic: bool) -> None:
    head = build(semantic)
    levels, wanted = features(), [with_map(targets(masks=True))]
    maps = ImageMaps(levels)
    given = proposals(NEAR_FIRST, FAR)
    losses = head.loss(levels, [given], wanted, [INFO])
    names = {f"s{n}.{k}" for n in (0, 1) for k in ("loss_cls", "loss_bbox", "loss_mask")}
    assert set(losses) == names | ({"loss_semantic_seg"} if semantic else set())
    if semantic:
        return
    boxes = [given.boxes]
    for number, config in enumerate(head.config.stages):
        drawn = draw(head, boxes, *wanted)
        own = head.bbox_head[number]
        logits, deltas = own(head.pool(maps, number, sampled_rois(drawn)))
        refined = own.refine(logits, deltas, drawn[0].boxes, drawn[0].labels, INFO)
        boxes = [refined[~drawn[0].is_target].detach()]
        drawn = draw(head, boxes, *wanted)
        pooled = head.mask_roi_extractor[number](levels, positive_rois(drawn))
        encoded: Tensor | None = None
        for mask_head in list(head.mask_head)[: number + 1]:
            encoded = mask_head.encode(pooled, encoded)
        assert encoded is not None
        mask_logits = head.mask_head[number].predict(encoded)
        labels = drawn[0].labels[drawn[0].is_positive]
        masks = wanted[0].masks.crop_and_resize(  # type: ignore[union-attr]
            drawn[0].boxes[drawn[0].is_positive],
            drawn[0].target_index[drawn[0].is_positive],
            mask_logits.shape[-1],
        )
        own_logits = mask_logits[torch.arange(len(labels)), labels]
        expected = F.binary_cross_entropy_with_logits(own_logits, masks)
        torch.testing.assert_close(losses[f"s{number}.loss_mask"], config.loss_weight * expected)


@torch.no_grad()
def test_masks_are_the_mean_of_all_stages() -> None:
    head = build(semantic=False).eval()
    maps, labels = features(), torch.tensor([1, 2])
    (found,) = head.predict_branches(ImageMaps(maps), [Detections(BOXES, torch.ones(2), labels)])
    rois = torch.cat([torch.zeros(2, 1), BOXES], 1)
    pooled = head.mask_roi_extractor[1](maps, rois)
    encoded = head.mask_head[0].encode(pooled, None)
    grids = [head.mask_head[0].predict(encoded)]
    grids.append(head.mask_head[1].predict(head.mask_head[1].encode(pooled, encoded)))
    mean = sum(grid[torch.arange(2), labels].sigmoid() for grid in grids) / 2
    assert isinstance(found.masks, RoIMasks)
    torch.testing.assert_close(found.masks.probabilities, mean)


def test_settings() -> None:
    assert build().config.needs_semantic_maps
    assert not build(semantic=False).config.needs_semantic_maps
    with pytest.raises(ConfigError, match="at least 1 element"):
        HTCRoIHeadConfig(stages=())
