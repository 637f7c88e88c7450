"""The Chinese pages have the commands of the English ones."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from detzoo.cli.main import app
from tests.docs.blocks import SHELL, read_blocks

ROOT = Path(__file__).parents[2]
PAIRS = {page: ROOT / "docs" / page.name for page in sorted((ROOT / "docs/zh").glob("*.md"))}
PAIRS = {page: english for page, english in PAIRS.items() if english.is_file()}


def commands(page: Path) -> set[str]:
    blocks = [block for block in read_blocks(page) if block.language in SHELL]
    return {" ".join(command.split()) for block in blocks for command in block.commands()}


def parts(command: str) -> str:
    """A command without its arguments."""
    names = [word for word in shlex.split(command) if not word.startswith("-")]
    groups = {group.name for group in app.registered_groups}
    return " ".join(names[: 3 if len(names) > 1 and names[1] in groups else 2])


@pytest.mark.parametrize("page", PAIRS, ids=lambda page: page.name)
def test_pages_have_the_same_commands(page: Path) -> None:
    missing = commands(PAIRS[page]) - commands(page)
    assert not missing, f"add to docs/zh/{page.name}: {missing}"


def test_what_is_compared() -> None:
    assert parts("detzoo data check my_data -o checked") == "detzoo data check"
    assert parts("detzoo train NAME --data my_data") == "detzoo train"
    assert ROOT / "docs/zh/train.md" in PAIRS


def test_the_readme_has_the_same_kinds_of_commands() -> None:
    english, chinese = (
        {parts(command) for command in commands(ROOT / name)}
        for name in ("README.md", "README.zh-CN.md")
    )
    assert not english - chinese
