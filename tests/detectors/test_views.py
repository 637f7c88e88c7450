"""Detecting in several views of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from detzoo.config import ConfigError
from detzoo.data.loader import collate
from detzoo.data.sample import Sample, apply
from detzoo.data.transforms import CenterPad, Flip, Pad, Rescale, Resize
from detzoo.data.tta import TTA
from detzoo.detectors.base import Detector
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.two_stage import TwoStage
from detzoo.heads.base import RoIHead, RoIHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.augmented import average_candidates, average_detections
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.cascade import CascadeRoIHeadConfig, CascadeStage
from detzoo.heads.roi.classifier import RegionClassifierConfig
from detzoo.heads.roi.coarse_mask_head import CoarseMaskHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.grid import GridRoIHeadConfig
from detzoo.heads.roi.grid_head import GridHeadConfig
from detzoo.heads.roi.htc import HTCRoIHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.mask_iou_head import MaskIoUHeadConfig
from detzoo.heads.roi.mask_scoring import MaskScoringRoIHeadConfig
from detzoo.heads.roi.point_head import PointHeadConfig
from detzoo.heads.roi.point_rend import PointRendRoIHeadConfig
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.postprocess.select import Select
from detzoo.postprocess.tta import merge_detections, merge_proposals
from detzoo.structures import (
    BitmapMasks,
    Candidates,
    Detections,
    ImageBatch,
    ImageInfo,
    Losses,
    RoIMasks,
)
from tests.data.transforms.samples import sample
from tests.tiny import BACKBONE, tiny_mask_rcnn, tiny_retinanet

FIT = (Resize(sizes=((96, 64),)), Pad(divisor=32))


def test_views_of_a_recipe() -> None:
    resize, pad = FIT
    mirror = Flip(probability=1.0, directions=("horizontal",))
    assert TTA().pipelines(FIT) == (FIT,)
    assert TTA(flips=("horizontal",)).pipelines(FIT) == (FIT, (resize, mirror, pad))
    both = TTA(scales=((30, 20), (60, 40)), flips=("horizontal",)).pipelines(FIT)
    small, large = Resize(sizes=((30, 20),)), Resize(sizes=((60, 40),))
    assert both == ((small, pad), (small, mirror, pad), (large, pad), (large, mirror, pad))
    # Everything else about resizing stays.
    stretched = (Resize(sizes=((96, 64),), keep_ratio=False), pad)
    assert TTA(scales=((30, 20),)).pipelines(stretched)[0][0].keep_ratio is False  # type: ignore[attr-defined]
    upside_down = Flip(probability=1.0, directions=("vertical",))
    own, half = Rescale(factor=1.0), Rescale(factor=0.5)
    assert TTA(factors=(0.5, 1.0)).pipelines((own, pad)) == ((half, pad), (own, pad))
    assert TTA(scales=((30, 20),)).pipelines((own, pad)) == ((small, pad),)
    framed = (own, CenterPad(bits=7), pad)
    assert TTA(flips=("vertical",)).pipelines(framed)[1] == (*framed[:2], upside_down, pad)
    with pytest.raises(ConfigError, match="both say how large"):
        TTA(scales=((30, 20),), factors=(0.5,))
    assert TTA(flips=("vertical",)).pipelines((pad,)) == ((pad,), (pad, upside_down))
    with pytest.raises(ConfigError, match="does not resize images"):
        TTA(scales=((30, 20),)).pipelines((pad,))
    with pytest.raises(ConfigError, match=r"scales\[0\]\[0\]: 0 is not at least 1"):
        TTA(scales=((0, 20),))


def view_batches(model: Detector, views: TTA, samples: Sequence[Sample]) -> list[ImageBatch]:
    rng = np.random.default_rng(0)
    return [
        model.preprocess(collate([apply(steps, one, rng) for one in samples], with_targets=False))
        for steps in views.pipelines(FIT)
    ]


def two_samples() -> list[Sample]:
    return [sample(64, 96), replace(sample(40, 60), info=ImageInfo.of((40, 60), id=6))]


def rpn() -> ProposalOnlyConfig:
    return ProposalOnlyConfig(
        backbone=BACKBONE, neck=FPNConfig(out_channels=8), rpn_head=RPNHeadConfig()
    )


def two_stage(head: RoIHeadConfig) -> Detector:
    experiment = tiny_mask_rcnn()
    return replace(experiment.model, roi_head=head).build(2)  # type: ignore[call-arg]


STAGES = (CascadeStage(box_head=BoxHeadConfig(fc_channels=16)),) * 2
MASKS = MaskHeadConfig(num_convs=1, channels=8)


def retinanet() -> Detector:
    model = tiny_retinanet().build_model()
    torch.nn.init.zeros_(model.bbox_head.retina_cls.bias)  # type: ignore[arg-type,union-attr]
    return model


MODELS = {
    "dense": retinanet,
    "two-stage": lambda: tiny_mask_rcnn().build_model(),
    "cascade": lambda: two_stage(
        CascadeRoIHeadConfig(
            stages=STAGES, mask_extractor=PyramidRoIAlignConfig(output_size=14), mask_head=MASKS
        )
    ),
    "htc": lambda: two_stage(
        HTCRoIHeadConfig(
            stages=STAGES,
            mask_head=MASKS,
            semantic_head=SemanticHeadConfig(num_convs=1, channels=8),
            select=Select(min_score=0.05),
        )
    ),
    "grid": lambda: two_stage(
        GridRoIHeadConfig(
            box_head=RegionClassifierConfig(fc_channels=16),
            grid_head=GridHeadConfig(num_convs=1, point_channels=4, norm=GroupNormConfig(groups=9)),
        )
    ),
    "mask scoring": lambda: two_stage(
        MaskScoringRoIHeadConfig(
            box_head=BoxHeadConfig(fc_channels=16),
            mask_head=MASKS,
            mask_iou_head=MaskIoUHeadConfig(num_convs=1, channels=8, fc_channels=16),
        )
    ),
    "points": lambda: two_stage(
        PointRendRoIHeadConfig(
            box_head=BoxHeadConfig(fc_channels=16),
            mask_head=CoarseMaskHeadConfig(channels=8, fc_channels=16),
            point_head=PointHeadConfig(num_fcs=1, channels=8, num_subdivisions=2),
        )
    ),
    "proposals": lambda: rpn().build(),
}
ROI_HEADS = ("two-stage", "cascade", "htc", "grid", "mask scoring", "points")


def test_the_same_view_twice_changes_nothing_in_a_dense_head() -> None:
    torch.manual_seed(0)
    model = retinanet().eval()
    (images,) = view_batches(model, TTA(), two_samples())
    with torch.inference_mode():
        once = model.detect(model.extract_features(images.pixels), images)
        twice = model.detect_augmented([images, images])
    for alone, merged, info in zip(once, twice, images.infos):
        original = alone.to_original(info)
        assert len(merged) > 0
        assert torch.allclose(merged.boxes, original.boxes, atol=1e-4)
        assert torch.allclose(merged.scores, original.scores)


@pytest.mark.parametrize("kind", ROI_HEADS)
def test_the_same_view_twice_changes_nothing_in_a_roi_head(kind: str) -> None:
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    assert isinstance(model, TwoStage)
    (images,) = view_batches(model, TTA(), two_samples())
    with torch.inference_mode():
        features = model.extract_features(images.pixels)
        proposals = model.propose(features, images)
        originals = [own.to_original(info) for own, info in zip(proposals, images.infos)]
        view = (features, images.infos)
        twice = model.roi_head.predict_augmented([view, view], originals)
        once = model.roi_head.predict(features, proposals, images.infos)
    for alone, merged, info in zip(once, twice, images.infos):
        original = alone.to_original(info)
        assert len(merged) > 0
        assert torch.allclose(merged.boxes, original.boxes, atol=1e-3)
        assert torch.allclose(merged.scores, original.scores, atol=1e-5)
        assert merged.labels.equal(original.labels)
        assert (merged.mask_scores is None) == (kind != "mask scoring")
        if merged.mask_scores is not None and original.mask_scores is not None:
            assert torch.allclose(merged.mask_scores, original.mask_scores, atol=1e-5)
        if kind == "grid":
            assert merged.masks is None
            continue
        assert isinstance(merged.masks, BitmapMasks)
        assert isinstance(original.masks, BitmapMasks)
        assert (merged.masks.bitmaps == original.masks.bitmaps).float().mean() > 0.999


@pytest.mark.parametrize("kind", MODELS)
def test_scales_and_flips_give_original_pixels(kind: str) -> None:
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    views = view_batches(
        model, TTA(scales=((96, 64), (144, 96)), flips=("horizontal",)), two_samples()
    )
    assert len(views) == 4
    with torch.inference_mode():
        found = model.detect_augmented(views)
    for image, size in zip(found, ((64, 96), (40, 60))):
        assert len(image) > 0
        assert (image.boxes >= 0).all()
        assert (image.boxes[:, 2] <= size[1]).all()
        assert (image.boxes[:, 3] <= size[0]).all()
        if image.masks is not None:
            assert isinstance(image.masks, BitmapMasks)
            assert image.masks.size == size
            assert len(image.masks) == len(image)


def info(flip: str = "none", scale: float = 1.0) -> ImageInfo:
    size = int(40 * scale), int(60 * scale)
    one = ImageInfo.of((40, 60))
    return replace(one, size=size, padded_size=size, scale=(scale, scale), flip=flip)  # type: ignore[arg-type]


def detections(boxes: list[list[float]], scores: list[float]) -> Detections:
    return Detections(
        torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), torch.zeros(len(scores)).long()
    )


def test_boxes_scores_and_masks_are_averaged() -> None:
    """One image as it is, with boxes 2 pixels off, and mirrored and doubled, 4 pixels off: in the
    original these are -2 in x and +2 in y."""
    infos = [info(), info("horizontal", 2.0)]
    box = torch.tensor([[10.0, 10.0, 30.0, 30.0]])
    boxes = [one.to_input(box) + shift for one, shift in zip(infos, (2, 4))]
    label = torch.zeros(1).long()
    scores = [torch.tensor([0.9]), torch.tensor([0.4])]
    mean = average_candidates(
        [Candidates(own, score, label, label) for own, score in zip(boxes, scores)], infos
    )
    assert mean.boxes.tolist() == [[10.0, 12.0, 30.0, 32.0]]
    assert mean.scores.tolist() == pytest.approx([0.65])

    # Masks brighter at their left, which is the right of the mirror image.
    left = RoIMasks(torch.tensor([1.0, 0.0]).repeat(2, 1)[None], threshold=0.6)
    ratings = [torch.tensor([0.2]), torch.tensor([0.6])]
    seen = [
        Detections(own, torch.tensor([0.65]), label, left, rating)
        for own, rating in zip(boxes, ratings)
    ]
    found = average_detections(seen, infos)
    assert found.boxes.tolist() == [[10.0, 12.0, 30.0, 32.0]]
    assert found.scores.tolist() == pytest.approx([0.65])
    assert found.mask_scores is not None
    assert found.mask_scores.tolist() == pytest.approx([0.4])
    # A half everywhere, which is below the threshold.
    assert isinstance(found.masks, BitmapMasks)
    assert found.masks.bitmaps.sum() == 0
    single = average_detections(seen[:1], infos[:1])
    assert isinstance(single.masks, BitmapMasks)
    columns = single.masks.bitmaps[0].sum(0)
    assert columns[14:20].min() > 0
    assert columns[26:].sum() == 0
    boxes_only = [replace(one, masks=None, mask_scores=None) for one in seen]
    without = average_detections(boxes_only, infos)
    assert (without.masks, without.mask_scores) == (None, None)


def test_duplicates_of_several_views_go() -> None:
    first = detections([[0.0, 0, 10, 10], [20, 20, 30, 30]], [0.9, 0.5])
    second = detections([[0.0, 0, 10, 9]], [0.95])
    merged = merge_detections([first, second])
    assert merged.scores.tolist() == pytest.approx([0.95, 0.5])
    other = replace(second, labels=torch.ones(1).long())
    # No more than one view found, and other classes are no duplicates.
    assert merge_detections([first, other]).scores.tolist() == pytest.approx([0.95, 0.9])
    # Proposals may overlap more.
    near = detections([[0.0, 0, 10, 6]], [0.95])
    assert len(merge_proposals([first, near])) == 2
    assert merge_proposals([first, near]).scores.tolist() == pytest.approx([0.95, 0.9])
    nothing = Detections.empty()
    assert len(merge_detections([nothing, nothing])) == 0
    masks = BitmapMasks(torch.ones(2, 4, 4, dtype=torch.uint8))
    masked = [replace(first, masks=masks), replace(second, masks=masks[:1])]
    assert len(merge_detections(masked).masks) == 2  # type: ignore[arg-type]


class Fixed(RoIHead):
    """A new head, which knows nothing of views: it gives the regions back."""

    def class_parameters(self) -> dict:  # type: ignore[type-arg]
        return {}

    def loss(self, *_: object) -> Losses:
        return Losses()

    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        return list(proposals)


def test_a_new_roi_head_needs_nothing() -> None:
    regions = [detections([[10.0, 10.0, 30.0, 30.0], [0.0, 0.0, 60.0, 40.0]], [0.9, 0.8])]
    views = [([], [info()]), ([], [info("horizontal", 2.0)])]
    (found,) = Fixed().predict_augmented(views, regions)
    assert torch.allclose(found.boxes, regions[0].boxes)
