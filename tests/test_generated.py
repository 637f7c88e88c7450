"""Generated pages are as what they are made of is now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from benchmarks import page
from detzoo import zoo

ROOT = Path(__file__).parents[1]


def generate() -> ModuleType:
    """The script ``docs/generate.py``."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_page_of_the_zoo() -> None:
    written = (ROOT / "docs" / "zoo.md").read_text()
    assert written == generate().page(), "docs/zoo.md is stale: run `python docs/generate.py`"


def test_list_of_the_zoo() -> None:
    counted = {entry.name: entry.parameters for entry in zoo.entries()}
    written = (ROOT / "detzoo" / "zoo" / "models.json").read_text()
    stale = "detzoo/zoo/models.json is stale: run `python docs/generate.py`"
    assert written == generate().listing(counted), stale


def test_table_of_formats() -> None:
    written = (ROOT / "docs" / "data.md").read_text()
    assert written == generate().data_page(written), (
        "docs/data.md is stale: run `python docs/generate.py`"
    )


def test_page_of_benchmarks() -> None:
    written = (ROOT / "docs" / "benchmarks.md").read_text()
    assert written == page.page(), "run `python -m benchmarks.page`"
