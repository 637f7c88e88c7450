"""The site: its pages, and what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import detzoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import ConfigError
from docs.generators import api, configuration, families

ROOT = Path(__file__).parents[2]
READMES = sorted(ROOT.glob("README*.md"))


def pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_badges_are_true(readme: Path) -> None:
    badges = dict(re.findall(r"badge/(\w+)-([\w.%-]+)-\w+\)", readme.read_text()))
    assert badges == {
        "Python": re.findall(r'requires-python = ">=([\d.]+)"', pyproject())[0] + "%2B",
        "PyTorch": re.findall(r'"torch>=([\d.]+)"', pyproject())[0] + "%2B",
        "license": re.findall(r'license = \{ text = "([^"]+)" \}', pyproject())[0].replace(
            "-", "--"
        ),
    }


def test_every_public_name_has_an_example() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    sections = dict(re.findall(r"^## (\S+)\n\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    sections = {name.replace("\\", ""): text for name, text in sections.items()}
    assert set(sections) == set(detzoo.__all__)
    for name, text in sections.items():
        assert "```python" in text, f"{name} has no example"
        assert name == "__version__" or f"<!-- api: detzoo.{name} -->" in text


def test_documentation_of_a_function_and_of_a_class() -> None:
    text = api.fill("before\n<!-- api: detzoo.load -->\nafter")
    assert text.startswith("before\n```text\nload(\n    source: Path | str,\n")
    assert "device: str | torch.device | None = None" in text
    assert "trust: bool = False,\n) -> Predictor\n```" in text
    methods = api.document("detzoo.Result")
    assert "draw(color_by" in methods
    assert "masks of the" not in methods


def test_configuration_reference_has_every_class() -> None:
    pages = configuration.pages()
    text = "\n".join(pages.values())
    for name in config_classes():
        try:
            config_classes()[name]
        except (KeyError, ConfigError):
            continue
        assert f"\n## {name}\n" in text
    row = next(line for line in text.splitlines() if line.startswith("| `images_per_device` |"))
    assert row == (
        "| `images_per_device` | `int` | `2` "
        "| Batch size per device (per process). Range: at least 1. |"
    )


def test_a_page_per_family() -> None:
    from detzoo import zoo

    pages = families.pages()
    assert len(pages) == len(zoo.families())
    text = pages["zoo/gn-ws.md"]
    assert text.startswith("# Weight standardization\n\nGroup normalization with")
    assert "detzoo train atss_r50_fpn_1x_coco --data my_data" in pages["zoo/atss.md"]
    assert "| `faster_rcnn_r50_fpn_gn_ws-all_1x_coco` | 39.7 |" in text


def test_navigation_has_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"[\w/]+\.md", text.partition("\nnav:")[2]))
    written = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert written <= listed


@pytest.mark.slow
@pytest.mark.ci
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    """With all links checked; MkDocs' strict mode fails on a warning."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    quiet = {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "zh" / "zoo.html").is_file()
    assert (tmp_path / "zoo" / "yolox.html").is_file()
    assert (tmp_path / "examples" / "service.py").is_file()


def test_each_family_is_described_in_both_languages() -> None:
    from detzoo import zoo

    ideas = yaml.safe_load((ROOT / "docs" / "families.yaml").read_text(encoding="utf-8"))
    for family in zoo.families():
        assert set(ideas[family.folder]) == {"en", "zh"}, family.folder
