"""Detectors that learn from a teacher."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.checkpoint import Checkpoint
from detzoo.detectors.distilled import Distilled, DistilledConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.errors import ConfigError
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.base import DistilledHeadConfig
from detzoo.heads.dense.gfl import GFLHeadConfig
from detzoo.heads.dense.lad import LADHeadConfig
from detzoo.heads.dense.ld import LDHeadConfig
from detzoo.heads.dense.paa import PAAHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.structures import ImageBatch, ImageInfo, Targets
from detzoo.train.teacher import give_teacher
from tests.tiny import BACKBONE

NAMES = ("cat", "dog")
NECK = FPNConfig(out_channels=8, start_level=1, extra_levels="on_output")
SMALL = {"num_convs": 1, "channels": 8, "norm": GroupNormConfig(groups=4)}


def student(head: DistilledHeadConfig, teacher: object, weights: str | None) -> Distilled:
    config = DistilledConfig(
        backbone=BACKBONE,
        neck=NECK,
        bbox_head=head,
        teacher=SingleStageConfig(backbone=BACKBONE, neck=NECK, bbox_head=teacher),
        teacher_weights=weights,
    )
    torch.manual_seed(0)
    return config.build(len(NAMES)).train()


def ld(weights: str | None = None) -> Distilled:
    return student(LDHeadConfig(**SMALL), GFLHeadConfig(**SMALL), weights)


def lad(weights: str | None = None) -> Distilled:
    return student(LADHeadConfig(**SMALL), PAAHeadConfig(**SMALL), weights)


def batch() -> tuple[ImageBatch, list[Targets]]:
    infos = tuple(ImageInfo.of((64, 96)) for _ in range(2))
    pixels = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[10.0, 8, 50, 48], [30, 20, 90, 60]])
    targets = [Targets.of(boxes, torch.tensor([0, 1])), Targets.of(boxes[:1], torch.tensor([1]))]
    return ImageBatch(pixels, infos), targets


def test_without_a_teacher_it_detects_and_does_not_train() -> None:
    model = ld()
    images, targets = batch()
    with torch.no_grad():
        assert len(model.eval()(images)) == 2
    with pytest.raises(ConfigError, match="has none"):
        model.train()(images, targets)


def test_the_teacher_is_no_part_of_the_student() -> None:
    model = ld()
    names = set(model.state_dict())
    give_teacher(model, NAMES)
    teacher = model.teacher
    assert teacher is not None
    assert set(model.state_dict()) == names
    assert not set(teacher.parameters()) & set(model.parameters())
    model.train().double()
    assert not teacher.training
    assert teacher.backbone.conv1.weight.dtype == torch.float64
    images, targets = batch()
    model.float()(images, targets).total().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert copy.deepcopy(model).teacher is None


def test_localization_is_learned_from_the_teacher() -> None:
    """A student that is its teacher has nothing to learn; the other losses are GFL's."""
    model = ld()
    images, targets = batch()
    plain = GFLHeadConfig(**SMALL).build(model.feature_channels, model.feature_strides, len(NAMES))
    plain.load_state_dict(model.bbox_head.state_dict())
    with torch.no_grad():
        model.bbox_head.gfl_cls.bias.zero_()  # so that positives count
        plain.gfl_cls.bias.zero_()
    give_teacher(model, NAMES)
    losses = model(images, targets)
    features = model.extract_features(images.pixels)
    own = plain.loss(plain(features), targets, images.infos)
    for name, value in own.items():
        torch.testing.assert_close(losses[name], value, msg=name)
    assert losses["loss_ld"] > 0
    assert model.teacher is not None
    model.teacher.load_state_dict(model.state_dict())
    model.teacher.train()  # the same statistics
    torch.testing.assert_close(model(images, targets)["loss_ld"], torch.tensor(0.0))


def test_the_teacher_assigns() -> None:
    """Its costs decide; the student's boxes count alike."""
    model = lad()
    give_teacher(model, NAMES)
    images, targets = batch()
    assert model.teacher is not None
    taught = model.teacher.bbox_head(model.teacher.extract_features(images.pixels))
    assigned = model.teacher.bbox_head.assign(taught, targets, images.infos)
    assert assigned.box_weights.sum() > 0
    predictions = model.bbox_head(model.extract_features(images.pixels))
    config = model.bbox_head.config
    boxes = config.coder.decode(predictions.priors.boxes, predictions.box_deltas)
    positive = assigned.box_weights.bool()
    wanted = config.box_loss(boxes[positive], assigned.boxes[positive]) / positive.sum()
    torch.testing.assert_close(model(images, targets)["loss_bbox"], wanted)


def saved(path: Path, head: object, names: tuple[str, ...]) -> str:
    model = SingleStageConfig(backbone=BACKBONE, neck=NECK, bbox_head=head)
    data = DataConfig(train_transforms=(), test_transforms=())
    experiment = Experiment(model=model, class_names=names, data=data)
    torch.manual_seed(3)
    checkpoint.save(path, Checkpoint(experiment, experiment.build_model().state_dict()))
    return str(path)


def test_trained_teachers(tmp_path: Path) -> None:
    """One that rates classes has them in the order of the data; another may know others."""
    turned = lad(saved(tmp_path / "paa.pt", PAAHeadConfig(**SMALL), NAMES[::-1]))
    give_teacher(turned, NAMES)
    assert turned.teacher is not None
    given = checkpoint.read_weights(tmp_path / "paa.pt").tensors
    rows = turned.teacher.bbox_head.atss_cls.weight
    torch.testing.assert_close(rows, given["bbox_head.atss_cls.weight"].flip(0))

    other = lad(saved(tmp_path / "other.pt", PAAHeadConfig(**SMALL), ("bird",)))
    with pytest.raises(ConfigError, match=r"other.pt knows 1 classes .* the 2 of the data"):
        give_teacher(other, NAMES)

    boxes = ld(saved(tmp_path / "gfl.pt", GFLHeadConfig(**SMALL), ("bird",)))
    give_teacher(boxes, NAMES)
    assert boxes.teacher is not None
    assert boxes.teacher.bbox_head.num_classes == 1
    images, targets = batch()
    boxes(images, targets).total().backward()
