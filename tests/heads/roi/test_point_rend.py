from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.point_head import PointHeadConfig
from detzoo.heads.roi.point_rend import PointRendRoIHead, PointRendRoIHeadConfig, point_targets
from detzoo.heads.roi.regions import SampledRegions
from detzoo.heads.roi.staged import ImageMaps
from detzoo.structures import BitmapMasks, Detections, RoIMasks, Targets
from tests.detectors.models import narrow

CLASSES = 3


def roi_head() -> PointRendRoIHead:
    torch.manual_seed(0)
    return narrow(PointRendRoIHeadConfig()).build((8,) * 4, (4, 8, 16, 32), CLASSES).eval()


def maps() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 8, 32 // s, 32 // s, generator=generator) for s in (1, 2, 4, 8)]


def test_points_are_drawn_where_the_mask_is_uncertain() -> None:
    torch.manual_seed(0)
    head = PointHeadConfig(num_points=40, oversampling=10, uncertain_part=0.75).build(4, CLASSES)
    # The mask of class 1 has its edge in the middle; the others are sure everywhere.
    coarse = torch.full((2, CLASSES, 7, 7), 9.0)
    coarse[:, 1, :, :3] = -9.0
    coarse[:, 1, :, 3] = 0.0
    points = head.draw_points(coarse, torch.tensor([1, 1]))
    assert points.shape == (2, 40, 2)
    assert ((points >= 0) & (points <= 1)).all()
    assert (points[:, :30, 0] - 0.5).abs().max() < 0.1
    assert (points[:, 30:, 0] - 0.5).abs().max() > 0.2
    assert head.draw_points(torch.zeros(0, CLASSES, 7, 7), torch.zeros(0).long()).shape == (
        0,
        40,
        2,
    )


def test_points_learn_from_the_image_of_their_object() -> None:
    bitmaps = torch.zeros(2, 20, 20, dtype=torch.uint8)
    bitmaps[1, :, 10:] = 1
    target = Targets.of(torch.zeros(2, 4), torch.tensor([0, 1]), BitmapMasks(bitmaps))
    regions = SampledRegions(
        torch.tensor([[0.0, 0, 20, 20], [5, 5, 15, 15], [0, 0, 9, 9]]),
        torch.tensor([0, 1, CLASSES]),
        torch.tensor([0, 1, -1]),
        torch.zeros(3, dtype=torch.bool),
    )
    points = torch.tensor([[0.2, 0.5], [0.5, 0.5], [0.8, 0.5]]).expand(2, -1, -1)
    found = point_targets([regions], [target], points)
    torch.testing.assert_close(found, torch.tensor([[0, 0, 0], [0, 0.5, 1]]))


def test_every_layer_sees_the_coarse_logits() -> None:
    head = PointHeadConfig(num_fcs=2, channels=5).build(4, CLASSES)
    fine, coarse = torch.randn(2, 4, 6), torch.randn(2, CLASSES, 6)
    x = fine
    for layer in head.fcs:
        x = torch.einsum("oi,rip->rop", layer.conv.weight[..., 0], torch.cat([x, coarse], 1))
        x = (x + layer.conv.bias[:, None]).relu()
    last = torch.cat([x, coarse], 1)
    wanted = torch.einsum("oi,rip->rop", head.fc_logits.weight[..., 0], last)
    torch.testing.assert_close(head(fine, coarse), wanted + head.fc_logits.bias[:, None])


def test_loss_is_of_each_regions_class() -> None:
    head = PointHeadConfig(loss_weight=2.0).build(4, CLASSES)
    logits = torch.zeros(1, CLASSES, 2)
    logits[0, 1] = torch.tensor([100.0, 0.0])
    loss = head.loss(logits, torch.tensor([1]), torch.tensor([[1.0, 0.5]]))["loss_point"]
    assert loss.item() == pytest.approx(2 * 0.693147 / 2, rel=1e-4)


def test_masks_are_refined_where_they_are_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    head = roi_head()
    boxes = torch.tensor([[4.0, 4, 100, 90], [20, 30, 60, 110]])
    detections = Detections(boxes, torch.tensor([0.9, 0.8]), torch.tensor([1, 2]))
    rows = []

    def coarse(x: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(x), CLASSES, 7, 7), -8.0)
        logits[..., 3:] = 8.0
        return logits

    def decide(features: object, rois: torch.Tensor, mask: object, points: torch.Tensor):  # type: ignore[no-untyped-def]
        rows.append(points.shape[1])
        # The true edge lies at 0.4 of the width.
        return ((points[..., 0] > 0.4).float() * 16 - 8)[:, None].expand(-1, CLASSES, -1)

    monkeypatch.setattr(head.mask_head, "forward", coarse)
    monkeypatch.setattr(head, "decide_points", decide)
    empty = Detections.empty()
    found, none = head.predict_branches(ImageMaps(maps()), [detections, empty])
    assert isinstance(found.masks, RoIMasks)
    assert found.masks.probabilities.shape == (2, 224, 224)
    assert len(none) == 0
    # Twice and four times the size: the first is not worth it, the second decides every pixel.
    assert rows == [784] * 4
    mask = found.masks.probabilities > 0.5
    columns = (torch.arange(224) + 0.5) / 224
    assert torch.equal(mask[0, 100], columns > 0.4)


def test_only_the_most_uncertain_points_change(monkeypatch: pytest.MonkeyPatch) -> None:
    few = PointHeadConfig(channels=16, num_subdivisions=1, points_per_subdivision=14)
    config = dataclasses.replace(narrow(PointRendRoIHeadConfig()), point_head=few)
    head = config.build((8,) * 4, (4, 8, 16, 32), CLASSES)
    monkeypatch.setattr(
        head, "decide_points", lambda f, r, c, points: torch.full((1, CLASSES, 14), 5.0)
    )
    coarse = torch.full((1, CLASSES, 7, 7), -9.0)
    coarse[0, 2, :, 0] = 1.0
    rois = torch.tensor([[0.0, 4, 4, 100, 90]])
    (mask,) = head._subdivide(ImageMaps(maps()), rois, coarse, torch.tensor([2]))
    # Twice the size, the first column has 1, the second -1.5, the third -6.5.
    assert (mask[:, 0] == 5.0).all()
    torch.testing.assert_close(mask[0, 1:4], torch.tensor([-1.5, -6.5, -9.0]))


def test_rows_of_classes_among_the_inputs() -> None:
    declared = PointHeadConfig(channels=5).build(4, CLASSES).class_parameters()
    rows = declared["fcs.1.conv.weight"]
    assert rows == ClassRows(width=0, leading=5, inputs=ClassRows(leading=5))
    assert rows.shape((5, 8, 1), 2) == (5, 7, 1)
    own, columns = rows.place(torch.tensor([2]), CLASSES)
    assert own[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert columns.tolist() == [0, 1, 2, 3, 4, 7]
