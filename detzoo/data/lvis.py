"""The federated annotations of LVIS (https://arxiv.org/abs/1908.03195).

Images are not annotated for every class. Besides the classes of its objects, the file lists for
each image those that are verified to be absent and those that are not annotated exhaustively.
Nothing is known about the others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from detzoo.data.annotations import LabelLists
from detzoo.errors import DataError
from detzoo.values import Json, as_id, same

if TYPE_CHECKING:
    from detzoo.data.coco_file import CocoFile

# In the annotation files of both versions; published models use the correct spelling.
_MISSPELLED = {"speaker_(stero_equipment)": "speaker_(stereo_equipment)"}


@dataclass(frozen=True)
class Federation:
    """The classes for which each image is annotated.

    ``absent`` are the classes known not to be in an image, ``partial`` those that are not annotated
    exhaustively. ``frequency`` of each class in training: "r"are, "c"ommon, "f"requent.
    """

    absent: LabelLists
    partial: LabelLists
    frequency: tuple[str, ...]

    def take(self, images: Tensor) -> Federation:
        return Federation(self.absent.take(images), self.partial.take(images), self.frequency)

    def relabeled(self, new_label: Tensor, num_classes: int) -> Federation:
        """Replaces label ``k`` by ``new_label[k]``; negative: removed. New classes are frequent."""
        frequency = ["f"] * num_classes
        for old, new in zip(self.frequency, new_label.tolist()):
            if new >= 0:
                frequency[new] = old
        return Federation(
            self.absent.relabeled(new_label), self.partial.relabeled(new_label), tuple(frequency)
        )


def is_federated(content: Json) -> bool:
    """Whether a file in COCO's format has LVIS annotations."""
    images = content.get("images") if isinstance(content, dict) else None
    return isinstance(images, list) and any(
        isinstance(entry, dict) and "neg_category_ids" in entry for entry in images
    )


def as_coco(content: dict[str, Json], image_dir: Path) -> dict[str, Json]:
    """Adds file names, and corrects class names to those of published models.

    Images are those of COCO: files are at the end of their ``coco_url``
    (``train2017/000000391895.jpg``) below ``image_dir``, or directly in it if the first one is.
    """
    images = [
        {**entry, "file_name": _file_name(entry)} if isinstance(entry, dict) else entry
        for entry in content["images"]
    ]
    names = [entry["file_name"] for entry in images if isinstance(entry, dict)]
    first = next((name for name in names if name), "")
    direct = image_dir / Path(first).name
    if not os.path.exists(image_dir / first) and os.path.exists(direct):
        images = [{**entry, "file_name": Path(entry["file_name"] or "").name} for entry in images]
    categories = content.get("categories")
    if isinstance(categories, list):
        categories = [_spelt_right(entry) for entry in categories]
    return {**content, "images": images, "categories": categories}


def federation_of(file: CocoFile) -> Federation:
    """Raises :class:`DataError` for a missing category, or one of another frequency.

    Lists may be absent or null, and classes without a frequency are frequent.
    """
    label_of = {same(number): label for label, number in enumerate(file.category_ids)}

    def labels(key: str) -> LabelLists:
        lists = []
        for entry, image in zip(file.content["images"], file.images):
            numbers = entry.get(key) or []
            if not isinstance(numbers, list):
                raise DataError(f"{image.where}: its {key} {numbers!r:.60} are not a list.")
            found = []
            for number in numbers:
                identity = as_id(number)
                label = None if identity is None else label_of.get(same(identity))
                if label is None:
                    raise DataError(
                        f"{image.where}: its {key} hold {number!r:.60}, which no category has."
                    )
                found.append(label)
            lists.append(found)
        return LabelLists.of(lists)

    frequency = []
    for k, entry in enumerate(file.categories):
        letter = entry.get("frequency")
        if letter not in ("r", "c", "f", None):
            raise DataError(
                f"{file.source}: categories[{k}]: its frequency {letter!r:.60} is not one of "
                "r (rare), c (common), f (frequent)."
            )
        frequency.append(letter or "f")
    return Federation(
        labels("neg_category_ids"), labels("not_exhaustive_category_ids"), tuple(frequency)
    )


def _spelt_right(category: Json) -> Json:
    name = category.get("name") if isinstance(category, dict) else None
    if isinstance(name, str) and name in _MISSPELLED:
        return {**category, "name": _MISSPELLED[name]}
    return category


def _file_name(entry: dict[str, Json]) -> str | None:
    """``train2017/000000391895.jpg`` from the URL, otherwise COCO's twelve digits."""
    url = entry.get("coco_url")
    if isinstance(url, str) and url.count("/") >= 2:
        return "/".join(url.rsplit("/", 2)[1:])
    name = entry.get("file_name")
    if isinstance(name, str):  # COCO_val2014_000000391895.jpg is 000000391895.jpg since 2017
        return name[-16:] if name.startswith("COCO_") else name
    return None
