"""What the documentation says of other programs and of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from detzoo import zoo
from detzoo.cli.main import app
from detzoo.config import find

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".venv" / "mmdet" / "mmdet" / ".mim" / "tools"
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
# Made while the site is built (docs/generators), where MkDocs checks links to them.
MADE = ("configuration/", "zoo/", "../configuration/", "../zoo/")


def test_every_tool_of_mmdetection_has_a_row() -> None:
    if not TOOLS.is_dir():
        pytest.skip("MMDetection's wheel is not here")
    page = (ROOT / "docs" / "coming_from_mmdetection.md").read_text()
    listed = set(re.findall(r"^\| `([\w/]+\.(?:py|sh))` \|", page, re.MULTILINE))
    there = {str(path.relative_to(TOOLS)) for path in TOOLS.rglob("*") if path.is_file()}
    assert listed == there


def test_fields_of_configurations_exist() -> None:
    """What the page calls by its new name is there, in the model that its old names are of."""
    page = (ROOT / "docs" / "coming_from_mmdetection.md").read_text()
    section = page.partition("## Configuration fields")[2].partition("\n## ")[0]
    recipe = zoo.find("faster_rcnn_r50_fpn_1x_coco").experiment
    checked = 0
    for row in re.findall(r"^\| .+ \| (.+) \|$", section, re.MULTILINE)[1:]:
        parent = ""
        for name in re.findall(r"`(?!--)([\w.]+)`", row):
            if "." not in name and not hasattr(recipe, name):  # beside the one before
                name = f"{parent}.{name}"
            if not name.endswith(".pt"):
                find(recipe, name)
                parent = name.rpartition(".")[0]
                checked += 1
    assert checked > 40


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command as it is typed, and its options."""

    def walk(name: str, command: object) -> Iterator[tuple[str, set[str]]]:
        options = {
            text
            for parameter in getattr(command, "params", ())
            for text in (*parameter.opts, *parameter.secondary_opts)
        }
        yield name, options | {"--help"}
        for inner, part in getattr(command, "commands", {}).items():
            yield from walk(f"{name} {inner}", part)

    yield from walk("detzoo", typer.main.get_command(app))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    """Each ``detzoo COMMAND --option`` of a page is one that there is."""
    known = dict(commands())
    known["detzoo sweep"] |= known["detzoo train"]  # it passes them on
    for line in re.findall(r"\bdetzoo ((?:[a-z-]+ ?)+[^`\n#]*)", page.read_text()):
        words = line.split()
        name = f"detzoo {words[0]}"
        if name not in known:
            continue  # prose
        if len(words) > 1 and f"{name} {words[1]}" in known:
            name = f"{name} {words[1]}"
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", line):
            assert option in known[name], f"{page.name}: {name} has no {option}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://", "hf://", *MADE)):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
