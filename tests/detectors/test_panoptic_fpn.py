"""Panoptic FPN: losses, detections, test-time augmentation, transfer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from detzoo.checkpoints.transfer import initialize
from detzoo.config import ConfigError
from detzoo.detectors.panoptic_fpn import PanopticFPN, PanopticFPNConfig
from detzoo.errors import CheckpointError
from detzoo.heads.semantic_fpn import SemanticFPNHead, SemanticFPNHeadConfig
from detzoo.layers.fusion import fuse
from detzoo.postprocess.panoptic import HeuristicFusion
from detzoo.structures import UNLABELED, ImageBatch, ImageInfo, Losses, PanopticMap
from detzoo.zoo.panoptic_fpn import panoptic_fpn
from tests.detectors.models import BACKBONE, NECK, narrow, targets

SIZE = (64, 96)
THINGS, STUFF = 3, 4


def config() -> PanopticFPNConfig:
    model = narrow(panoptic_fpn().model)
    assert isinstance(model, PanopticFPNConfig)
    head = replace(model.semantic_head, norm=replace(model.semantic_head.norm, groups=4))  # type: ignore[call-arg]
    roi_head = replace(model.roi_head, select=replace(model.roi_head.select, min_score=0.0))  # type: ignore[call-arg, attr-defined]
    return replace(
        model,
        backbone=BACKBONE,
        neck=NECK,
        roi_head=roi_head,
        semantic_head=head,
        fusion=HeuristicFusion(min_stuff_area=1),
    )


@pytest.fixture
def model() -> PanopticFPN:
    torch.manual_seed(0)
    return config().build(THINGS, STUFF)


def batch(count: int = 2) -> ImageBatch:
    torch.manual_seed(1)
    infos = tuple(ImageInfo.of(SIZE, id=number) for number in range(count))
    return ImageBatch(torch.randn(count, 3, *SIZE), infos)


def test_losses_have_gradients(model: PanopticFPN) -> None:
    images = batch()
    torch.manual_seed(2)
    known = [
        replace(
            targets((5, 8, 40, 50), (30, 10, 80, 60)),
            semantic_map=torch.randint(0, THINGS + STUFF, (16, 24), dtype=torch.uint8),
        )
        for _ in range(2)
    ]
    losses = model.train()(images, known)
    assert isinstance(losses, Losses)
    assert "loss_seg" in losses
    losses["loss_seg"].backward()
    for name, parameter in model.semantic_head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_every_pixel_is_in_one_segment(model: PanopticFPN) -> None:
    images = batch()
    original = replace(images.infos[0], original_size=(40, 60), scale=(1.6, 1.6))
    with torch.inference_mode():
        found = model.eval()(replace(images, infos=(original, images.infos[1])))
    for image, info in zip(found, (original, images.infos[1])):
        panoptic = image.to_original(info).panoptic
        assert isinstance(panoptic, PanopticMap)
        assert panoptic.ids.shape == info.original_size
        assert panoptic.areas.min() > 0
        assert int(panoptic.ids.max()) == len(panoptic)
        assert (panoptic.labels[panoptic.is_thing] < THINGS).all()
        assert (panoptic.labels[~panoptic.is_thing] >= THINGS).all()
        assert (panoptic.labels < THINGS + STUFF).all()
        assert ((panoptic.scores >= 0) & (panoptic.scores <= 1)).all()
        assert len(panoptic.labels[~panoptic.is_thing].unique()) == (~panoptic.is_thing).sum()


def test_fused_for_inference(model: PanopticFPN) -> None:
    images = batch(1)
    with torch.inference_mode():
        (one,) = model.eval()(images)
        (other,) = fuse(model)(images)
    info = images.infos[0]
    first, second = one.to_original(info).panoptic, other.to_original(info).panoptic
    assert first.labels.tolist() == second.labels.tolist()
    assert (first.ids == second.ids).float().mean() > 0.99


def test_augmentations_of_the_same_view_change_nothing(model: PanopticFPN) -> None:
    images = batch(1)
    with torch.inference_mode():
        (alone,) = model.eval()(images)
        (merged,) = model.detect_augmented([images, images])
    panoptic = alone.to_original(images.infos[0]).panoptic
    assert torch.equal(panoptic.ids, merged.panoptic.ids)
    assert torch.equal(panoptic.labels, merged.panoptic.labels)


def test_weights_of_classes_with_the_same_name(model: PanopticFPN) -> None:
    torch.manual_seed(5)
    other = config().build(2, 3)
    transfer = initialize(
        other,
        model.state_dict(),
        from_names=("cat", "dog", "cow", "sky", "sea", "sand", "road"),
        to_names=("cow", "hen", "road", "wall", "sky"),
        num_stuff=3,
    )
    assert transfer.copied == ("cow", "road", "sky")
    assert transfer.fresh == ("hen", "wall")
    assert transfer.unused == ("cat", "dog", "sea", "sand")
    old, new = model.semantic_head.conv_logits.weight, other.semantic_head.conv_logits.weight
    assert torch.equal(new[0], old[3])  # road
    assert torch.equal(new[2], old[0])  # sky
    assert torch.equal(new[3], old[4])  # things
    assert not torch.equal(new[1], old[1])
    classes = "roi_head.bbox_head.fc_cls.weight"
    assert torch.equal(other.state_dict()[classes][0], model.state_dict()[classes][2])
    with pytest.raises(CheckpointError, match="classes"):
        initialize(
            other,
            model.state_dict(),
            from_names=("cat", "dog", "sky", "sea", "sand", "road"),
            to_names=("cow", "hen", "road", "wall", "sky"),
            num_stuff=3,
        )


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="roi_head: must predict masks"):
        replace(config(), roi_head=replace(config().roi_head, mask_head=None))  # type: ignore[call-arg]


def test_loss_by_hand() -> None:
    """Things are one class, the last; unlabeled cells count in the mean, but not in the sum."""
    torch.manual_seed(0)
    head = SemanticFPNHeadConfig(loss_weight=0.5).build([8] * 4, num_things=2, num_stuff=3)
    logits = torch.randn(1, 4, 1, 5)
    maps = torch.tensor([[[0, 1, 2, 4, UNLABELED]]], dtype=torch.uint8)
    log = logits.log_softmax(1)[0, :, 0]
    expected = -(log[3, 0] + log[3, 1] + log[0, 2] + log[2, 3]) / 5 * 0.5
    torch.testing.assert_close(head.loss(logits, maps), expected)


def test_levels_of_odd_sizes() -> None:
    """A level need not be half of the finer one: its maps are resized to it."""
    head = SemanticFPNHeadConfig(channels=32).build([8] * 4, 2, 3)
    assert isinstance(head, SemanticFPNHead)
    maps = [torch.randn(1, 8, *size) for size in ((25, 31), (13, 16), (7, 8), (4, 4))]
    assert head(maps).shape == (1, 4, 25, 31)
