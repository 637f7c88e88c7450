"""Where the data of a V2 configuration lie, as ``detzoo train`` and ``detzoo test`` open them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# How many folders up from a configuration relative paths are looked for.
_FOLDERS_UP = 5
# Its ``.txt`` has the objects themselves.
_LISTS_OBJECTS = "OpenImagesChallengeDataset"


@dataclass(frozen=True)
class DataPaths:
    """What ``--data``, ``--images`` and ``--split`` would be given.

    Args:
        data: Annotation files, or folders of Pascal VOC's form.
        images: The image folder of each; empty: none is said.
        split: The split of the folders; None: annotation files have none.
        proposals: A file of proposals.
        semantic_maps: A folder of semantic maps.
    """

    data: tuple[str, ...]
    images: tuple[str, ...] = ()
    split: str | None = None
    proposals: str | None = None
    semantic_maps: str | None = None


def data_paths(config: Mapping[str, Any], key: str, file: Path) -> DataPaths | None:
    """Those of ``data.train``, ``val`` or ``test`` in the configuration ``file``.

    Relative paths are those from the working directory, as in MMDetection, or from a folder above
    the file. None where the configuration says none that could be opened at once.
    """
    section = config.get("data")
    sets = list(_sets(section.get(key) if isinstance(section, Mapping) else None))
    if not sets:
        return None
    lists = [Path(one["ann_file"]) for one in sets if one.get("type") != _LISTS_OBJECTS]
    if lists and all(path.suffix == ".txt" for path in lists):  # of names, as Pascal VOC has
        splits = {path.stem for path in lists}
        if len(splits) > 1 or not all(one.get("img_prefix") for one in sets):
            return None
        return DataPaths(
            tuple(_found(one, "img_prefix", file) or "" for one in sets), split=splits.pop()
        )
    images = [_found(one, "img_prefix", file) for one in sets]
    first = sets[0] if len(sets) == 1 else {}
    return DataPaths(
        data=tuple(_found(one, "ann_file", file) or "" for one in sets),
        images=tuple(path for path in images if path) if all(images) else (),
        proposals=_found(first, "proposal_file", file),
        semantic_maps=_found(first, "seg_prefix", file),
    )


def _sets(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every data set with one annotation file, in whatever it is wrapped."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _sets(item)
    elif isinstance(value, Mapping):
        for key in ("dataset", "datasets"):
            yield from _sets(value.get(key))
        files, folders = value.get("ann_file"), value.get("img_prefix")
        if isinstance(files, str):
            yield value
        elif isinstance(files, Sequence) and all(isinstance(one, str) for one in files):
            each = [folders] * len(files) if isinstance(folders, str | None) else folders
            for one, folder in zip(files, each):
                yield {**value, "ann_file": one, "img_prefix": folder}


def _found(source: Mapping[str, Any], key: str, file: Path) -> str | None:
    """The absolute path at ``key``, whether it is there or not; None if none is said."""
    path, root = source.get(key), source.get("data_root")
    if not isinstance(path, str) or not path:
        return None
    joined = Path(root) / path if isinstance(root, str) else Path(path)
    places = itertools.islice(file.resolve().parents, _FOLDERS_UP)
    candidates = [folder / joined for folder in (Path.cwd(), *places)]
    return str(next((one for one in candidates if one.exists()), candidates[0]))
