"""Settings are documented: ``detzoo config NAME --explain`` prints what their classes say."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re

import pytest

from detzoo.checkpoints.catalog import own_modules

PACKAGES = (
    "backbones",
    "necks",
    "heads.dense",
    "heads.heatmap",
    "heads.mask_grid",
    "heads.query",
    "detectors",
)


def config_classes(package: str) -> list[type]:
    prefix = f"detzoo.{package}."
    found = [(name, module) for name, module in own_modules().items() if module.startswith(prefix)]
    return [getattr(importlib.import_module(module), name) for name, module in found]


def documented(cls: type) -> list[str]:
    """The names under ``Args:`` in the class's own docstring."""
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("\nArgs:\n")
    return re.findall(r"^ {4}(\w+): [A-Z`'\"].*", section, re.MULTILINE)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_field_is_documented_where_it_is_declared(package: str) -> None:
    classes = config_classes(package)
    assert classes
    for cls in classes:
        parents = [parent for parent in cls.__mro__[1:] if dataclasses.is_dataclass(parent)]
        inherited = {field.name for parent in parents for field in dataclasses.fields(parent)}
        own = [field.name for field in dataclasses.fields(cls) if field.name not in inherited]
        assert documented(cls) == own, cls.__name__
