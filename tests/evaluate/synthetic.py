"""Ground truth and detections with everything that makes scoring hard."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as official_rle

HEIGHT, WIDTH = 120, 160


def coco_data(seed: int, *, images: int = 30) -> dict[str, Any]:
    """COCO ground truth: crowds, ignored objects, empty images, a class without objects.

    Ids have gaps and are not in order; masks are polygons, crowds run lengths.
    """
    rng = np.random.default_rng(seed)
    image_ids = rng.permutation(np.arange(100, 100 + 3 * images, 3)).tolist()
    category_ids = [7, 3, 12, 5, 90]
    annotations = []
    for image_id in image_ids[:-4]:
        for _ in range(rng.integers(0, 8)):
            x, y = rng.uniform(0, 100, 2)
            w, h = (
                rng.uniform(3, 118 - max(x, y), 2) if rng.random() < 0.5 else rng.uniform(3, 18, 2)
            )
            is_crowd = bool(rng.random() < 0.15)
            polygon = [[x, y, x + w, y, x + w * 0.7, y + h, x, y + h * 0.8]]
            mask = official_rle.merge(official_rle.frPyObjects(polygon, HEIGHT, WIDTH))
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                # The last category has no objects.
                "category_id": category_ids[rng.integers(0, 4)],
                "bbox": [x, y, w, h],
                "area": float(official_rle.area(mask)),
                "iscrowd": int(is_crowd),
                "segmentation": polygon,
            }
            if is_crowd:
                annotation["segmentation"] = {**mask, "counts": mask["counts"].decode()}
            if rng.random() < 0.1:
                annotation["ignore"] = 1
            annotations.append(annotation)
    return {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in image_ids],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"class {c}"} for c in category_ids],
    }


def coco_results(data: dict[str, Any], seed: int, *, with_masks: bool) -> list[dict[str, Any]]:
    """Detections near objects and elsewhere; equal scores among them; none in some images."""
    rng = np.random.default_rng(seed)
    by_image: dict[int, list[Any]] = {image["id"]: [] for image in data["images"]}
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    results = []
    for image_id, objects in by_image.items():
        if rng.random() < 0.1:
            continue
        for annotation in [*objects, *objects, None, None, None]:
            category_id = data["categories"][rng.integers(0, 5)]["id"]
            box = rng.uniform(2, 60, 4)
            if annotation is not None:
                box = np.array(annotation["bbox"]) + rng.normal(0, 2, 4)
                if rng.random() < 0.8:
                    category_id = annotation["category_id"]
            x, y, w, h = box.clip(1).tolist()
            entry = {
                "image_id": image_id,
                "category_id": category_id,
                "bbox": [x, y, w, h],
                "score": round(rng.random(), 1),
            }
            if with_masks:
                polygon = [[x, y, x + w, y, x + w, y + h, x, y + h * 0.7]]
                mask = official_rle.merge(official_rle.frPyObjects(polygon, HEIGHT, WIDTH))
                entry["segmentation"] = {**mask, "counts": mask["counts"].decode()}
            results.append(entry)
    return results
