"""What there is to know of a GPU, in parts of at most three minutes each.

    python -m benchmarks.gpu PART [PART ...] [--device cuda] [--quick] [--out DIR]

``benchmarks/gpu.sh`` runs them all. Each part writes ``gpu-PART.json``; those of tests are runs of
``pytest -m gpu``. With ``--device cpu --quick`` they run on any machine, to see that they work.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from benchmarks import rates
from benchmarks.gpu_ways import Row, Setting, graphs
from benchmarks.record import write_result
from benchmarks.side_by_side import task
from benchmarks.side_by_side.measure import compare_model
from detzoo import zoo
from detzoo.benchmark.loading import measure_loader
from detzoo.benchmark.training import measure_training
from detzoo.data.locate import open_dataset
from detzoo.devices import resolve_device
from detzoo.quickstart.model import experiment as small_experiment
from detzoo.quickstart.scenes import CLASSES, write_scenes
from detzoo.train.data import open_loader, usable_data
from detzoo.train.distributed import Processes
from tests.detectors.test_edge_cases import TARGETS
from tests.detectors.zoo_models import build, images, one_per_head, with_maps
from tests.gpu.test_families import there
from tests.gpu.waits import noting_waits

ROOT = Path(__file__).parents[1]
OTHERS_HAVE = ("faster_rcnn", "mask_rcnn", "retinanet", "fcos")
# Of every kind one, for machines without a GPU.
QUICK = "retinanet_mobilenetv2_fpn or detr_r50_8x2 or mask_rcnn_mobilenetv2 or queryinst"


# ---------------------------------------------------------------------------------- tests


class _Outcomes:
    """What pytest says of each test."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed or report.skipped:
            name = report.nodeid.split("::", 1)[1]
            reason = str(report.longrepr).strip().splitlines()[-1] if report.failed else None
            self.rows.append(
                {
                    "test": name,
                    "outcome": report.outcome,
                    "seconds": report.duration,
                    "reason": reason,
                }
            )


def run_tests(what: str, setting: Setting) -> list[Row]:
    """The outcomes of the tests in ``tests/gpu/WHAT``."""
    outcomes = _Outcomes()
    given = ["-m", "gpu", "-q", "--tb=short", "-p", "no:cacheprovider", f"tests/gpu/{what}"]
    if setting.quick and "families" in what:
        given += ["-k", QUICK]
    if setting.device.type == "cpu":
        os.environ["DETZOO_GPU_TESTS"] = "cpu"
    pytest.main(given, plugins=[outcomes])
    return outcomes.rows


# --------------------------------------------------------------------------------- figures


def waits(setting: Setting) -> list[Row]:
    """Where the host waits in a training step of each head, and how often."""
    rows = []
    for entry in one_per_head():
        if setting.quick and entry.name not in ("mask_rcnn_mobilenetv2_fpn",):
            continue
        model = build(entry).to(setting.device)
        batch = there(images(), setting.device)
        targets = [target.to(setting.device) for target in with_maps(TARGETS["ordinary"])]
        model(batch, targets)  # makes constants
        with noting_waits(setting.device) as places:
            model(batch, targets).total().backward()
        rows.append({"name": entry.name, "waits": len(places), "places": Counter(places)})
    return rows


def inference(setting: Setting, *, batch: int, few: tuple[str, ...]) -> list[Row]:
    """Whole images to boxes and masks, beside torchvision; of a ``few`` models, if quick."""
    return _beside_torchvision(setting, "inference", batch, few)


def training(setting: Setting) -> list[Row]:
    """A training step, beside torchvision."""
    return _beside_torchvision(setting, "training", 16, ("mask_rcnn", "fcos"))


def _beside_torchvision(setting: Setting, job: str, batch: int, few: tuple[str, ...]) -> list[Row]:
    rows: list[Row] = []
    count = min(batch, 2) if setting.quick else batch
    precisions = ("fp32",) if setting.quick else ("fp32", "bf16")
    with _small() if setting.quick else contextlib.nullcontext():
        for name in few if setting.quick else OTHERS_HAVE:
            given = functools.partial(setting.task, name, count, count)
            rows += compare_model(given, (job,), precisions, min(setting.rounds, 5))
    return [{**row, "batch": count} for row in rows]


def loader(setting: Setting) -> list[Row]:
    """Images per second that are loaded, and that are trained on."""
    name = "retinanet_r50_fpn_1x_coco"
    experiment = zoo.find(name).experiment
    images, workers, count, side, batches = 16, os.cpu_count() or 1, 256, 640, 40
    if setting.quick:
        name, experiment = "quickstart", small_experiment(CLASSES, epochs=1, size=96)
        images, workers, count, side, batches = 2, 0, 8, 96, 2
    experiment = dataclasses.replace(
        experiment,
        class_names=CLASSES,
        precision="bf16",
        data=dataclasses.replace(experiment.data, images_per_device=images, workers=workers),
    )
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder), "train", count, size=side)
        data = open_dataset(Path(folder), "train")
        processes = Processes(0, 1, setting.device)
        loaded = open_loader(experiment, usable_data(experiment, data), processes)
        rate = measure_loader(loaded, batches)
        loaded.close()
        model = experiment.build_model()
        first, last = (1, 2) if setting.quick else (10, 30)
        figures = measure_training(name, experiment, model, data, processes, first=first, last=last)
    return [
        {
            "model": name,
            "loaded_images_per_second": rate,
            "trained_images_per_second": figures.images_per_second,
            "phases": figures.phases,
            "memory_gb": figures.memory_gb,
        }
    ]


@contextlib.contextmanager
def _small() -> Iterator[None]:
    """Rates of small products, and few detections: neither takes time."""
    products = mock.patch.multiple(rates, MATRIX=128, CONVOLUTIONS=((1, 8, 8, 16, 16, 3),))
    with products, mock.patch.object(task, "WANTED", 5):
        yield


PARTS: dict[str, Callable[[Setting], list[Row]]] = {
    "losses": functools.partial(run_tests, "test_families.py::test_training"),
    "static": functools.partial(run_tests, "test_families.py::test_the_static_form"),
    "detections": functools.partial(run_tests, "test_families.py::test_detections"),
    "runs": functools.partial(run_tests, "test_runs.py"),
    "waits": waits,
    "inference_1": functools.partial(inference, batch=1, few=("mask_rcnn", "fcos")),
    "inference_16": functools.partial(inference, batch=16, few=("faster_rcnn", "retinanet")),
    "training": training,
    "graphs": graphs,
    "loader": loader,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--device")
    parser.add_argument("--quick", action="store_true", help="small, to see that all parts work")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    setting = Setting(resolve_device(options.device), options.quick)
    failed = False
    for part in options.parts:
        started = time.perf_counter()
        rows = PARTS[part](setting)
        failed |= not rows or any(_is_fault(row) for row in rows)
        write_result(options.out / f"gpu-{part}.json", f"gpu {part}", rows, setting.device)
        print(f"{part}: {len(rows)} rows in {time.perf_counter() - started:.0f} s", flush=True)
    return int(failed)


def _is_fault(row: Row) -> bool:
    return row.get("outcome") == "failed"


if __name__ == "__main__":
    sys.exit(main())
