"""Puts the images of a data set into the folder of another one."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from detzoo.data.dataset import DetectionDataset


class ImageFolder:
    """A folder that images are put into, under names of which no two have the same stem.

    Files of labels are called like their images but for the extension. With ``link``, images are
    hard links where the file system allows it, otherwise copies.
    """

    def __init__(self, folder: Path, *, flat: bool, link: bool) -> None:
        self.folder, self.flat, self.link = folder, flat, link
        self.num_renamed = 0
        self._stems: set[str] = set()

    def put(self, dataset: DetectionDataset, i: int) -> str:
        """Puts image ``i`` here and returns its name."""
        name = self._free_name(dataset.file_names[i])
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = os.path.realpath(dataset.path(i))
        if self.link:
            with contextlib.suppress(OSError):  # on another file system, or one without links
                os.link(source, target)
                return name
        shutil.copyfile(source, target)
        return name

    def _free_name(self, file_name: str) -> str:
        # Names may be absolute, or lead out of their folder.
        parts = [p for p in file_name.replace("\\", "/").split("/") if p not in ("", ".", "..")]
        wanted = PurePosixPath("_".join(parts) if self.flat else "/".join(parts))
        for stem in _numbered(wanted.stem):
            key = str(wanted.with_name(stem)).lower()  # some file systems ignore case
            if key not in self._stems:
                self._stems.add(key)
                self.num_renamed += stem != wanted.stem
                return str(wanted.with_name(stem + wanted.suffix))
        raise AssertionError


def _numbered(stem: str) -> Iterator[str]:
    """``a``, ``a_2``, ``a_3``, ..."""
    yield stem
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1
