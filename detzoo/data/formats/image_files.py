"""Finds the images that annotations speak of: by trying, since names and folders vary."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from detzoo.data.images import EXTENSIONS

# The names that are tried for the folder: the first image may be the one that is missing.
_TRIED = 5


@dataclass(frozen=True)
class ImageFiles:
    """Where images are: ``names`` are relative to ``folder``, in the order asked for."""

    folder: Path
    names: list[str]
    notes: tuple[str, ...] = ()


def images_below(folder: Path) -> list[str]:
    """The image files in ``folder`` and the folders in it, relative to it with ``/``, sorted."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        inner = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if inner == "." else f"{inner}/"
        found += [prefix + name for name in files if is_image_name(name)]
    return sorted(found)


def is_image_name(name: str) -> bool:
    """Whether a file is called as images are; those that macOS leaves beside them are not."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith("._")


def folders_below(folder: Path, depth: int = 2, at_most: int = 200) -> list[Path]:
    """``folder`` and the folders in it, by name, down to ``depth``; hidden ones aside."""
    found = level = [folder]
    for _ in range(depth):
        level = [inner for place in level for inner in _folders_in(place)][:at_most]
        found = found + level
    return found[:at_most]


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:  # not ours to look into
        return []
    return [folder / name for name in names if not name.startswith((".", "__MACOSX"))]


def locate_images(names: Sequence[str], folders: Iterable[Path]) -> ImageFiles | None:
    """The first of ``folders`` in which the images called ``names`` are, or None.

    Annotations call images by names that hold on the machine that wrote them: with folders before
    them that are absent here, absolute, with ``\\`` for ``/``, in another case, or encoded as in
    URLs. What had to be changed is told in ``notes``. Names that no file has stay as they are.
    """
    places = list(dict.fromkeys(folder for folder in folders if folder.is_dir()))
    plain = [_portable(name) for name in names]
    for match in (_exact, _loose):
        for name in plain[:_TRIED]:
            parts = name.split("/")
            for dropped in range(len(parts)):
                tail = "/".join(parts[dropped:])
                for folder in places:
                    if match(folder, tail):
                        return _resolve(plain, folder, "/".join(parts[:dropped]))
    return None


def _portable(name: str) -> str:
    """``C:\\data\\.\\a.jpg`` -> ``C:/data/a.jpg``."""
    return re.sub(r"(^|/)(?:\./)+", r"\1", name.replace("\\", "/"))


def _exact(folder: Path, name: str) -> bool:
    return bool(name) and os.path.isfile(folder / name)  # False for what is no path at all


def _loose(folder: Path, name: str) -> bool:
    """Whether ``folder`` has the file by another case or URL encoding."""
    wanted = Path(unquote(name))
    place = folder / wanted.parent
    if not os.path.isdir(place):
        return False
    return any(name.casefold() == wanted.name.casefold() for name in os.listdir(place))


def _resolve(names: list[str], folder: Path, prefix: str) -> ImageFiles:
    """Drops ``prefix`` from the names, and looks for those that are not in ``folder`` then."""
    notes = []
    start = f"{prefix}/" if prefix else ""
    found = [name.removeprefix(start) for name in names]
    if start:
        notes.append(f"the images are in {folder}, without the {start!r} of the annotations")
    present: dict[str, set[str]] = {}
    absent = []
    for i, name in enumerate(found):
        inner, base = os.path.split(name)
        if inner not in present:
            place = folder / inner
            present[inner] = set(os.listdir(place)) if os.path.isdir(place) else set()
        if base not in present[inner]:
            absent.append(i)
    if absent:
        others = _by_lowercase(folder, taken=set(found))
        changed = []
        for i in absent:
            match = _look_up(found[i], others)
            if match is not None:
                changed.append((names[i], match))
                found[i] = match
        if changed:
            asked, match = changed[0]
            notes.append(
                f"{len(changed)} image{'s are' if len(changed) > 1 else ' is'} called otherwise "
                f"than in the annotations: {asked!r} is {match!r}"
            )
    return ImageFiles(folder, found, tuple(notes))


def _by_lowercase(folder: Path, taken: set[str]) -> dict[str, str]:
    """The images of ``folder`` that are not ``taken``, by their names in lower case."""
    files: dict[str, str] = {}
    twice = set()
    for name in images_below(folder):
        key = name.casefold()
        if key in files:
            twice.add(key)
        files[key] = name
    return {key: name for key, name in files.items() if key not in twice and name not in taken}


def _look_up(name: str, files: dict[str, str]) -> str | None:
    """Takes the file that ``name`` means out of ``files``: no two names mean the same one."""
    for variant in (name, unquote(name)):
        parts = variant.casefold().split("/")
        for dropped in range(len(parts)):
            match = files.pop("/".join(parts[dropped:]), None)
            if match is not None:
                return match
    return None
