"""The detections of each image, and the COCO result format for storing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detzoo.errors import DataError
from detzoo.evaluate.ground_truth import GroundTruth, ImageId, numbers
from detzoo.evaluate.run_lengths import RunLengths, read_run_lengths
from detzoo.files import read_json, write_json
from detzoo.structures import BitmapMasks, Detections


@dataclass(frozen=True)
class ImageResult:
    """N detections in one image, compact enough to keep those of a whole data set in memory.

    ``boxes`` (N, 4) x, y, width, height float64 in original pixels, ``scores`` (N,) float64,
    ``labels`` (N,) int64, indices of the detector's class names, ``masks`` if it predicts them, and
    ``mask_scores`` (N,) float64 if it rates them separately.
    """

    image_id: ImageId
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: RunLengths | None = None
    mask_scores: np.ndarray | None = None

    @classmethod
    def of(cls, image_id: ImageId, detections: Detections) -> ImageResult:
        """From detections in original pixels, with pasted masks (``Detections.to_original``)."""
        masks = None
        if detections.masks is not None:
            assert isinstance(detections.masks, BitmapMasks), "to_original pastes masks"
            masks = RunLengths.of(detections.masks)
        # Copies: views would keep the detector's whole output in memory.
        corners = detections.boxes.detach().cpu().numpy().astype(np.float64)
        return cls(
            image_id=image_id,
            boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1),
            scores=detections.scores.detach().cpu().numpy().astype(np.float64),
            labels=detections.labels.detach().cpu().numpy().astype(np.int64),
            masks=masks,
            mask_scores=(
                None
                if detections.mask_scores is None
                else detections.mask_scores.detach().cpu().numpy().astype(np.float64)
            ),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def scores_of_masks(self) -> np.ndarray:
        """(N,) the scores by which masks are ranked."""
        return self.scores if self.mask_scores is None else self.mask_scores

    def to_proposals(self) -> np.ndarray:
        """(N, 5) float32 x1, y1, x2, y2, score, the format of proposal files."""
        corners = np.concatenate([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]], 1)
        return np.concatenate([corners, self.scores[:, None]], 1).astype(np.float32)

    def __getitem__(self, index: np.ndarray) -> ImageResult:
        return ImageResult(
            self.image_id,
            self.boxes[index],
            self.scores[index],
            self.labels[index],
            None if self.masks is None else self.masks[index],
            None if self.mask_scores is None else self.mask_scores[index],
        )


def to_coco(
    results: Sequence[ImageResult], category_ids: Sequence[int | None]
) -> list[dict[str, Any]]:
    """Results in COCO format; ``category_ids`` are indexed by label, None for classes to leave out.

    If masks have their own scores, these are stored as "mask_score", a key that other tools ignore.
    """
    entries: list[dict[str, Any]] = []
    for result in results:
        masks = [None] * len(result) if result.masks is None else result.masks.to_coco()
        columns = (
            result.boxes.tolist(),
            result.scores.tolist(),
            result.scores_of_masks.tolist(),
            result.labels.tolist(),
            masks,
        )
        for box, score, mask_score, label, mask in zip(*columns):
            category_id = category_ids[label]
            if category_id is None:
                continue
            entry: dict[str, Any] = {
                "image_id": result.image_id,
                "category_id": category_id,
                "bbox": box,
                "score": score,
            }
            if mask is not None:
                entry["segmentation"] = mask
            if result.mask_scores is not None:
                entry["mask_score"] = mask_score
            entries.append(entry)
    return entries


def write_results(
    path: str | Path, results: Sequence[ImageResult], category_ids: Sequence[int | None]
) -> None:
    """Writes a COCO result file (see :func:`to_coco`). Raises :class:`DataError` on failure."""
    write_json(path, to_coco(results, category_ids))


def read_results(path: str | Path, ground_truth: GroundTruth) -> list[ImageResult]:
    """Reads detections, from any source, in COCO result format; labels are those of
    ``ground_truth``.

    An entry may have a box, a mask, or both; a missing box is derived from the mask. Raises
    :class:`DataError` naming the file and the invalid entry.
    """
    entries = read_json(path)
    if isinstance(entries, dict) and "annotations" in entries:
        raise DataError(
            f"{path}: holds annotations instead of detections; give the detections first, then "
            "the annotations"
        )
    if not isinstance(entries, list):
        raise DataError(
            f"{path}: is not a list; COCO results are a JSON list of objects with image_id, "
            "category_id, score, and bbox or segmentation"
        )
    position = {image_id: i for i, image_id in enumerate(ground_truth.image_ids)}
    label_of = {category_id: i for i, category_id in enumerate(ground_truth.category_ids)}
    by_image: list[list[int]] = [[] for _ in position]
    for i, entry in enumerate(entries):
        where = f"{path}: entry {i}"
        _check_entry(entry, where, position, label_of, ground_truth.source)
        by_image[position[entry["image_id"]]].append(i)
    with_mask = ["segmentation" in entry for entry in entries]
    if any(with_mask) and not all(with_mask):
        raise DataError(
            f"{path}: entry {with_mask.index(False)} has no segmentation, but others have one; "
            "give all entries masks, or none"
        )
    results = []
    for image_id, indices, size in zip(position, by_image, ground_truth.image_sizes.tolist()):
        if not indices:
            continue
        mine = [entries[i] for i in indices]
        masks = None
        if with_mask[0]:
            masks = read_run_lengths(
                [entry["segmentation"] for entry in mine],
                [f"{path}: entry {i}" for i in indices],
                tuple(size),
            )
        results.append(
            ImageResult(
                image_id=image_id,
                boxes=_boxes(mine, masks),
                scores=np.array([entry["score"] for entry in mine], np.float64),
                labels=np.array([label_of[entry["category_id"]] for entry in mine], np.int64),
                masks=masks,
                mask_scores=_mask_scores(mine),
            )
        )
    return results


def _mask_scores(entries: list[Mapping[str, Any]]) -> np.ndarray | None:
    """(N,) if any entry has one; entries without use the score of their box."""
    if not any("mask_score" in entry for entry in entries):
        return None
    return np.array([entry.get("mask_score", entry["score"]) for entry in entries], np.float64)


def _boxes(entries: list[Mapping[str, Any]], masks: RunLengths | None) -> np.ndarray:
    if masks is None:
        return np.array([entry["bbox"] for entry in entries], np.float64)
    around = masks.boxes().tolist()
    return np.array([entry.get("bbox", box) for entry, box in zip(entries, around)], np.float64)


def _check_entry(
    entry: Any,
    where: str,
    images: Mapping[ImageId, int],
    categories: Mapping[int, int],
    source: str,
) -> None:
    if not isinstance(entry, dict):
        raise DataError(f"{where} is {entry!r} instead of a JSON object")
    for key in ("image_id", "category_id", "score"):
        if key not in entry:
            raise DataError(f"{where} has no {key!r}; add it to every entry")
    if "bbox" not in entry and "segmentation" not in entry:
        raise DataError(f"{where} has neither 'bbox' nor 'segmentation'; add what was detected")
    image_id, category_id, score = entry["image_id"], entry["category_id"], entry["score"]
    if type(image_id) not in (int, str) or image_id not in images:
        raise DataError(
            f"{where} is for image {image_id!r}, which {source} does not have; evaluate detections "
            "with the annotations of the same images"
        )
    if type(category_id) not in (int, str) or category_id not in categories:
        known = ", ".join(map(str, categories))
        raise DataError(
            f"{where} has the category {category_id!r}, which {source} does not have "
            f"(it has {known}); use the ids of its categories, not the indices of classes"
        )
    if numbers([score], 1) is None:
        raise DataError(f"{where} has the score {score!r}; it must be a finite number")
    if "mask_score" in entry and numbers([entry["mask_score"]], 1) is None:
        raise DataError(
            f"{where} has the mask_score {entry['mask_score']!r}; it must be a finite number"
        )
    if "bbox" in entry:
        box = numbers(entry["bbox"], 4)
        if box is None or box[2] < 0 or box[3] < 0:
            raise DataError(
                f"{where} has the bbox {entry['bbox']!r}; it must be four numbers: x, y, width "
                "and height, in pixels of the original image"
            )
