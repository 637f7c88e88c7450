"""Recall of listed masks: those of Occluded and Separated COCO (https://arxiv.org/abs/2210.10046)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faster_coco_eval.core import mask as rle

from detzoo.errors import DataError
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.results import ImageResult
from detzoo.evaluate.run_lengths import RunLengths
from detzoo.files import check_regular
from detzoo.weights.pickles import load_pickle


@dataclass(frozen=True)
class ListedMask:
    """An object to be found: its image's file name, its class, and its mask as COCO run lengths."""

    image: str
    class_name: str
    mask: Mapping[str, Any]


def read_listed_masks(path: Path) -> list[ListedMask]:
    """Reads ``occluded_coco.pkl`` or ``separated_coco.pkl``, without executing anything.

    Each is a list of (file name, class, number, box, run lengths). Raises :class:`DataError`.
    """
    check_regular(path)
    try:
        content = load_pickle(path)
    # As for weight files, damage causes errors of all types.
    except Exception as error:
        raise DataError(f"{path}: is no file of listed masks ({error}).") from None
    if not isinstance(content, list) or not content:
        raise DataError(
            f"{path}: is no list of masks. Give occluded_coco.pkl or separated_coco.pkl."
        )
    return [_read(item, f"{path}: entry {k}") for k, item in enumerate(content)]


def _read(item: Any, where: str) -> ListedMask:
    if isinstance(item, list | tuple) and len(item) == 5:
        image, class_name, _, _, mask = item
        if isinstance(image, str) and isinstance(class_name, str) and isinstance(mask, dict):
            size = mask.get("size")
            counts = mask.get("counts")
            text = counts.decode("latin1") if isinstance(counts, bytes) else counts
            if isinstance(size, list | tuple) and [*map(type, size)] == [int, int]:
                code = {"size": [*size], "counts": text}
                (right,) = RunLengths.read([code], [where], (size[0], size[1])).to_coco()
                return ListedMask(image, class_name, right)
    raise DataError(f"{where}: is not (file name, class, number, box, mask as run lengths).")


def recall_of_masks(
    listed: Sequence[ListedMask],
    results: Sequence[ImageResult],
    truth: GroundTruth,
    class_names: Sequence[str],
    *,
    min_score: float = 0.3,
    min_iou: float = 0.75,
) -> float:
    """The part of ``listed`` that a detection of its class finds.

    It counts if it scores ``min_score`` or more, and its mask overlaps by ``min_iou`` or more; one
    detection may find several. ``class_names`` are those of the labels of ``results``. Raises
    :class:`DataError` for an image that ``truth`` does not have, and for results without masks.
    """
    if not any(result.masks is not None for result in results):
        raise DataError("the detections have no masks, whose recall is asked for")
    image_of = {Path(path).name: image for path, image in zip(truth.paths, truth.image_ids)}
    result_of = {result.image_id: result for result in results}
    by_image: dict[str, list[ListedMask]] = defaultdict(list)
    for one in listed:
        by_image[Path(one.image).name].append(one)
    found = 0
    for image, wanted in by_image.items():
        if image not in image_of:
            raise DataError(f"{truth.source}: has no image {image}, in which a mask is listed.")
        result = result_of.get(image_of[image])
        if result is None or result.masks is None:
            continue
        masks = result.masks.to_coco()
        for one in wanted:
            own = [
                mask
                for mask, label, score in zip(masks, result.labels.tolist(), result.scores.tolist())
                if score >= min_score and class_names[label] == one.class_name
            ]
            if own and rle.iou(own, [one.mask], [0]).max() >= min_iou:
                found += 1
    return found / len(listed)
