"""The official COCO tool, as the oracle."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
NAMES += ["AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def run(
    data: dict[str, Any], results: list[dict[str, Any]], kind: str, **params: Any
) -> tuple[COCOeval, COCO]:
    """The official evaluation, accumulated; ``params`` as the tool names them."""
    results = copy.deepcopy(results)
    if kind == "segm":
        for entry in results:
            # With a box, the official tool takes its area for that of the mask.
            entry.pop("bbox", None)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(data)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        for name, value in params.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation, truth


def twelve(data: dict[str, Any], results: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """The twelve numbers, not a number instead of -1."""
    evaluation, _ = run(data, results, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    stats = np.where(evaluation.stats == -1, np.nan, evaluation.stats)
    return {f"{kind}/{name}": value for name, value in zip(NAMES, stats)}
