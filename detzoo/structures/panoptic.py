"""Panoptic segmentation: every pixel belongs to one segment, of a thing or of stuff, or to none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import Self

from detzoo.structures.images import ImageInfo
from detzoo.structures.targets import UNLABELED

if TYPE_CHECKING:
    from detzoo.structures.detections import Detections

# The id of pixels in no segment.
VOID = 0


@dataclass(frozen=True)
class PanopticMap:
    """S segments of an image (https://arxiv.org/abs/1801.00868).

    ``ids`` (H, W) int32 is 0 (void) or k + 1 where segment k is. ``labels`` (S,) int64 index the
    classes of things followed by those of stuff; ``is_thing`` (S,) bool says which a segment is.
    ``scores`` (S,) float32, between 0 and 1. Things have a segment per object, stuff one per class.
    """

    ids: Tensor
    labels: Tensor
    is_thing: Tensor
    scores: Tensor

    @classmethod
    def void(cls, ids: Tensor) -> PanopticMap:
        """A map of the size of ``ids`` (H, W) without segments."""
        none = torch.zeros(0, device=ids.device)
        return cls(torch.zeros_like(ids, dtype=torch.int32), none.long(), none.bool(), none)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def areas(self) -> Tensor:
        """(S,) the number of pixels of each segment."""
        return torch.bincount(self.ids.flatten(), minlength=len(self) + 1)[1:]

    def mask(self, k: int) -> Tensor:
        """(H, W) bool, where segment ``k`` is."""
        return self.ids == k + 1

    def only(self, kept: Tensor) -> PanopticMap:
        """The segments ``kept`` (S,) bool, renumbered; the pixels of others become void."""
        new_id = kept.to(torch.int32).cumsum(0, dtype=torch.int32) * kept
        table = torch.cat([new_id.new_zeros(1), new_id])
        return PanopticMap(
            table[self.ids.long()], self.labels[kept], self.is_thing[kept], self.scores[kept]
        )

    def semantic_map(self) -> Tensor:
        """(H, W) uint8, the class of every pixel, or ``UNLABELED``."""
        table = torch.cat([self.labels.new_tensor([UNLABELED]), self.labels])
        return table[self.ids.long()].to(torch.uint8)

    def to(self, device: torch.device | str) -> PanopticMap:
        return PanopticMap(
            self.ids.to(device),
            self.labels.to(device),
            self.is_thing.to(device),
            self.scores.to(device),
        )


class PanopticPrediction(ABC):
    """What a detector predicts of the pixels of one input image, before it is fused to segments.

    Fusing counts pixels of the original image, and so comes after resizing: ``Detections`` in input
    pixels have such a prediction, those in original pixels its :class:`PanopticMap`.
    """

    @property
    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """What it consists of: logits (K, h, w) over the input, and what belongs to each of K."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self: ...

    @abstractmethod
    def to_original(self, info: ImageInfo, things: Detections) -> PanopticMap:
        """Fuses the prediction with ``things``, the same image's detections in original pixels."""
