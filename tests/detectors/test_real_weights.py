"""Trained weights on photographs, through our own reading and resizing."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache

import numpy as np
import pytest

import detzoo
from detzoo.data.loader import build_loader
from detzoo.devices import Precision
from detzoo.evaluate import CocoEvaluator, GroundTruth, ImageResult, detect
from tests.parity.compare import pairwise_iou
from tests.shared import shared

NAME = "yolox_nano_8x8_300e_coco"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """All threads there are: the model has its full size."""


@cache
def found(precision: Precision) -> tuple[GroundTruth, list[ImageResult]]:
    detector = detzoo.load(NAME, shared("weights", f"{NAME}.pth"), "cpu")
    dataset = detzoo.open_dataset(shared("data", "coco_mini"), "val")
    loader = build_loader(
        dataset, detector.transforms, images_per_device=1, workers=0, training=False
    )
    return GroundTruth.of(dataset), detect(detector.model, loader, precision=precision)


def average_precision(precision: Precision) -> tuple[float, float]:
    truth, results = found(precision)
    metrics = CocoEvaluator(truth, truth.class_names).score(results).values
    return metrics["bbox/AP"], metrics["bbox/AP50"]


def test_average_precision_is_that_of_mmdetection() -> None:
    assert average_precision("fp32") == pytest.approx((0.2767, 0.4378), abs=1e-3)


@pytest.mark.slow
@pytest.mark.ci
def test_bf16_is_as_precise() -> None:
    assert average_precision("bf16")[0] == pytest.approx(average_precision("fp32")[0], abs=2e-3)


def test_every_image_has_the_detections_of_mmdetection() -> None:
    """The same class, an IoU over 0.95 and a score within 0.01, in both directions."""
    recorded = json.loads(shared("parity", "yolox_nano_coco_mini_val.json").read_text())
    theirs = defaultdict(list)
    for image, label, *box, score in recorded["rows"]:
        theirs[image].append((label, score, *box))
    ours = {result.image_id: rows(result) for result in found("fp32")[1]}
    assert set(theirs) <= set(ours)

    def partners(ones: np.ndarray, others: np.ndarray) -> int:
        """How many of ``ones`` that clearly pass the recorded score are among ``others``."""
        same = ones[:, None, 0] == others[None, :, 0]
        near = np.abs(ones[:, None, 1] - others[None, :, 1]) < 0.01
        fits = same & near & (pairwise_iou(ones[:, 2:], others[:, 2:]) > 0.95)
        return int(fits.any(1).sum())

    least = recorded["min_score"]
    matched = sum(partners(np.array(rows), ours[image]) for image, rows in theirs.items())
    assert matched >= 0.99 * len(recorded["rows"])

    sure = {image: rows[rows[:, 1] > least + 0.01] for image, rows in ours.items()}
    matched = sum(
        partners(rows, np.array(theirs[image])) for image, rows in sure.items() if theirs[image]
    )
    assert matched >= 0.99 * sum(map(len, sure.values()))


def rows(result: ImageResult) -> np.ndarray:
    """(N, 6) label, score, x1, y1, x2, y2."""
    corners = result.to_proposals()[:, :4]
    return np.concatenate([result.labels[:, None], result.scores[:, None], corners], 1)
