"""What is special about the annotations of LVIS (https://arxiv.org/abs/1908.03195).

Its images are not annotated for every class. Of each image the file lists, besides the classes of
its objects, those that were looked for and are not there, and those of which there are more than
are annotated. Nothing is known of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from detzoo.data.annotations import LabelLists
from detzoo.errors import DataError

Json = Any

# In the annotation files of both versions; published models have the name spelt right.
_MISSPELT = {"speaker_(stero_equipment)": "speaker_(stereo_equipment)"}


@dataclass(frozen=True)
class Federation:
    """What the annotators of each image looked for.

    ``absent`` are the classes known not to be in an image, ``partial`` those of which not all
    objects are annotated. ``frequency`` of each class in training: "r"are, "c"ommon, "f"requent.
    """

    absent: LabelLists
    partial: LabelLists
    frequency: tuple[str, ...]

    def take(self, images: Tensor) -> Federation:
        return Federation(self.absent.take(images), self.partial.take(images), self.frequency)

    def relabeled(self, new_label: Tensor, num_classes: int) -> Federation:
        """Label ``k`` becomes ``new_label[k]``; a negative one goes. New classes are frequent."""
        frequency = ["f"] * num_classes
        for old, new in zip(self.frequency, new_label.tolist()):
            if new >= 0:
                frequency[new] = old
        return Federation(
            self.absent.relabeled(new_label), self.partial.relabeled(new_label), tuple(frequency)
        )


def is_federated(content: dict[str, Json]) -> bool:
    """Whether a file in COCO's format is one of LVIS."""
    images = content.get("images")
    return isinstance(images, list) and any(
        isinstance(entry, dict) and "neg_category_ids" in entry for entry in images
    )


def as_coco(content: dict[str, Json], image_dir: Path) -> dict[str, Json]:
    """The content with class names as in published models, and with file names.

    Images are COCO's: a file lies at the end of its ``coco_url`` (``train2017/000000391895.jpg``)
    below ``image_dir``, or directly in it, as the first one does.
    """
    images = [
        {**entry, "file_name": _file_name(entry)} if isinstance(entry, dict) else entry
        for entry in content["images"]
    ]
    names = [entry["file_name"] for entry in images if isinstance(entry, dict)]
    first = next((name for name in names if name), "")
    if not (image_dir / first).exists() and (image_dir / Path(first).name).exists():
        images = [{**entry, "file_name": Path(entry["file_name"] or "").name} for entry in images]
    categories = [
        {**entry, "name": _spelt_right(entry.get("name"))} if isinstance(entry, dict) else entry
        for entry in content.get("categories") or ()
    ]
    return {**content, "images": images, "categories": categories}


def federation_of(content: dict[str, Json], category_ids: Sequence[int], file: Path) -> Federation:
    """Raises :class:`DataError` for a category that is not there, or has no known frequency."""
    label_of = {number: label for label, number in enumerate(category_ids)}

    def labels(key: str) -> LabelLists:
        lists = []
        for k, entry in enumerate(content["images"]):
            numbers = entry.get(key, [])
            unknown = [number for number in numbers if number not in label_of]
            if unknown:
                raise DataError(
                    f"{file}: images[{k}]: its {key} hold {unknown[0]!r}, which no category has."
                )
            lists.append([label_of[number] for number in numbers])
        return LabelLists.of(lists)

    frequency = []
    for k, entry in enumerate(content["categories"]):
        if entry.get("frequency") not in ("r", "c", "f"):
            raise DataError(
                f"{file}: categories[{k}]: its frequency {entry.get('frequency')!r} is not one of "
                "r (rare), c (common), f (frequent)."
            )
        frequency.append(entry["frequency"])
    return Federation(
        labels("neg_category_ids"), labels("not_exhaustive_category_ids"), tuple(frequency)
    )


def _spelt_right(name: Json) -> Json:
    return _MISSPELT.get(name, name) if isinstance(name, str) else name


def _file_name(entry: dict[str, Json]) -> str | None:
    """``train2017/000000391895.jpg`` from the address, or else COCO's twelve digits."""
    url = entry.get("coco_url")
    if isinstance(url, str) and url.count("/") >= 2:
        return "/".join(url.rsplit("/", 2)[1:])
    name = entry.get("file_name")
    if isinstance(name, str):  # COCO_val2014_000000391895.jpg is 000000391895.jpg since 2017
        return name[-16:] if name.startswith("COCO_") else name
    return None
