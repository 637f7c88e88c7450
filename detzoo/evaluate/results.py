"""The detections of each image, and the COCO result format for storing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from detzoo.data.coco_file import some
from detzoo.errors import DataError
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.panoptic_results import PanopticResult
from detzoo.evaluate.run_lengths import RunLengths
from detzoo.files import read_json, write_json
from detzoo.structures import BitmapMasks, Detections, PanopticMap
from detzoo.values import Box, Id, Json, Size, read_box, read_id, read_number, same


@dataclass(frozen=True)
class ImageResult:
    """N detections in one image, compact enough to keep those of a whole data set in memory.

    ``boxes`` (N, 4) x, y, width, height float64 in original pixels, ``scores`` (N,) float64,
    ``labels`` (N,) int64, indices of the detector's class names, ``masks`` if it predicts them,
    ``mask_scores`` (N,) float64 if it rates them separately, and ``panoptic`` if it segments the
    whole image.
    """

    image_id: Id
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: RunLengths | None = None
    mask_scores: np.ndarray | None = None
    panoptic: PanopticResult | None = None

    @classmethod
    def of(cls, image_id: Id, detections: Detections) -> ImageResult:
        """Converts detections in original pixels with pasted masks (``Detections.to_original``)."""
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
            panoptic=(
                PanopticResult.of(detections.panoptic)
                if isinstance(detections.panoptic, PanopticMap)
                else None
            ),
        )

    @classmethod
    def of_segments(cls, image_id: Id, segments: PanopticResult) -> ImageResult:
        """Only a panoptic map, without detections of objects."""
        none = np.zeros(0)
        return cls(image_id, none.reshape(0, 4), none, none.astype(np.int64), panoptic=segments)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def scores_of_masks(self) -> np.ndarray:
        """The scores (N,) that masks are ranked by."""
        return self.scores if self.mask_scores is None else self.mask_scores

    def to_detections(self, min_score: float = 0.0) -> Detections:
        """Those with a score of at least ``min_score``, in original pixels."""
        kept = self[np.flatnonzero(self.scores >= min_score)]
        near, sides = kept.boxes[:, :2], kept.boxes[:, 2:]
        return Detections(
            torch.from_numpy(np.concatenate([near, near + sides], 1)).float(),
            torch.from_numpy(kept.scores).float(),
            torch.from_numpy(kept.labels),
            None if kept.masks is None else kept.masks.to_bitmaps(),
            panoptic=None if kept.panoptic is None else kept.panoptic.to_map(),
        )

    def to_proposals(self) -> np.ndarray:
        """Converts to the format of proposal files: (N, 5) float32 x1, y1, x2, y2, score."""
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
            self.panoptic,
        )


def to_coco(
    results: Sequence[ImageResult], category_ids: Sequence[Id | None]
) -> list[dict[str, Any]]:
    """Converts results to COCO format; ``category_ids`` by label, None for classes to leave out.

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
    path: str | Path, results: Sequence[ImageResult], category_ids: Sequence[Id | None]
) -> None:
    """Writes a COCO result file (see :func:`to_coco`). Raises :class:`DataError` on failure."""
    write_json(path, to_coco(results, category_ids))


def read_results(path: str | Path, ground_truth: GroundTruth) -> list[ImageResult]:
    """Reads detections in COCO result format from any source; labels are those of ``ground_truth``.

    An entry may have a box, a mask, or both; a missing box is derived from the mask. A data set in
    COCO's format whose objects have scores, as ``detzoo predict --save coco`` writes it, is read as
    well: its images and classes are those of the same names. Raises :class:`DataError` naming the
    file and the invalid entry.
    """
    entries = read_json(path)
    if isinstance(entries, dict) and "annotations" in entries:
        entries = _entries_of_data_set(entries, path, ground_truth)
    if not isinstance(entries, list):
        raise DataError(
            f"{path}: is not a list; COCO results are a JSON list of objects with image_id, "
            "category_id, score, and bbox or segmentation"
        )
    position = {same(image_id): i for i, image_id in enumerate(ground_truth.image_ids)}
    label_of = {same(number): label for label, number in enumerate(ground_truth.category_ids)}
    by_image: list[list[_Entry]] = [[] for _ in position]
    with_mask: list[bool] = []
    for i, entry in enumerate(entries):
        found = _read_entry(entry, f"{path}: entry {i}", position, label_of, ground_truth)
        by_image[found.image].append(found)
        with_mask.append(found.mask is not None)
    if any(with_mask) and not all(with_mask):
        raise DataError(
            f"{path}: entry {with_mask.index(False)} has no segmentation, but others have one; "
            "give all entries masks, or none"
        )
    sizes = ground_truth.image_sizes.tolist()
    return [
        _result(image_id, mine, (height, width))
        for image_id, mine, (height, width) in zip(ground_truth.image_ids, by_image, sizes)
        if mine
    ]


def _entries_of_data_set(content: Json, path: str | Path, truth: GroundTruth) -> list[Json]:
    """The objects of a data set as result entries, with the ids that ``truth`` has."""
    objects = _listed(content, "annotations", path)
    if not all("score" in one for one in objects):
        raise DataError(
            f"{path}: contains annotations instead of detections; give the detections first, then "
            "the annotations"
        )
    images = _by_id(content, "images", "file_name", path)
    names = _by_id(content, "categories", "name", path)
    by_name: dict[str, list[int]] = {}
    for place, name in enumerate(truth.paths):
        by_name.setdefault(PurePath(name).name, []).append(place)
    number_of = dict(zip(truth.class_names, truth.category_ids))
    entries = []
    for i, one in enumerate(objects):
        where = f"{path}: annotation {i}"
        file_name = images.get(same(read_id(one, "image_id", where)))
        parts = PurePath(str(file_name)).parts[::-1] or ("",)
        # Folders before the name count as far as both have them.
        found = [
            place
            for place in by_name.get(parts[0], ())
            if all(a == b for a, b in zip(parts, PurePath(truth.paths[place]).parts[::-1]))
        ]
        if len(found) != 1:
            raise DataError(
                f"{where}: is for the image {file_name!r:.60}, which is not the name of one image "
                f"of {truth.source}. Predict in the images that are annotated."
            )
        class_name = names.get(same(read_id(one, "category_id", where)))
        if class_name not in number_of:
            raise DataError(
                f"{where}: is of class {class_name!r:.60}, which {truth.source} does not have (it "
                f"has {some(truth.class_names)}). Predict with --classes."
            )
        ids = {"image_id": truth.image_ids[found[0]], "category_id": number_of[class_name]}
        entries.append(one | ids)
    return entries


def _by_id(content: Mapping[str, Json], key: str, field: str, path: str | Path) -> dict[str, Json]:
    """The ``field`` of each object listed under ``key``."""
    return {
        same(read_id(one, "id", f"{path}: {key}[{i}]")): one.get(field)
        for i, one in enumerate(_listed(content, key, path))
    }


def _listed(content: Mapping[str, Json], key: str, path: str | Path) -> list[dict[str, Json]]:
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError(f"{path}: {key} is not a list of objects, as in COCO's format")
    return found


@dataclass(frozen=True)
class _Entry:
    """A detection in a file: a box, a mask in the file's format, or both."""

    where: str
    image: int
    label: int
    score: float
    mask_score: float | None
    box: Box | None
    mask: Json


def _result(image_id: Id, entries: Sequence[_Entry], size: Size) -> ImageResult:
    masks = None
    if entries[0].mask is not None:
        masks = RunLengths.read([e.mask for e in entries], [e.where for e in entries], size)
    boxes = [entry.box for entry in entries]
    if masks is not None and None in boxes:
        boxes = [box or around for box, around in zip(boxes, masks.boxes().tolist())]
    mask_scores = None
    if any(
        entry.mask_score is not None for entry in entries
    ):  # other masks use the scores of their boxes
        mask_scores = [e.score if e.mask_score is None else e.mask_score for e in entries]
    return ImageResult(
        image_id=image_id,
        boxes=np.array(boxes, np.float64),
        scores=np.array([entry.score for entry in entries], np.float64),
        labels=np.array([entry.label for entry in entries], np.int64),
        masks=masks,
        mask_scores=None if mask_scores is None else np.array(mask_scores, np.float64),
    )


def _read_entry(
    entry: Json,
    where: str,
    images: Mapping[str, int],
    categories: Mapping[str, int],
    truth: GroundTruth,
) -> _Entry:
    image_id = read_id(entry, "image_id", where)
    category_id = read_id(entry, "category_id", where)
    image, label = images.get(same(image_id)), categories.get(same(category_id))
    if image is None:
        raise DataError(
            f"{where}: is for image {image_id!r:.60}, which {truth.source} does not have. Evaluate "
            "detections with the annotations of the same images."
        )
    if label is None:
        raise DataError(
            f"{where}: has the category {category_id!r:.60}, which {truth.source} does not have "
            f"(it has {some(truth.category_ids)}). Use the ids of its categories, not the indices "
            "of classes."
        )
    mask = entry.get("segmentation")
    has_box, has_mask_score = (entry.get(key) is not None for key in ("bbox", "mask_score"))
    if not has_box and mask is None:
        raise DataError(
            f"{where}: has neither 'bbox' nor 'segmentation'. Add at least one of them."
        )
    box = read_box(entry, "bbox", where) if has_box else None
    if box is not None and min(box[2:]) < 0:
        raise DataError(f"{where}: its bbox {entry['bbox']!r:.60} has a negative width or height.")
    return _Entry(
        where=where,
        image=image,
        label=label,
        score=read_number(entry, "score", where),
        mask_score=read_number(entry, "mask_score", where) if has_mask_score else None,
        box=box,
        mask=mask,
    )
