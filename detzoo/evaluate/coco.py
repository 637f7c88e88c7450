"""Average precision and recall of boxes and masks as computed by the COCO tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as rle

from detzoo.errors import DataError
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult
from detzoo.structures.segmentation import read_segmentation

Kind = Literal["bbox", "segm"]
# How mask metrics treat objects without a mask, see :class:`CocoEvaluator`.
MissingMasks = Literal["ignore", "empty"]

# The library needs a Python object per detection, and one per pair of image and class, so classes
# are evaluated in groups with about this many detections and at most this many classes.
DETECTIONS_AT_ONCE = 100_000
CLASSES_AT_ONCE = 500


@dataclass(frozen=True)
class AreaRange:
    """Objects with areas from ``low`` to ``high`` square pixels; their AP is called ``AP`` +
    ``name``."""

    name: str
    low: float
    high: float


EVERY_AREA = AreaRange("", 0, 1e10)
COCO_AREAS = (
    AreaRange("s", 0, 32**2),
    AreaRange("m", 32**2, 96**2),
    AreaRange("l", 96**2, 1e10),
)


class CocoEvaluator(Evaluator):
    """AP over IoU .50:.95, at .50 and .75, and by area; AR by number of detections and by area.

    Classes are matched by name. Classes known to only one side are not scored: ``left_out`` lists
    those of the ground truth that are missing from ``class_names``, the detector's. A class without
    ground truth, or an area without objects, is NaN and excluded from averages. AP is computed for
    the largest of ``max_detections`` per image and class. Like the official tools, this counts
    annotations marked ``ignore`` (only ``iscrowd`` excuses detections), and for masks uses the area
    of the detected mask rather than its box.

    Objects without a mask are ignored by mask metrics: they need not be detected, and detections
    whose boxes overlap theirs are neither true nor false positives. With ``missing_masks`` "empty",
    they have empty masks, which no detection can match, as in pycocotools. If all objects have
    masks, there is no difference.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        class_names: Sequence[str],
        *,
        kinds: Sequence[Kind] = ("bbox",),
        max_detections: Sequence[int] = (1, 10, 100),
        areas: Sequence[AreaRange] = COCO_AREAS,
        missing_masks: MissingMasks = "ignore",
    ) -> None:
        self.ground_truth = ground_truth
        self.kinds = tuple(kinds)
        self.max_detections = tuple(sorted(max_detections))
        self.areas = (EVERY_AREA, *areas)
        self.labels_of_detector = ground_truth.labels_of(class_names)
        self.scored = ground_truth.shared_labels(class_names)
        known = set(class_names)
        self.left_out = tuple(name for name in ground_truth.class_names if name not in known)
        self.truth = {
            kind: Table.of_ground_truth(ground_truth, kind, missing_masks) for kind in self.kinds
        }

    def score(self, results: Sequence[ImageResult]) -> Metrics:
        return Metrics.merge([self._score(kind, results) for kind in self.kinds])

    def _score(self, kind: Kind, results: Sequence[ImageResult]) -> Metrics:
        found = Table.of_results(results, self.ground_truth, self.labels_of_detector, kind)
        precision, recall = precision_and_recall(
            kind,
            self.truth[kind],
            found,
            self.scored,
            max_detections=self.max_detections,
            areas=self.areas,
        )
        names = [self.ground_truth.class_names[label] for label in self.scored]
        return summarize(kind, precision, recall, names, self.max_detections, self.areas)


def precision_and_recall(
    kind: Kind,
    truth: Table,
    found: Table,
    labels: Sequence[int],
    *,
    max_detections: Sequence[int],
    areas: Sequence[AreaRange],
) -> tuple[np.ndarray, np.ndarray]:
    """Computes precision (T, R, C, A) for the most detections and recall (T, C, A, M) by threshold,
    recall level, class in ``labels``, area and number of detections; -1 where there is no ground
    truth.
    """
    num_thresholds, num_recalls = 10, 101
    shape = len(labels), len(areas)
    precision = np.full((num_thresholds, num_recalls, *shape), -1.0)
    recall = np.full((num_thresholds, *shape, len(max_detections)), -1.0)
    place = {label: c for c, label in enumerate(labels)}
    annotated = set(truth.label.tolist())
    for group in _groups([label for label in labels if label in annotated], found.label):
        objects, detections = truth.select(group), found.select(group)
        evaluation = _Evaluation(objects, detections, kind, lvis_style=truth.is_federated)
        shown = {one["image_id"] for data in (objects, detections) for one in data.anns.values()}
        evaluation.params.imgIds = sorted(shown)
        evaluation.params.catIds = [label + 1 for label in group]
        evaluation.params.maxDets = list(max_detections)
        evaluation.params.areaRng = [[area.low, area.high] for area in areas]
        evaluation.params.areaRngLbl = [area.name for area in areas]
        evaluation.evaluate()
        evaluation.accumulate()
        columns = [place[label] for label in group]
        precision[:, :, columns] = evaluation.eval["precision"][..., -1]
        recall[:, columns] = evaluation.eval["recall"]
    return precision, recall


class _Evaluation(COCOeval_faster):
    """COCO evaluation that compares objects ignored for lack of a mask by their boxes."""

    def computeIoU(self, imgId: int, catId: int) -> Any:
        overlaps = super().computeIoU(imgId, catId)
        objects, found = (
            data.get_instances([imgId], [catId], True)[0][0]
            for data in (self.gt_dataset, self.dt_dataset)
        )
        columns = [k for k, one in enumerate(objects) if "crowd_box" in one]
        if columns and len(found):
            # The same order and number as the library compares.
            order = np.argsort([-one["score"] for one in found], kind="stable")
            boxes = [found[i]["bbox"] for i in order[: self.params.maxDets[-1]]]
            own = [objects[k]["bbox"] for k in columns]
            overlaps[:, columns] = rle.iou(boxes, own, [objects[k]["crowd_box"] for k in columns])
        return overlaps


def _groups(labels: Sequence[int], found_labels: np.ndarray) -> Iterator[list[int]]:
    """Groups labels by ``CLASSES_AT_ONCE``, with about ``DETECTIONS_AT_ONCE`` detections each."""
    known = found_labels[found_labels >= 0]
    counts = np.bincount(known, minlength=max(labels, default=0) + 1).tolist()
    group: list[int] = []
    detections = 0
    for label in labels:
        is_full = detections + counts[label] > DETECTIONS_AT_ONCE or len(group) == CLASSES_AT_ONCE
        if group and is_full:
            yield group
            group, detections = [], 0
        group.append(label)
        detections += counts[label]
    if group:
        yield group


@dataclass(frozen=True)
class Table:
    """The boxes or masks of all images, ordered by image and, within an image, as given.

    ``label`` is that of the ground truth, -1 for classes that it does not have. Ids are positions
    plus one, since the library uses 0 for "not matched". ``frequency`` is given for federated
    annotations (LVIS), whose ``images`` also list the classes that were looked for.
    """

    images: list[dict[str, Any]]
    image: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    score: np.ndarray
    is_crowd: np.ndarray
    segmentations: list[Any]
    # (N,) whether objects are ignored for lack of a mask.
    is_unmasked: np.ndarray | Literal[False] = False
    frequency: tuple[str, ...] = ()
    # (N,) which rows to use.
    is_kept: np.ndarray | Literal[True] = True

    @property
    def is_federated(self) -> bool:
        return bool(self.frequency)

    @classmethod
    def of_ground_truth(
        cls, truth: GroundTruth, kind: Kind, missing_masks: MissingMasks = "ignore"
    ) -> Table:
        """Builds a table of the annotations; ``score`` is not used."""
        segmentations: list[Any] = [None] * len(truth)
        is_unmasked: np.ndarray | Literal[False] = False
        if kind == "segm":
            if len(truth) and not truth.has_masks:
                raise DataError(
                    f"{truth.source}: no object has a segmentation, which mask metrics need; add "
                    "it, or score boxes (--type bbox)"
                )
            segmentations, is_missing = _ground_truth_masks(truth)
            is_unmasked = is_missing & (missing_masks == "ignore")
        return cls(
            _images(truth),
            truth.image,
            truth.label,
            truth.boxes,
            truth.area,
            np.zeros(len(truth)),
            truth.is_crowd,
            segmentations,
            is_unmasked,
            () if truth.federation is None else truth.federation.frequency,
        )

    @classmethod
    def of_results(
        cls,
        results: Sequence[ImageResult],
        truth: GroundTruth,
        labels_of_detector: np.ndarray,
        kind: Kind,
    ) -> Table:
        positions = truth.image_indices([result.image_id for result in results])
        ordered = [results[i] for i in np.argsort(positions, kind="stable")]
        counts = [len(result) for result in ordered]
        labels = np.concatenate([np.zeros(0, np.int64), *(result.labels for result in ordered)])
        boxes = np.concatenate([np.zeros((0, 4)), *(result.boxes for result in ordered)])
        area = boxes[:, 2] * boxes[:, 3]
        segmentations: list[Any] = [None] * len(boxes)
        if kind == "segm":
            segmentations, area = _result_masks(ordered)
        return cls(
            _images(truth),
            np.repeat(np.sort(positions), counts),
            labels_of_detector[labels],
            boxes,
            area,
            np.concatenate([np.zeros(0), *(_scores(result, kind) for result in ordered)]),
            np.zeros(len(boxes), bool),
            segmentations,
        )

    def select(self, labels: Sequence[int]) -> COCO:
        """Converts the rows of some classes to the library's format."""
        kept = np.flatnonzero(np.isin(self.label, labels) & self.is_kept)
        columns = (
            range(1, len(kept) + 1),
            (self.image[kept] + 1).tolist(),
            (self.label[kept] + 1).tolist(),
            self.boxes[kept].tolist(),
            self.area[kept].tolist(),
            self.score[kept].tolist(),
            (self.is_crowd | self.is_unmasked)[kept].astype(int).tolist(),
        )
        keys = ("id", "image_id", "category_id", "bbox", "area", "score", "iscrowd")
        annotations: list[dict[str, Any]] = [dict(zip(keys, row)) for row in zip(*columns)]
        for annotation, i in zip(annotations, kept.tolist()):
            if self.segmentations[i] is not None:
                annotation["segmentation"] = self.segmentations[i]
            if self.is_unmasked is not False and self.is_unmasked[i]:
                annotation["crowd_box"] = int(self.is_crowd[i])
        data = COCO()
        data.dataset = {
            "images": self.images,
            "annotations": annotations,
            "categories": [self._category(label) for label in labels],
        }
        data.createIndex()
        return data

    def _category(self, label: int) -> dict[str, Any]:
        category = {"id": label + 1, "name": str(label)}
        return {**category, "frequency": self.frequency[label]} if self.frequency else category


def _images(truth: GroundTruth) -> list[dict[str, Any]]:
    sizes = truth.image_sizes.tolist()
    images: list[dict[str, Any]] = [
        {"id": i + 1, "height": h, "width": w} for i, (h, w) in enumerate(sizes)
    ]
    if truth.federation is not None:
        columns = zip(images, truth.federation.absent, truth.federation.partial)
        for image, absent, partial in columns:
            image["neg_category_ids"] = {label + 1 for label in absent}
            image["not_exhaustive_category_ids"] = {label + 1 for label in partial}
    return images


def _ground_truth_masks(truth: GroundTruth) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Run lengths, empty for objects without a mask, and (N,) which objects these are."""
    masks = []
    is_missing = np.zeros(len(truth), bool)
    sizes = truth.image_sizes.tolist()
    for i, (segmentation, image) in enumerate(zip(truth.segmentations, truth.image.tolist())):
        size = sizes[image][0], sizes[image][1]
        mask = read_segmentation(segmentation, size, f"{truth.source}: annotations[{i}]")
        is_missing[i] = mask.is_missing
        masks.append({"size": list(size), "counts": mask.encode(size).decode("ascii")})
    return masks, is_missing


def _scores(result: ImageResult, kind: Kind) -> np.ndarray:
    return result.scores_of_masks if kind == "segm" else result.scores


def _result_masks(results: Sequence[ImageResult]) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The masks and their areas (N,)."""
    masks: list[dict[str, Any]] = []
    areas = [np.zeros(0)]
    for result in results:
        if len(result) == 0:
            continue
        if result.masks is None:
            raise DataError(
                f"the detections in image {result.image_id!r} have no segmentation, which mask "
                "metrics need; evaluate boxes (--type bbox)"
            )
        masks += result.masks.to_coco()
        areas.append(result.masks.areas())
    return masks, np.concatenate(areas)


def summarize(
    kind: Kind,
    precision: np.ndarray,
    recall: np.ndarray,
    class_names: Sequence[str],
    max_detections: Sequence[int],
    areas: Sequence[AreaRange],
) -> Metrics:
    """Averages precision (T, R, C, A) and recall (T, C, A, M) where they are defined."""
    # Thresholds are .50, .55, ..., .95: the sixth is .75.
    tables = {
        "AP": precision[..., 0],
        "AP50": precision[:1, ..., 0],
        "AP75": precision[5:6, ..., 0],
    }
    for a, area in enumerate(areas[1:], 1):
        tables[f"AP{area.name}"] = precision[..., a]
    for m, number in enumerate(max_detections):
        tables[f"AR{number}"] = recall[:, None, :, 0, m]
    for a, area in enumerate(areas[1:], 1):
        tables[f"AR{area.name}"] = recall[:, None, :, a, -1]
    return Metrics(
        values={f"{kind}/{name}": average(table) for name, table in tables.items()},
        main_name=f"{kind}/AP",
        per_class={
            f"{kind}/{name}": {
                label: average(table[:, :, c]) for c, label in enumerate(class_names)
            }
            for name, table in tables.items()
        },
    )


def average(table: np.ndarray) -> float:
    defined = table[table > -1]
    return float(defined.mean()) if defined.size else float("nan")
