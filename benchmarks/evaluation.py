"""Time and memory of scoring a data set of the size of COCO val2017.

    python -m benchmarks.evaluation --kind segm --images 500 --annotations 3678

Data is made here: annotations of random sizes in 80 classes, detections of which six in ten lie
near an annotation.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import write_result
from detzoo.evaluate import (
    CocoEvaluator,
    Evaluator,
    GroundTruth,
    ImageResult,
    ProposalEvaluator,
    VocEvaluator,
)
from detzoo.structures import BitmapMasks, Detections

HEIGHT, WIDTH, CLASSES = 480, 640, 80


def make_ground_truth(rng: np.random.Generator, images: int, annotations: int) -> GroundTruth:
    corners = rng.random((annotations, 2)) * [WIDTH * 0.8, HEIGHT * 0.8]
    sides = 4 + rng.random((annotations, 2)) ** 2 * [WIDTH * 0.6, HEIGHT * 0.6]
    sides = np.minimum(sides, [WIDTH, HEIGHT] - corners)
    rows = np.concatenate([corners, sides], 1).tolist()
    image_ids = rng.integers(0, images, annotations).tolist()
    category_ids = rng.integers(0, CLASSES, annotations).tolist()
    return GroundTruth.from_coco(
        {
            "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(images)],
            "annotations": [
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "bbox": [x, y, w, h],
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h * 0.8]],
                }
                for image_id, category_id, (x, y, w, h) in zip(image_ids, category_ids, rows)
            ],
            "categories": [{"id": c, "name": str(c)} for c in range(CLASSES)],
        }
    )


def make_detections(
    rng: np.random.Generator, truth: GroundTruth, objects: np.ndarray, count: int, masks: bool
) -> Detections:
    """``count`` detections in the image that has the annotations ``objects``."""
    corners = rng.random((count, 2)) * [WIDTH * 0.8, HEIGHT * 0.8]
    sides = 4 + rng.random((count, 2)) ** 2 * [WIDTH * 0.6, HEIGHT * 0.6]
    labels = rng.integers(0, CLASSES, count)
    if len(objects):
        near = rng.choice(objects, count * 6 // 10)
        moved = truth.boxes[near] + rng.normal(0, 4, (len(near), 4))
        corners[: len(near)], sides[: len(near)] = moved[:, :2], moved[:, 2:].clip(1)
        labels[: len(near)] = truth.label[near]
    boxes = np.concatenate([corners, corners + sides], 1).clip(0, [WIDTH, HEIGHT] * 2)
    bitmaps = None
    if masks:
        pixels = torch.zeros((count, HEIGHT, WIDTH), dtype=torch.uint8)
        for i, (x1, y1, x2, y2) in enumerate(boxes.astype(int).tolist()):
            pixels[i, y1:y2, x1:x2] = 1
        bitmaps = BitmapMasks(pixels)
    scores = -np.sort(-rng.random(count))
    return Detections(
        torch.from_numpy(boxes).float(),
        torch.from_numpy(scores).float(),
        torch.from_numpy(labels),
        bitmaps,
    )


def make_evaluator(kind: str, truth: GroundTruth) -> Evaluator:
    if kind == "voc":
        return VocEvaluator(truth, truth.class_names)
    if kind == "proposal":
        return ProposalEvaluator(truth)
    return CocoEvaluator(truth, truth.class_names, kinds=("segm",) if kind == "segm" else ("bbox",))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--annotations", type=int, default=36781)
    parser.add_argument("--per-image", type=int, help="default: 100, 1000 for proposals")
    parser.add_argument("--kind", choices=["bbox", "segm", "voc", "proposal"], default="bbox")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = options.per_image or (1000 if options.kind == "proposal" else 100)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    truth = make_ground_truth(rng, options.images, options.annotations)
    order = np.argsort(truth.image, kind="stable")
    bounds = np.searchsorted(truth.image[order], np.arange(options.images + 1))
    results, collecting = [], 0.0
    for i, image_id in enumerate(truth.image_ids):
        objects = order[bounds[i] : bounds[i + 1]]
        found = make_detections(rng, truth, objects, count, options.kind == "segm")
        start = time.perf_counter()
        results.append(ImageResult.of(image_id, found))
        collecting += time.perf_counter() - start

    before = peak_mib()
    start = time.perf_counter()
    evaluator = make_evaluator(options.kind, truth)
    preparing = time.perf_counter() - start
    start = time.perf_counter()
    metrics = evaluator.score(results)
    scoring = time.perf_counter() - start
    print(
        f"{options.kind}: {options.images} images, {options.annotations} annotations, {count} "
        f"detections per image: collecting {collecting:.1f} s, preparing {preparing:.1f} s, "
        f"scoring {scoring:.1f} s; peak memory {peak_mib():.0f} MiB, {before:.0f} MiB before "
        f"scoring; {metrics.main_name} {metrics.main:.4f}"
    )
    if options.json:
        row = {
            "kind": options.kind,
            "images": options.images,
            "annotations": options.annotations,
            "per_image": count,
            "seconds": collecting + preparing + scoring,
            "peak_mib": peak_mib(),
        }
        write_result(options.json, "evaluation", [row])


if __name__ == "__main__":
    main()
