"""Configurations that were saved with earlier names."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Literal

import pytest

from detzoo import renamed
from detzoo.checkpoints.catalog import config_classes, own_modules
from detzoo.config import ConfigError, from_dict, override
from detzoo.necks.fpn import FPNConfig


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """FPN as if it had been called otherwise, in every respect."""
    monkeypatch.setitem(renamed.CLASSES, "OldPyramid", "FPNConfig")
    monkeypatch.setitem(renamed.FIELDS, ("FPNConfig", "levels"), "num_outputs")
    monkeypatch.setitem(renamed.VALUES, ("FPNConfig", "initialization", "glorot"), "xavier")


@pytest.mark.usefixtures("tables")
def test_old_names_are_read() -> None:
    data = {"type": "OldPyramid", "levels": 4, "initialization": "glorot"}
    assert from_dict(data, config_classes()) == FPNConfig(num_outputs=4, initialization="xavier")


@pytest.mark.usefixtures("tables")
def test_a_path_with_an_old_name_is_told_the_new_one() -> None:
    with pytest.raises(ConfigError) as caught:
        override(FPNConfig(), "levels", "4", config_classes())
    assert str(caught.value) == (
        "FPNConfig: the field 'levels' of FPNConfig is called 'num_outputs' now"
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
