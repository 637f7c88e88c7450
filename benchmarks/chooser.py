"""Seconds per image of the models to choose from, for ``docs/choose_model.md``.

python -m benchmarks.chooser --json benchmarks/results/chooser.json   # half an hour on two cores
python -m benchmarks.chooser --models yolox_s_8x8_300e_coco --images 5
python docs/generate.py                                               # then writes the page

A random image of COCO's most common size goes through the model's own test pipeline, alone, in
fp32 and in bf16. Weights are random. Since untrained models are sure of nothing, the minimum score
is set so that they find about 100 objects, as trained ones do: without any, NMS and mask heads
would have nothing to do. With ``--json``, models that the file has are not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import CPU, write_result
from benchmarks.side_by_side.task import WANTED, randomize
from detzoo import zoo
from detzoo.benchmark.inference import MADE_SIZE, InferenceOptions, Subject, measure_inference
from detzoo.benchmark.machine import describe_machine
from detzoo.detectors.base import Detector
from detzoo.devices import Precision
from detzoo.experiment import Experiment
from detzoo.inference.predictor import Predictor
from detzoo.postprocess.matrix_nms import MaskSelect
from detzoo.postprocess.select import Select
from detzoo.zoo_list import CHOICE

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", help="default: all of the page")
    parser.add_argument("--images", type=int, default=10, help="in each precision, for the median")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.models or [name for group in CHOICE.values() for name in group]
    rows = [] if options.json is None else earlier_rows(options.json)
    for name in names:
        if any(row["model"] == name for row in rows):
            print(f"{name}: is there already")
            continue
        rows += measure(name, options.images)
        if options.json is not None:
            write_result(options.json, "chooser", rows)


def earlier_rows(path: Path) -> list[dict[str, Any]]:
    """Those of ``path``, which must be of this machine and these versions; none if it is absent."""
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    now = describe_machine(CPU)
    changed = [key for key in now if key != "date" and content["machine"].get(key) != now[key]]
    if changed:
        raise SystemExit(f"{path}: was measured with another {', '.join(changed)}; remove it")
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def measure(name: str, images: int) -> list[dict[str, Any]]:
    """A row for each precision."""
    experiment = zoo.find(name).experiment
    torch.manual_seed(0)
    model = experiment.build_model().eval()
    randomize(model)
    set_min_score(experiment, model)
    subject = Subject(name, model, experiment.data.test_transforms)
    rows = []
    for precision in PRECISIONS:
        options = InferenceOptions(num_images=images, warmup=2, precision=precision)
        (found,) = measure_inference([subject], (), options)
        seconds, objects = found.seconds.to_json(), found.detections
        rows.append({"model": name, "precision": precision, "seconds": seconds, "objects": objects})
        print(f"{name} {precision}: {found.seconds.median:.3f} s, {objects:.0f} objects")
    return rows


def set_min_score(experiment: Experiment, model: Detector) -> None:
    """Changes the minimum score of ``model`` so that it finds about ``WANTED`` objects.

    Models that have none take so many anyway, or all of their queries.
    """
    head = selecting_head(model)
    if head is None:
        return

    def select_from(score: float) -> None:
        select = head.config.select
        most = min(select.max_detections or WANTED, WANTED)
        select = dataclasses.replace(select, min_score=score, max_detections=most)
        head.config = dataclasses.replace(head.config, select=select)

    select_from(0.0)
    image = np.random.default_rng(0).integers(0, 256, (*MADE_SIZE, 3), np.uint8)
    (found,) = Predictor(experiment, model, fused=False)(image, min_score=0.0)
    select_from(math.nextafter(float(found.scores.min()), 0.0) if len(found) else 0.0)


def selecting_head(model: Detector) -> Any:
    """The head that selects what is detected, which one for proposals does not; None: none does."""
    heads = (getattr(model, name, None) for name in ("roi_head", "bbox_head", "mask_head"))
    for head in heads:
        if isinstance(getattr(getattr(head, "config", None), "select", None), (Select, MaskSelect)):
            return head
    return None


if __name__ == "__main__":
    main()
