"""Classes of things and stuff in V2's panoptic configurations."""

from __future__ import annotations

from typing import Any

import pytest

from detzoo.errors import ConfigError
from detzoo.mmdet import read_config
from detzoo.mmdet.checkpoint import _class_names
from detzoo.mmdet.convert import import_config
from detzoo.mmdet.node import Reading
from detzoo.zoo.classes import COCO, COCO_STUFF
from tests.mmdet.published import published_configs


@pytest.fixture
def config() -> dict[str, Any]:
    return read_config(published_configs() / "panoptic_fpn" / "panoptic_fpn_r50_fpn_1x_coco.py")


def with_classes(config: dict[str, Any], things: int, stuff: int, **data: object) -> dict[str, Any]:
    """The configuration for other numbers of classes, whose data sets say ``data``."""
    model = config["model"]
    for head in (model["roi_head"]["bbox_head"], model["roi_head"]["mask_head"]):
        head["num_classes"] = things
    for head in (model["semantic_head"], model["panoptic_fusion_head"]):
        head.update(num_things_classes=things, num_stuff_classes=stuff)
    for part in ("train", "val", "test"):
        config["data"][part].update(data)
    return config


def test_the_names_of_a_checkpoint(config: dict[str, Any]) -> None:
    """They are 133; V2 writes one of them with a space."""
    names = _class_names(
        [f" {name}" if name == "truck" else name for name in COCO + COCO_STUFF], ""
    )
    imported = import_config(config, Reading("x.py"))
    assert imported.experiment.class_names == COCO
    assert imported.experiment.stuff_names == COCO_STUFF
    assert names is not None
    experiment = imported.experiment.with_all_names(imported.row_names(names))
    assert experiment.class_names == COCO
    assert experiment.stuff_names == COCO_STUFF


def test_own_classes(config: dict[str, Any]) -> None:
    names = ("cat", "dog", "sky", "sea", "sand")
    imported = import_config(with_classes(config, 2, 3, classes=names), Reading("x.py"))
    experiment = imported.to_train()
    assert experiment.class_names == ("cat", "dog")
    assert experiment.stuff_names == ("sky", "sea", "sand")


def test_classes_without_names(config: dict[str, Any]) -> None:
    experiment = import_config(with_classes(config, 2, 3), Reading("x.py")).experiment
    assert len(experiment.class_names) == 2
    assert len(experiment.stuff_names) == 3


@pytest.mark.parametrize("key", ["num_things_classes", "num_stuff_classes"])
def test_numbers_that_contradict(config: dict[str, Any], key: str) -> None:
    config["model"]["semantic_head"][key] += 1
    with pytest.raises(ConfigError, match=f"semantic_head.{key}"):
        import_config(config, Reading("x.py")).to_train()


def test_without_the_settings_of_fusing(config: dict[str, Any]) -> None:
    del config["model"]["test_cfg"]["panoptic"]
    with pytest.raises(ConfigError, match="how are things and stuff fused"):
        import_config(config, Reading("x.py"))
