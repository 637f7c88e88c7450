"""Writes COCO's format: one JSON file and one folder of images for each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.writers.images import ImageFolder
from detzoo.files import write_json


def write_coco(datasets: Mapping[str, DetectionDataset], folder: Path, link: bool) -> Counter[str]:
    """Writes ``annotations/instances_<split>.json`` and ``<split>/``.

    All that a data set holds is kept; image ids that are texts become numbers. Returns what was
    changed, and how often.
    """
    changes: Counter[str] = Counter()
    for split, dataset in datasets.items():
        images = ImageFolder(folder / split, flat=False, link=link)
        content = dataset.to_coco()
        numbers = {
            image["id"]: image["id"] if isinstance(image["id"], int) else k
            for k, image in enumerate(content["images"], 1)
        }
        for i, image in enumerate(content["images"]):
            image["file_name"] = images.put(dataset, i)
            image["id"] = numbers[image["id"]]
        for annotation in content["annotations"]:
            annotation["image_id"] = numbers[annotation["image_id"]]
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        write_json(folder / "annotations" / f"instances_{split}.json", content)
        changes["images renamed, since another has the same name"] += images.num_renamed
    return changes
