"""Generated pages are as what they are made of is now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

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


def test_page_of_the_zoo_in_chinese() -> None:
    written = (ROOT / "docs" / "zh" / "zoo.md").read_text()
    assert written == generate().page_zh(), "docs/zh/zoo.md is stale: run `python docs/generate.py`"


def test_both_pages_of_the_zoo_have_the_same_rows() -> None:
    """Names, figures and files in the same order, under the same headings."""
    english, chinese = (
        [line for line in (ROOT / "docs" / name).read_text().splitlines() if is_common(line)]
        for name in ("zoo.md", "zh/zoo.md")
    )
    assert len(english) > len(zoo.entries())
    assert english == chinese


def is_common(line: str) -> bool:
    return line.startswith(("## ", "| `"))


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("docs/choose_model.md", "choice_page"),
        ("README.md", "readme"),
        ("README.zh-CN.md", "readme"),
    ],
)
def test_tables_within_pages(name: str, page: str) -> None:
    written = (ROOT / name).read_text()
    updated = getattr(generate(), page)(written)
    assert written == updated, f"{name} is stale: run `python docs/generate.py`"


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
