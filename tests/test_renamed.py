"""Configurations that were saved with earlier names."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from detzoo import renamed
from detzoo.assigners.center_region import CenterRegionAssigner
from detzoo.assigners.hungarian import FocalCost, HungarianAssigner
from detzoo.assigners.sim_ota import SimOTAAssigner
from detzoo.checkpoints.catalog import config_classes, own_modules
from detzoo.checkpoints.checkpoint import Checkpoint, read, save
from detzoo.config import ConfigError, from_dict, override
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.data.transforms import CenterPad, Mosaic, RandomCenterCropPad
from detzoo.data.tta import TTA
from detzoo.layers.convolution import DeformConvConfig, WeightStandardizedConvConfig
from detzoo.layers.norm import BatchNormConfig, GroupNormConfig
from detzoo.layers.switchable import AdaptiveConvConfig, SwitchableAtrousConvConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import AdamConfig, AdamWConfig, ParameterRule


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """FPN as if it had been called otherwise, in every respect."""
    monkeypatch.setitem(renamed.CLASSES, "OldPyramid", "FPNConfig")
    monkeypatch.setitem(renamed.FIELDS, ("FPNConfig", "levels"), "num_outputs")
    monkeypatch.setitem(renamed.VALUES, ("FPNConfig", "initialization", "glorot"), "xavier")


def test_a_file_of_the_first_names() -> None:
    """``saved/first_names.json`` was written before anything was renamed."""
    saved = json.loads((Path(__file__).parent / "saved" / "first_names.json").read_text())
    parts = {name: from_dict(part, config_classes()) for name, part in saved.items()}
    experiment = parts["experiment"]
    data = experiment.data
    assert data.tta == TTA(scales=((64, 48),), flips=("horizontal",))
    assert data.batch_resize == RandomBatchResize(multiples=(2, 4), divisor=16, every=5)
    assert data.train_transforms[0] == Mosaic(size=(64, 64), center_range=(0.75, 1.25))
    assert data.train_transforms[1] == RandomCenterCropPad(size=(64, 64), border=8)
    assert data.test_transforms[1] == CenterPad(bits=7)
    assert experiment.model.bbox_head.assigner.ignored_iof == 0.25
    assert experiment.model.backbone.norm == BatchNormConfig(eps=0.001)
    assert experiment.model.neck.norm == GroupNormConfig(groups=4)
    assert experiment.model.neck.convolution == WeightStandardizedConvConfig()
    assert experiment.ema == EMAConfig(momentum=0.001)
    assert parts["sim_ota"] == SimOTAAssigner(center_radius=1.5)
    assert parts["hungarian"] == HungarianAssigner(class_cost=FocalCost(), box_form="center_size")
    assert parts["center_region"] == CenterRegionAssigner(min_iof=0.125)
    assert parts["deformable"] == DeformConvConfig(modulated=True)
    assert parts["adamw"] == AdamWConfig(lr=0.5, rules=(ParameterRule(name="neck"),))
    assert parts["adam"] == AdamConfig(lr=0.25)
    assert parts["switchable"] == SwitchableAtrousConvConfig()
    assert parts["adaptive"] == AdaptiveConvConfig()


def test_every_name_in_it_is_read_from_a_checkpoint_too(tmp_path: Path) -> None:
    saved = json.loads((Path(__file__).parent / "saved" / "first_names.json").read_text())
    experiment = from_dict(saved["experiment"], config_classes())
    save(tmp_path / "x.pt", Checkpoint(experiment, {}))
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    torch.save({**content, "experiment": saved["experiment"]}, tmp_path / "x.pt")
    assert read(tmp_path / "x.pt").experiment == experiment


@pytest.mark.usefixtures("tables")
def test_old_names_are_read() -> None:
    data = {"type": "OldPyramid", "levels": 4, "initialization": "glorot"}
    assert from_dict(data, config_classes()) == FPNConfig(num_outputs=4, initialization="xavier")


@pytest.mark.usefixtures("tables")
def test_a_path_with_an_old_name_is_told_the_new_one() -> None:
    with pytest.raises(ConfigError) as caught:
        override(FPNConfig(), "levels", "4", config_classes())
    assert str(caught.value) == (
        "FPNConfig: the field 'levels' of FPNConfig has been renamed to 'num_outputs'"
    )


@pytest.mark.usefixtures("tables")
def test_old_and_new_name_at_once() -> None:
    for names in (("levels", "num_outputs"), ("num_outputs", "levels")):
        with pytest.raises(ConfigError, match="num_outputs: given twice, once by its old name"):
            from_dict({"type": "FPNConfig", **dict.fromkeys(names, 4)}, config_classes())


# ------------------------------------------------------------------------------------- the tables


def field_types(name: str) -> dict[str, Any]:
    cls: Any = getattr(__import__(own_modules()[name], fromlist=[name]), name)
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def test_tables_lead_to_what_there_is() -> None:
    """From names that nothing has any more."""
    for old, new in renamed.CLASSES.items():
        assert old not in own_modules()
        assert new in own_modules(), old
    for (cls, old), new in renamed.FIELDS.items():
        assert old not in field_types(cls)
        assert new in field_types(cls), (cls, old)
    for (cls, field, old), new in renamed.VALUES.items():
        choices = typing.get_args(field_types(cls)[field])
        assert typing.get_origin(field_types(cls)[field]) is Literal
        assert old not in choices
        assert new in choices, (cls, field, old)
