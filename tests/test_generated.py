"""Generated pages are as what they are made of is now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from benchmarks import page

ROOT = Path(__file__).parents[1]


def test_page_of_the_zoo() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    written = (ROOT / "docs" / "zoo.md").read_text()
    assert written == generate.page(), "run `python docs/generate.py`"


def test_page_of_benchmarks() -> None:
    written = (ROOT / "docs" / "benchmarks.md").read_text()
    assert written == page.page(), "run `python -m benchmarks.page`"
