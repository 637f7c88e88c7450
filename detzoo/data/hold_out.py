"""Holding out a part of the training images to evaluate on.

Images of one scene (see :mod:`detzoo.data.scenes`) are never on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from detzoo.data.dataset import DetectionDataset
from detzoo.data.scenes import scenes_of
from detzoo.errors import ConfigError, DataError

# A single video is cut into this many stretches per part.
_STRETCHES = 5


@dataclass(frozen=True)
class HoldOut:
    """Holds out part ``part`` of ``shares``: a fraction of the images, or one fold of several.

    Parts are drawn by a hash of scene and ``seed``, so that images that are added move no other.
    Only where this would leave a part with less than half of its share of some class, or with none
    of it, scenes of that class are moved there.
    """

    shares: tuple[float, ...]
    part: int
    seed: int

    @classmethod
    def fraction(cls, fraction: float, seed: int) -> HoldOut:
        """Holds out about ``fraction`` of the images."""
        return cls((fraction, 1 - fraction), 0, seed)

    @classmethod
    def fold(cls, text: str, seed: int) -> HoldOut:
        """Holds out fold K of N, written as K/N; each image is in exactly one of the N folds.

        Raises :class:`ConfigError`.
        """
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count or count < 2:
            raise ConfigError(
                f"--fold {text}: write K/N, the fold to hold out and how many there are: 2/5"
            )
        return cls((1 / count,) * count, number - 1, seed)

    def held_out(self, names: Sequence[str], dataset: DetectionDataset) -> Tensor:
        """Which images of ``dataset``, called ``names``, are held out: (I,) bool.

        Raises :class:`DataError` where there are too few scenes.
        """
        scenes, of_image = np.unique(_divisible(names, len(self.shares)), return_inverse=True)
        if len(scenes) < len(self.shares):
            raise DataError(
                f"{dataset.source}: its {len(names)} images cannot be divided into "
                f"{len(self.shares)} parts. Take fewer, or give data to evaluate on (--val)."
            )
        has_class = np.zeros((len(scenes), len(dataset.class_names)), bool)
        objects = dataset.annotations
        has_class[of_image[objects.image_index.numpy()], objects.labels.numpy()] = True
        part = _balanced(_uniform(scenes.tolist(), self.seed), has_class, self.shares)
        return torch.from_numpy(part[of_image] == self.part)


@dataclass(frozen=True)
class Division:
    """Which images of data sets are trained on and which are held out, by name.

    ``split`` is the one of the data sets that is divided, ``rule`` says how, in words. Per data
    set, ``train`` and ``val`` hold the names of files, relative to its image folder. Images that
    are in neither came later.
    """

    split: str
    rule: str
    train: tuple[tuple[str, ...], ...]
    val: tuple[tuple[str, ...], ...]

    @classmethod
    def of(
        cls, split: str, rule: str, names: Sequence[Sequence[str]], held_out: Sequence[Tensor]
    ) -> Division:
        """From the ``names`` of all images of each data set, and which are ``held_out``."""
        sides = [
            tuple(
                tuple(name for name, out in zip(ours, chosen.tolist()) if out == side)
                for ours, chosen in zip(names, held_out)
            )
            for side in (False, True)
        ]
        return cls(split, rule, *sides)

    @classmethod
    def from_json(cls, content: Any, source: str) -> Division:
        """What :meth:`to_json` made. Raises :class:`DataError`, naming ``source``, for others."""
        try:
            sides = [
                tuple(tuple(map(str, part[side])) for part in content["sets"])
                for side in ("train", "val")
            ]
            return cls(str(content["split"]), str(content["rule"]), *sides)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{source}: is damaged, or no division of a data set ({error!r})."
            ) from None

    def to_json(self) -> dict[str, Any]:
        sets = [{"train": list(a), "val": list(b)} for a, b in zip(self.train, self.val)]
        return {"split": self.split, "rule": self.rule, "sets": sets}

    def find(
        self, side: Literal["train", "val"], names: Sequence[Sequence[str]], source: str
    ) -> tuple[list[Tensor], list[str]]:
        """Where the images of ``side`` are among the ``names`` of each data set, and notes.

        Raises :class:`DataError`, naming ``source``, for another number of data sets, and where no
        image is left.
        """
        wanted = self.train if side == "train" else self.val
        if len(names) != len(wanted):
            raise DataError(
                f"{source}: was made for {len(wanted)} data sets, not {len(names)}. Give --data "
                "for each of them, in the same order."
            )
        found = []
        for ours, chosen in zip(names, map(set, wanted)):
            found.append(torch.tensor([k for k, n in enumerate(ours) if n in chosen]).long())
        gone = sum(len(set(chosen) - set(ours)) for ours, chosen in zip(names, wanted))
        new = sum(
            len(set(ours) - set(train) - set(val))
            for ours, train, val in zip(names, self.train, self.val)
        )
        if not sum(map(len, found)):
            raise DataError(
                f"{source}: none of its {gone} images is in the data. Give the data that it was "
                "made for."
            )
        notes = [f"{_images(gone)} of the division no longer in the data"] if gone else []
        if new:
            notes.append(f"{_images(new)} not yet divided, so neither trained nor tested on")
        return found, notes


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _divisible(names: Sequence[str], parts: int) -> list[str]:
    """The scenes of the images; stretches of them where there are fewer scenes than ``parts``."""
    scenes = scenes_of(names)
    if len(set(scenes)) >= parts:
        return scenes
    order = sorted(range(len(names)), key=lambda i: (scenes[i], _natural(names[i])))
    for _, images in groupby(order, key=scenes.__getitem__):
        stretch = list(images)
        for k, i in enumerate(stretch):
            scenes[i] += f" {k * parts * _STRETCHES // len(stretch)}"
    return scenes


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts frame 9 before frame 10."""
    return [(int(text) if text.isdigit() else -1, text) for text in re.split(r"(\d+)", name)]


def _uniform(scenes: Sequence[str], seed: int) -> np.ndarray:
    """A number from 0 to 1 for each scene, which depends on its name and ``seed`` alone: (G,)."""
    digests = [
        blake2b(f"{seed}:{scene}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for scene in scenes
    ]
    return np.frombuffer(b"".join(digests), ">u8") / 2.0**64


def _balanced(place: np.ndarray, has_class: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The part of each scene (G,): that which its ``place`` between 0 and 1 falls into.

    ``has_class`` (G, C) tells which classes the scenes show. From the rarest class to the most
    common, and last for the scenes as such, a part that has less than half of its share, or none,
    gets the nearest scenes that the other parts can spare.
    """
    ends = np.cumsum(shares)
    starts = ends - np.array(shares)
    part = np.minimum(np.searchsorted(ends, place, side="right"), len(shares) - 1)
    shows = np.concatenate([has_class, np.ones((len(place), 1), bool)], 1)
    counts = np.stack([shows[part == k].sum(0) for k in range(len(shares))])  # (parts, C + 1)
    totals = counts.sum(0)
    least = np.maximum(np.floor(np.outer(shares, totals) / 2), totals >= len(shares))
    done: list[int] = []
    for c in np.argsort(totals, kind="stable").tolist():
        done.append(c)
        for k in range(len(shares)):
            while counts[k, c] < least[k, c]:
                others = np.flatnonzero(shows[:, c] & (part != k))
                needed = (counts <= least)[part[others]] & shows[others]
                spare = others[~needed[:, done].any(1)]
                if not len(spare):
                    break
                distance = np.maximum(starts[k] - place[spare], place[spare] - ends[k])
                moved = spare[distance.argmin()]
                counts[part[moved]] -= shows[moved]
                counts[k] += shows[moved]
                part[moved] = k
    return part
