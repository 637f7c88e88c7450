"""No setting of a V2 configuration is lost: a change changes the experiment, or it fails."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from detzoo import zoo
from detzoo.errors import ConfigError
from detzoo.mmdet import read_config
from detzoo.mmdet.adapters.recipe import HOOKS_WITHOUT_EFFECT
from detzoo.mmdet.convert import SECTIONS, import_config
from detzoo.mmdet.node import WITHOUT_EFFECT, Reading
from tests.meta import on_meta
from tests.mmdet.published import published_configs
from tests.mmdet.test_equality import CONTRADICTORY, OWN_FAMILIES

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all plain values; an empty container counts as one."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, (list, tuple)):
        items = list(enumerate(value))
    if not items:
        yield path
    for key, item in items:
        yield from leaves(item, (*path, key))


def changed(value: Any, path: Path) -> Any:
    """A copy of ``value`` with another plain value at ``path``."""
    if path:
        value = list(value) if isinstance(value, tuple) else copy.copy(value)
        value[path[0]] = changed(value[path[0]], path[1:])
        return value
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 2  # not 1: for V2, -1 and 0 often both mean "off"
    if isinstance(value, str):
        return f"{value}x"
    return 1 if value is None else [1]


def settings(config: dict[str, Any]) -> list[Path]:
    """The leaves that mean something: not the author's own variables, not what has no effect."""
    sections = {key: config[key] for key in SECTIONS if key in config}
    hooks = config.get("custom_hooks", ())
    without_effect = {
        ("custom_hooks", i) for i, hook in enumerate(hooks) if hook["type"] in HOOKS_WITHOUT_EFFECT
    }
    return [
        path
        for path in leaves(sections)
        if not WITHOUT_EFFECT.keys() & set(path) and path[:2] not in without_effect
    ]


# Group norms have no running statistics that could be fixed; a head without convolutions has no
# norms; branches that are fixed are not searched; what Panoptic FPN fuses is chosen by settings of
# its own; MaskFormer's files have no instances, and Mask2Former's workflow is left aside.
WITHOUT_USE = {
    "maskformer": ["model.test_cfg.max_per_image"],
    "mask2former": ["workflow.0.0", "workflow.0.1"],
    **{name: ["model.backbone.norm_eval"] for name in ("gn", "gn+ws", "scratch")},
    "panoptic_fpn": [
        f"model.test_cfg.rcnn.{key}"
        for key in ("score_thr", "nms.type", "nms.iou_threshold", "max_per_img", "mask_thr_binary")
    ],
    "rfnext": [
        "custom_hooks.0.verbose",
        *(f"custom_hooks.0.config.search.{key}" for key in ("step", "max_step", "normlize")),
    ],
    "fpg": [f"model.roi_head.bbox_head.norm_cfg.{key}" for key in ("type", "requires_grad")],
}

ONE_PER_FAMILY = [
    pytest.param(f"{family.folder}/{entry.name}.py", id=family.folder)
    for family in zoo.families()
    if family.folder not in OWN_FAMILIES
    for entry in [e for e in family.entries if e.name not in CONTRADICTORY][:1]
]


def said(config: dict[str, Any], file: str) -> tuple[Any, ...]:
    """The experiment that a configuration describes, and what is reported beside it."""
    found = import_config(config, Reading(file))
    return found.to_train(), found.reading.aside, found.reading.replaced


@pytest.mark.parametrize("file", ONE_PER_FAMILY)
def test_every_setting_counts(file: str) -> None:
    config = read_config(published_configs() / file)
    before = said(config, file)
    lost = []
    for path in settings(config):
        try:
            with on_meta():  # many settings are those of a backbone, which is built
                after = said(changed(config, path), file)
            if after == before:
                lost.append(".".join(map(str, path)))
        except ConfigError:
            pass
    assert lost == WITHOUT_USE.get(file.split("/")[0], [])
