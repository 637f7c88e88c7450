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
from detzoo.data.transforms import Flip, Pad, Resize
from detzoo.data.tta import TTA
from detzoo.detectors.base import Detector
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.two_stage import TwoStage
from detzoo.heads.base import RoIHead, RoIHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.cascade import CascadeRoIHeadConfig, CascadeStage
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.htc import HTCRoIHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.heads.roi.views import predict_averaged
from detzoo.necks.fpn import FPNConfig
from detzoo.postprocess.select import Select
from detzoo.postprocess.tta import merge_detections, merge_proposals
from detzoo.structures import (
    BitmapMasks,
    Candidates,
    Detections,
    ImageBatch,
    ImageInfo,
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
            stages=STAGES, mask_extractor=RoIExtractor(output_size=14), mask_head=MASKS
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
    "proposals": lambda: rpn().build(),
}


def test_the_same_view_twice_changes_nothing_in_a_dense_head() -> None:
    torch.manual_seed(0)
    model = retinanet().eval()
    (images,) = view_batches(model, TTA(), two_samples())
    with torch.inference_mode():
        once = model.detect(model.extract_features(images.pixels), images)
        twice = model.detect_views([images, images])
    for alone, merged, info in zip(once, twice, images.infos):
        original = alone.to_original(info)
        assert len(merged) > 0
        assert torch.allclose(merged.boxes, original.boxes, atol=1e-4)
        assert torch.allclose(merged.scores, original.scores)


@pytest.mark.parametrize("kind", ["two-stage", "cascade", "htc"])
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
        twice = model.roi_head.predict_views([view, view], originals)
        once = model.roi_head.predict(features, proposals, images.infos)
    for alone, merged, info in zip(once, twice, images.infos):
        original = alone.to_original(info)
        assert len(merged) > 0
        assert torch.allclose(merged.boxes, original.boxes, atol=1e-3)
        assert torch.allclose(merged.scores, original.scores, atol=1e-5)
        assert merged.labels.equal(original.labels)
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
        found = model.detect_views(views)
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
    """A head that finds each region itself, moved, with a mask that is brighter at its left."""
    regions = [detections([[10.0, 10.0, 30.0, 30.0]], [1.0])]
    views = [([torch.tensor(2.0)], [info()]), ([torch.tensor(4.0)], [info("horizontal", 2.0)])]

    def decode(
        features: Sequence[Tensor], own: Sequence[Detections], infos: Sequence[ImageInfo]
    ) -> list[Candidates]:
        shift = features[0]
        scores = torch.tensor([0.9, 0.1]) / shift
        boxes = own[0].boxes + shift
        labels = torch.arange(2)
        return [Candidates(boxes.repeat(2, 1), scores, labels, labels)]

    def add_masks(features: Sequence[Tensor], own: Sequence[Detections]) -> list[Detections]:
        left = torch.tensor([1.0, 0.0]).repeat(2, 1)[None]
        return [replace(own[0], masks=RoIMasks(left.repeat(len(own[0]), 1, 1), threshold=0.6))]

    select = Select(min_score=0.1)
    (found,) = predict_averaged(views, regions, decode, select, add_masks)
    # The first view: moved by 2. The second one: mirrored and doubled, moved by 4, so -2 in x and
    # +2 in y of the original.
    assert found.boxes.tolist() == [[10.0, 12.0, 30.0, 32.0]]
    assert found.scores.tolist() == pytest.approx([(0.9 / 2 + 0.9 / 4) / 2])
    assert found.labels.tolist() == [0]  # the mean of the other is below the least score
    # Left in one view and right in the other: a half everywhere, which is below the threshold.
    assert isinstance(found.masks, BitmapMasks)
    assert found.masks.bitmaps.sum() == 0
    (single,) = predict_averaged(views[:1], regions, decode, select, add_masks)
    assert isinstance(single.masks, BitmapMasks)
    columns = single.masks.bitmaps[0].sum(0)
    assert columns[14:20].min() > 0
    assert columns[26:].sum() == 0
    (boxes_only,) = predict_averaged(views, regions, decode, select, None)
    assert boxes_only.masks is None


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

    def loss(self, *_: object) -> dict[str, Tensor]:
        return {}

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
    (found,) = Fixed().predict_views(views, regions)
    assert torch.allclose(found.boxes, regions[0].boxes)
