"""The panoptic maps of a data set: images whose pixels are ids of segments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from detzoo.data.annotations import Strings, take_ragged
from detzoo.data.images import read_image
from detzoo.errors import DataError
from detzoo.structures import UNLABELED
from detzoo.values import Id


@dataclass(frozen=True)
class PanopticMaps:
    """The maps of I images, and their K segments in flat arrays: those of image i are rows
    ``offsets[i]`` to ``offsets[i + 1]``.

    ``files`` are the paths of the maps. A pixel's id is its red, plus 256 times its green, plus
    65,536 times its blue, as in COCO's format; ``ids`` (K,) are those of the segments. ``labels``
    (K,) index the classes of the data set where ``is_thing`` (K,), and ``stuff_names`` elsewhere;
    -1 is a class that was left out. ``category_ids`` are those of stuff in the file.
    """

    files: Strings
    stuff_names: tuple[str, ...]
    category_ids: tuple[Id, ...]
    offsets: Tensor
    ids: Tensor
    labels: Tensor
    is_thing: Tensor
    is_crowd: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, i: int, size: tuple[int, int]) -> np.ndarray:
        """The ids (H, W) int32 of image ``i`` of ``size`` (height, width).

        Raises :class:`DataError` for a map that is missing, damaged or of another size.
        """
        ids = read_ids(self.files[i])
        if ids.shape != size:
            raise DataError(
                f"{self.files[i]}: is {ids.shape[1]} x {ids.shape[0]} pixels (width x height), but "
                f"its image is {size[1]} x {size[0]}. Replace the map, or leave the image out."
            )
        return ids

    def segments(self, i: int, num_things: int) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, labels and crowds of image ``i``, each (S,); stuff has labels from ``num_things``
        on. Those of classes that were left out are not among them."""
        rows = slice(*self.offsets[i : i + 2].tolist())
        ids, labels = self.ids[rows], self.labels[rows]
        known = labels >= 0
        labels = torch.where(self.is_thing[rows], labels, num_things + labels)
        return ids[known], labels[known], self.is_crowd[rows][known]

    def semantic_map(self, i: int, num_things: int, size: tuple[int, int]) -> Tensor:
        """(H, W) uint8, the label of each pixel, or ``UNLABELED``: crowds have their class."""
        ids, labels, _ = self.segments(i, num_things)
        return torch.from_numpy(label_pixels(self.read(i, size), ids.numpy(), labels.numpy()))

    def take(self, images: Tensor) -> PanopticMaps:
        """The maps of ``images`` (J,), in that order."""
        rows, offsets = take_ragged(self.offsets, images)
        return replace(
            self,
            files=self.files.take(images),
            offsets=offsets,
            ids=self.ids[rows],
            labels=self.labels[rows],
            is_thing=self.is_thing[rows],
            is_crowd=self.is_crowd[rows],
        )

    def with_things(self, new_label: Tensor) -> PanopticMaps:
        """Label ``k`` of things becomes ``new_label[k]``; negative: left out."""
        return replace(self, labels=_relabeled(self.labels, self.is_thing, new_label))

    def with_stuff(self, names: Sequence[str]) -> PanopticMaps:
        """With the labels of ``names`` for stuff; segments of other classes are left out."""
        place = {name: label for label, name in enumerate(names)}
        known = dict(zip(self.stuff_names, self.category_ids))
        new_label = torch.tensor([place.get(name, -1) for name in self.stuff_names]).long()
        return replace(
            self,
            stuff_names=tuple(names),
            category_ids=tuple(known.get(name, name) for name in names),
            labels=_relabeled(self.labels, ~self.is_thing, new_label),
        )

    @classmethod
    def join(cls, parts: Sequence[PanopticMaps]) -> PanopticMaps:
        """The images of one after those of the other, with the stuff of all."""
        names = tuple(dict.fromkeys(name for part in parts for name in part.stuff_names))
        ids: dict[str, Id] = {}
        for part in parts:
            ids = {**dict(zip(part.stuff_names, part.category_ids)), **ids}
        alike = [part.with_stuff(names) for part in parts]
        counts = torch.cat([part.offsets.diff() for part in alike])
        return cls(
            files=Strings.join([part.files for part in alike]),
            stuff_names=names,
            category_ids=tuple(ids[name] for name in names),
            offsets=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            ids=torch.cat([part.ids for part in alike]),
            labels=torch.cat([part.labels for part in alike]),
            is_thing=torch.cat([part.is_thing for part in alike]),
            is_crowd=torch.cat([part.is_crowd for part in alike]),
        )


def read_ids(file: str | os.PathLike[str]) -> np.ndarray:
    """The ids (H, W) int32 of a panoptic map. Raises :class:`DataError`."""
    pixels = read_image(file).astype(np.int32)
    return pixels[..., 2] + 256 * pixels[..., 1] + 65536 * pixels[..., 0]


def label_pixels(pixels: np.ndarray, ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Replaces each of ``ids`` (S,) in ``pixels`` (H, W) by its label -> (H, W) uint8."""
    if len(ids) == 0:
        return np.full(pixels.shape, UNLABELED, np.uint8)
    order = ids.argsort()
    place = np.searchsorted(ids[order], pixels).clip(max=len(ids) - 1)
    found = labels[order][place].astype(np.uint8)
    found[ids[order][place] != pixels] = UNLABELED
    return found


def _relabeled(labels: Tensor, chosen: Tensor, new_label: Tensor) -> Tensor:
    """``labels`` (K,) with ``new_label`` where ``chosen`` (K,) and not negative already."""
    changing = chosen & (labels >= 0)
    out = labels.clone()
    out[changing] = new_label[labels[changing]]
    return out
