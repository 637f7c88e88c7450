from __future__ import annotations

import numpy as np
import pytest
import torch

from detzoo.heads.roi.mask_iou_head import (
    MaskIoUHead,
    MaskIoUHeadConfig,
    mask_iou,
    visible_parts,
)
from detzoo.heads.roi.mask_scoring import MaskScoringRoIHeadConfig
from detzoo.heads.roi.regions import SampledRegions
from detzoo.heads.roi.staged import ImageMaps
from detzoo.structures import BitmapMasks, Detections, ImageInfo, PolygonMasks, Targets
from tests.detectors.models import narrow

CLASSES = 3


def sampled(boxes: list[list[float]], index: list[int]) -> SampledRegions:
    target_index = torch.tensor(index)
    labels = torch.where(target_index >= 0, 0, CLASSES)
    return SampledRegions(
        torch.tensor(boxes), labels, target_index, torch.zeros(len(index), dtype=torch.bool)
    )


def targets() -> Targets:
    bitmaps = torch.zeros(2, 20, 20, dtype=torch.uint8)
    bitmaps[0, 5:15, 5:15] = 1
    bitmaps[1, :4, :2] = 1
    boxes = torch.tensor([[5.0, 5, 15, 15], [0, 0, 2, 4]])
    return Targets.of(boxes, torch.tensor([0, 1]), BitmapMasks(bitmaps))


def test_visible_parts_in_whole_pixels() -> None:
    boxes = [[5.0, 5, 15, 15], [5.9, 5.2, 10.9, 15], [0, 2, 20, 20], [0.2, 0.3, 0.9, 0.8]]
    regions = sampled([*boxes, [0.0, 0, 9, 9]], [0, 0, 1, 1, -1])
    parts = visible_parts([regions], [targets()])
    # A box within a pixel counts as that pixel; the last region is background.
    torch.testing.assert_close(parts, torch.tensor([1.0, 0.5, 0.5, 1 / 8]))


def test_visible_parts_of_polygons() -> None:
    square = np.array([[5.0, 5], [15, 5], [15, 15], [5, 15]])
    target = Targets.of(
        torch.tensor([[5.0, 5, 15, 15]]), torch.tensor([0]), PolygonMasks(((square,),), (20, 20))
    )
    parts = visible_parts([sampled([[5.0, 5, 10, 15]], [0])], [target])
    torch.testing.assert_close(parts, torch.tensor([0.5]), atol=0.06, rtol=0)


def test_iou_is_with_the_whole_object() -> None:
    predicted = torch.zeros(3, 4, 4, dtype=torch.bool)
    predicted[0, :2] = True
    predicted[2] = True
    wanted = torch.zeros(3, 4, 4)
    wanted[:2, 1:] = 1
    # 8 predicted pixels, 4 of them of an object whose 12 visible pixels are half of it.
    found = mask_iou(predicted, wanted, torch.tensor([0.5, 1.0, 1.0]))
    torch.testing.assert_close(found, torch.tensor([4 / (8 + 24 - 4), 0, 0]))


def head() -> MaskIoUHead:
    torch.manual_seed(0)
    return MaskIoUHeadConfig(channels=4, fc_channels=8).build(4, 14, CLASSES)


def test_loss_is_of_masks_that_overlap() -> None:
    model = head()
    regions = sampled([[5.0, 5, 15, 15], [5.0, 5, 15, 15]], [0, 0])
    logits = torch.full((2, 28, 28), -1.0)
    logits[0, :14] = 1.0
    wanted = torch.ones(2, 28, 28)
    ious = torch.tensor([0.2, 0.7], requires_grad=True)
    loss = model.loss(ious, logits, wanted, [regions], [targets()])["loss_mask_iou"]
    # The first mask is half right; the second finds nothing and does not count.
    assert loss.item() == pytest.approx(0.5 * 0.3**2, abs=1e-6)
    loss.backward()
    assert ious.grad is not None
    assert ious.grad[1] == 0


def test_loss_of_no_regions() -> None:
    none = sampled([[0.0, 0, 1, 1]], [-1])
    x = torch.zeros(0, 4, 14, 14)
    ious = head()(x, torch.zeros(0, 28, 28))
    assert ious.shape == (0, CLASSES)
    loss = head().loss(
        ious[:, 0], torch.zeros(0, 28, 28), torch.zeros(0, 28, 28), [none], [targets()]
    )
    assert loss["loss_mask_iou"] == 0


def test_masks_are_rated_by_box_score_times_iou() -> None:
    torch.manual_seed(0)
    roi_head = narrow(MaskScoringRoIHeadConfig()).build((8,) * 4, (4, 8, 16, 32), CLASSES).eval()
    torch.nn.init.zeros_(roi_head.mask_iou_head.fc_mask_iou.weight)
    roi_head.mask_iou_head.fc_mask_iou.bias.data = torch.tensor([0.5, 0.25, 1.0])
    maps = [torch.randn(1, 8, 32 // s, 32 // s) for s in (1, 2, 4, 8)]
    boxes = torch.tensor([[4.0, 4, 60, 60], [10, 10, 90, 50]])
    given = Detections(boxes, torch.tensor([0.8, 0.6]), torch.tensor([1, 2]))
    (found,) = roi_head.predict_branches(ImageMaps(maps), [given])
    assert found.mask_scores is not None
    torch.testing.assert_close(found.mask_scores, torch.tensor([0.2, 0.6]))
    assert torch.equal(found.scores, given.scores)
    for kept in (found[1:], found.to("cpu")[1:], found.to_original(ImageInfo.of((128, 128)))[1:]):
        assert kept.mask_scores is not None
        torch.testing.assert_close(kept.mask_scores, torch.tensor([0.6]))
