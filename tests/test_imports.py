"""The direction of imports that docs/architecture.md prescribes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import detzoo

PACKAGE = Path(detzoo.__file__).parent

# Each may import from its own layer and from those above it in this list.
LAYERS = (
    ("errors", "files", "values", "renamed", "ranges", "config", "zoo_list"),
    ("ops", "devices", "weights", "report"),
    ("structures",),
    ("layers", "priors", "coders", "assigners", "samplers", "losses", "postprocess"),
    ("backbones", "necks", "heads"),
    ("detectors",),
    ("data", "optim"),
    ("experiment",),
    ("evaluate", "zoo"),
    ("checkpoints", "mmdet"),
    ("inference",),
    ("export",),
    ("train",),
    ("benchmark", "logs", "checks", "browse", "analyze"),
    ("run_report",),
    ("quickstart", "ui"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name without "detzoo."."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            found[name] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """What ``path`` imports of detzoo when it is loaded or run, without "detzoo."."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name[len("detzoo.") :] for name in names if name.startswith("detzoo."))


def test_every_part_has_a_layer() -> None:
    parts = {name.split(".")[0] for name in modules()}
    assert parts - {"__main__"} <= set(LEVEL), parts - set(LEVEL)


def test_imports_go_one_way() -> None:
    wrong = []
    for name, path in modules().items():
        own = LEVEL.get(name.split(".")[0], len(LAYERS))
        for other in imported(path):
            part = other.split(".")[0]
            if part in LEVEL and LEVEL[part] > own:
                wrong.append(f"{name} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_modules_of_one_part_import_each_other_one_way() -> None:
    """Names for type checkers do not count: callbacks name the trainer that calls them."""
    everything = modules()
    graph = {
        name: {
            other
            for found in imported(path)
            # ``found`` is a module, or something in it.
            if (other := found if found in everything else found.rpartition(".")[0]) != name
            and other.split(".")[0] == name.split(".")[0]
        }
        for name, path in everything.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_document_says_the_same() -> None:
    document = PACKAGE.parent / "docs" / "architecture.md"
    text = document.read_text()
    start = text.index("Imports go one way: `") + len("Imports go one way: `")
    chain = text[start : text.index("`", start)]
    written = [set(re.findall(r"\w+", step)) for step in chain.split("->")]
    levels = [{LEVEL[name] for name in step} for step in written]
    flat = [level for step in levels for level in sorted(step)]
    assert flat == sorted(flat), chain


def test_public_names() -> None:
    for name in detzoo.__all__:
        assert getattr(detzoo, name) is not None
        assert name in dir(detzoo)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        detzoo.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["detzoo", "detzoo.cli.main"])
def test_importing_is_cheap(module: str) -> None:
    """Neither ``import detzoo`` nor ``detzoo --help`` waits for torch."""
    code = (
        f"import sys, {module}; print([m for m in ('torch', 'cv2', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
