"""The commands and programs of the documentation run, on small data and with narrow models.

Models keep their names; :mod:`tests.docs.workplace` makes them small and says what the files are
that the examples name.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo import zoo
from detzoo.cli.main import run as run_command_line
from detzoo.inference import loading
from tests.docs import workplace
from tests.docs.blocks import SHELL, Block, read_blocks

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
# The others take minutes together.
QUICK = ("README.md", "docs/get_started.md", "docs/python.md")
# Programs that the documentation names, and that are not ours.
FOREIGN = {"cd", "curl", "docker", "git", "hf", "make", "pip", "python", "source", "srun"}
FOREIGN |= {"torchrun", "trtexec", "unzip", "sbatch", "ray"}
PLACEHOLDERS = {
    "NAME": "retinanet_mobilenetv2_fpn",
    "CHECKPOINT": "runs/x-1/best.pt",
    "DIR": "my_data",
}

Detzoo = Callable[..., None]


@pytest.fixture(scope="module")
def detzoo() -> Iterator[Detzoo]:
    """Runs ``detzoo ARGUMENTS`` in the current folder, with narrow models; fails if it does."""
    torch.set_num_threads(1)
    weights: dict[str, Path] = {}

    def published(entry: Any) -> Path:
        if entry.name not in weights:
            weights[entry.name] = workplace.write_weights(entry, Path(os.environ["DOCS_WEIGHTS"]))
        return weights[entry.name]

    def run(*arguments: object, most: int = 0) -> None:
        shown = shlex.join(map(str, arguments))
        if arguments[0] == "train" and "--report" not in arguments:
            arguments = (*arguments, "--no-report")  # a second each
        sys.argv = ["detzoo", *map(str, arguments)]
        code = 0
        try:
            run_command_line()
        except SystemExit as stop:
            code = int(stop.code or 0)
        assert code <= most, f"detzoo {shown}: exit code {code}"

    argv = sys.argv
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "find", workplace.small)
        patch.setattr(loading, "find_published", published)
        patch.setenv("DETZOO_MIRRORS", "")
        patch.setenv("COLUMNS", "200")
        yield run
    sys.argv = argv


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, detzoo: Detzoo) -> Path:
    """The folder of :func:`tests.docs.workplace.prepare`."""
    folder = tmp_path_factory.mktemp("docs")
    os.environ["DOCS_WEIGHTS"] = str(tmp_path_factory.mktemp("weights"))
    here = Path.cwd()
    os.chdir(folder)
    workplace.prepare(folder, detzoo)
    os.chdir(here)
    return folder


def pages() -> list[Any]:
    names = {str(page.relative_to(ROOT)): page for page in PAGES}
    marks = {name: () if name in QUICK else pytest.mark.slow for name in names}
    return [pytest.param(page, id=name, marks=marks[name]) for name, page in names.items()]


@pytest.mark.parametrize("page", pages())
def test_blocks_run(
    page: Path, prepared: Path, detzoo: Detzoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in read_blocks(page) if block.mark != "slow"]
    run_page(page, blocks, prepared, detzoo, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_slow_blocks_run(
    page: Path, prepared: Path, detzoo: Detzoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = read_blocks(page)
    if not any(block.mark == "slow" for block in blocks):
        pytest.skip("no slow block")
    run_page(page, blocks, prepared, detzoo, tmp_path, monkeypatch)


def run_page(
    page: Path,
    blocks: list[Block],
    prepared: Path,
    detzoo: Detzoo,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs the blocks one after the other, in a folder of their own."""
    if not any(block.is_run for block in blocks):
        return
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    names: dict[str, Any] = {"__name__": "page"}
    modules = set(sys.modules)
    for block in blocks:
        where = f"{page.name}:{block.line}"
        started = time.monotonic()
        if block.mark.startswith("file: "):
            path = folder / block.mark.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)
        elif block.is_run and block.language in SHELL:
            for command in block.commands():
                run_command(command, detzoo, where)
        elif block.is_run:
            exec(compile(block.code, where, "exec"), names)
        if os.environ.get("DOCS_TIMES"):
            print(f"{where} {time.monotonic() - started:.1f} s", file=sys.__stderr__)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def run_command(command: str, detzoo: Detzoo, where: str) -> None:
    command, _, target = command.partition(" > ")
    program, *arguments = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    assert program == "detzoo" or program in FOREIGN, f"{where}: unknown program {program}"
    if program == "detzoo":
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed) if target else contextlib.nullcontext():
                # 1: it found faults, as it should
                detzoo(*arguments, most=int(arguments[:2] == ["data", "check"]))
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from None
        if target:
            Path(target.strip()).write_text(printed.getvalue())
