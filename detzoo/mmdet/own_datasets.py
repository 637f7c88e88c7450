"""Class names of a user's own data set, read from its source without running it.

Many users subclass one of V2's data sets only to set ``CLASSES`` (and ``PALETTE``).
"""

from __future__ import annotations

import ast
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Folders up from a configuration in which the sources are looked for, and how many files.
_FOLDERS_UP = 5
_MOST_FILES = 300
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class OwnDataset:
    """A class of the user's: the data set of V2 that it is made of, its names, its file.

    ``has_code`` says that it does more than naming classes.
    """

    base: str
    class_names: tuple[str, ...] | None
    file: Path
    has_code: bool


def find_dataset(
    name: str, config: Path, modules: Sequence[str], bases: Sequence[str]
) -> OwnDataset | None:
    """The class ``name`` in the configuration's file, in ``modules`` that it imports, or beside it.

    None where it is in none of these, or made of none of the ``bases``.
    """
    classes: dict[str, tuple[ast.ClassDef, Path]] = {}
    for file in itertools.islice(_files(config, modules), _MOST_FILES):
        for definition in _classes_in(file):
            classes.setdefault(definition.name, (definition, file))
        if name in classes:
            break
    return _described(name, classes, bases, depth=0)


def _files(config: Path, modules: Sequence[str]) -> Iterator[Path]:
    """Where the class may be, the most likely place first."""
    yield config
    above = [config.parent, *config.parents[1:_FOLDERS_UP]]
    for folder, module in itertools.product(above, modules):
        path = folder.joinpath(*module.split("."))
        yield path.with_suffix(".py")
        yield from sorted(path.glob("*.py"))
    yield from sorted(config.parent.glob("*.py"))
    for folder in above:
        for place in ("mmdet/datasets", "datasets"):
            yield from sorted((folder / place).glob("*.py"))


def _classes_in(file: Path) -> list[ast.ClassDef]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statements = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return [statement for statement in statements if isinstance(statement, ast.ClassDef)]


def _described(
    name: str, classes: dict[str, tuple[ast.ClassDef, Path]], bases: Sequence[str], depth: int
) -> OwnDataset | None:
    if name not in classes or depth > 5:
        return None
    definition, file = classes[name]
    if len(definition.bases) != 1:
        return None
    base = ast.unparse(definition.bases[0]).rpartition(".")[2]
    inherited = OwnDataset(base, None, file, has_code=False)
    if base not in bases:
        found = _described(base, classes, bases, depth + 1)
        if found is None:
            return None
        inherited = found
    names, has_code = inherited.class_names, inherited.has_code
    for statement in definition.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="CLASSES")], value=value):
                try:
                    given = ast.literal_eval(value)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    return None
                given = (given,) if isinstance(given, str) else given
                if not all(isinstance(one, str) for one in given):
                    return None
                names = tuple(given)
            case ast.Assign(targets=[ast.Name(id="PALETTE")]) | ast.Pass() | ast.Expr():
                pass  # colors, and what says nothing
            case _:
                has_code = True
    return OwnDataset(inherited.base, names, file, has_code)
