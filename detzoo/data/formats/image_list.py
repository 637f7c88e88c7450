"""Images without annotations in COCO's format, such as ``image_info_test-dev2017.json``."""

from __future__ import annotations

from pathlib import Path

from detzoo.data.coco import load_coco
from detzoo.data.coco_file import read_classes
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.coco import read_coco_content
from detzoo.data.formats.coco_panoptic import is_thing
from detzoo.errors import DataError
from detzoo.values import Id


def read_image_list(
    file: Path, images: Path | None = None, categories: Path | None = None
) -> tuple[DetectionDataset, dict[str, Id]]:
    """The images that ``file`` lists, without objects, and the category ids of stuff by name.

    Categories are those of the file, or of the annotation file ``categories``: COCO's lists of
    images have no stuff. Raises :class:`DataError`.
    """
    content = load_coco(file)
    source = file if categories is None else categories
    listed = (content if categories is None else load_coco(source)).get("categories")
    if not isinstance(listed, list):
        raise DataError(
            f"{source}: has no list 'categories', whose ids the results get. Give an annotation "
            "file that has them: --categories FILE."
        )
    things = [category for category in listed if is_thing(category)]
    stuff = [category for category in listed if not is_thing(category)]
    ids, names = read_classes(stuff, str(source)) if stuff else ([], [])
    alone = {**content, "annotations": [], "categories": things}
    return read_coco_content(alone, file, images), dict(zip(names, ids))
