"""What checks find, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from detzoo.data.annotations import id_at
from detzoo.data.dataset import DetectionDataset
from detzoo.data.reading import Fault

# Errors make training or evaluation wrong, warnings probably do; "info" is no fault.
Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Split:
    """A data set and what it is called in findings: "train".

    ``true_sizes`` (I, 2) are the heights and widths of the images, if these were opened. ``faults``
    are what the data set was opened without.
    """

    name: str
    dataset: DetectionDataset
    true_sizes: Tensor | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def image_sizes(self) -> Tensor:
        """(I, 2) heights and widths: the true ones, or else those that are declared."""
        return self.dataset.sizes if self.true_sizes is None else self.true_sizes


@dataclass(frozen=True)
class Place:
    """Where something was found: an image, or some of its objects.

    ``objects`` are rows of the data set's flat arrays. ``twin`` is a second image that belongs to
    the finding.
    """

    split: Split
    image: int
    objects: tuple[int, ...] = ()
    note: str = ""
    twin: Place | None = None

    def to_json(self) -> dict[str, Any]:
        dataset = self.split.dataset
        data: dict[str, Any] = {"split": self.split.name, "file": dataset.path(self.image)}
        if self.objects:
            data["objects"] = [
                {
                    "id": id_at(dataset.annotations.ids, n),
                    "class": dataset.class_names[int(dataset.annotations.labels[n])],
                    "bbox": dataset.annotations.boxes[n].tolist(),
                }
                for n in self.objects
            ]
        if self.note:
            data["note"] = self.note
        if self.twin is not None:
            data["twin"] = self.twin.to_json()
        return data


@dataclass(frozen=True)
class Finding:
    """One kind of thing found in a data set.

    ``kind`` is a stable name for programs: "box-outside-image". ``split`` names the split, or both
    of a finding across two. ``title`` says what was found and how often, ``advice`` what it does to
    training and what to do. ``messages`` are about entries that could not be read, and so are at no
    place of the data set.
    """

    kind: str
    severity: Severity
    split: str
    title: str
    advice: str
    places: tuple[Place, ...] = ()
    messages: tuple[str, ...] = ()

    @property
    def is_fault(self) -> bool:
        return self.severity != "info"

    @property
    def count(self) -> int:
        return len(self.places) + len(self.messages)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity,
            "split": self.split,
            "title": self.title,
            "advice": self.advice,
            "places": [place.to_json() for place in self.places],
            **({"messages": list(self.messages)} if self.messages else {}),
        }


def at_images(
    split: Split, chosen: Tensor, note: Callable[[int], str] | None = None
) -> tuple[Place, ...]:
    """The images where ``chosen`` (I,) is true, each with ``note(i)``."""
    images = chosen.nonzero()[:, 0].tolist()
    return tuple(Place(split, i, note=note(i) if note else "") for i in images)


def at_objects(
    split: Split, chosen: Tensor, note: Callable[[int], str] | None = None
) -> tuple[Place, ...]:
    """The objects where ``chosen`` (N,) is true, each with ``note(n)``."""
    rows = chosen.nonzero()[:, 0]
    images = split.dataset.annotations.image_index[rows].tolist()
    return tuple(
        Place(split, i, (n,), note(n) if note else "") for i, n in zip(images, rows.tolist())
    )


def tally(what: str, count: int, total: int | None = None) -> str:
    """What was found, and how often: "missing images: 3 of 8", "missing images: all 8"."""
    if total is None:
        return f"{what}: {count}"
    return f"{what}: all {total}" if count == total > 1 else f"{what}: {count} of {total}"
