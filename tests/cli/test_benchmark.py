from __future__ import annotations

import json
from pathlib import Path

import torch

from detzoo.benchmark.loading import measure_steps
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import from_dict
from detzoo.data.locate import open_dataset
from tests.cli.conftest import Run, assert_refused


def test_every_step_of_the_pipeline_is_timed(scenes: Path, tiny: Path) -> None:
    experiment = from_dict(json.loads(tiny.read_text()), config_classes())
    steps = measure_steps(open_dataset(scenes, "train"), experiment, 3)
    names = [type(transform).__name__ for transform in experiment.data.train_transforms]
    assert list(steps) == ["read", *names, "collate"]
    assert all(spread.count == 3 for spread in steps.values())


def test_inference_command(detzoo: Run, retinanet: Path) -> None:
    outcome = detzoo(
        "benchmark",
        "inference",
        retinanet,
        "--num-images",
        4,
        "--warmup",
        1,
        "--json",
        "x.json",
        "--log-interval",
        2,
    )
    assert outcome.code == 0, outcome.error
    assert outcome.out.count(" img/s\n") == 2
    content = json.loads(Path("x.json").read_text())
    assert content["models"][0]["seconds"]["count"] == 4
    assert content["machine"]["torch"] == torch.__version__
    assert content["settings"]["fuse_conv_bn"] is True


def test_training_command(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    outcome = detzoo(
        "benchmark",
        "training",
        retinanet,
        "--data",
        scenes,
        "--steps",
        4,
        "--skip",
        2,
        "--workers",
        0,
        "--json",
        "x.json",
    )
    assert outcome.code == 0, outcome.error
    for phase in ("data", "forward", "backward", "optimizer"):
        assert phase in outcome.out
    content = json.loads(Path("x.json").read_text())
    assert content["models"][0]["seconds"]["count"] == 2
    assert_refused(
        detzoo("benchmark", "training", retinanet, "--data", scenes, "--steps", 4, "--skip", 4),
        "--skip 4",
    )


def test_loader_command(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    outcome = detzoo(
        "benchmark",
        "loader",
        retinanet,
        "--data",
        scenes,
        "--num-images",
        2,
        "--batches",
        2,
        "--model-steps",
        1,
        "--workers",
        0,
    )
    assert outcome.code == 0, outcome.error
    assert "whole loader with 0 workers" in outcome.out
    assert "the bottleneck is the" in outcome.out


def test_complexity_command(detzoo: Run, retinanet: Path) -> None:
    outcome = detzoo("complexity", retinanet, "--size", 64, 64)
    assert outcome.code == 0, outcome.error
    for part in ("backbone", "neck", "bbox_head", "all"):
        assert part in outcome.out
    assert_refused(detzoo("complexity", retinanet, "--size", 8, 64), "--size 8 64")


def test_what_cannot_be_measured(detzoo: Run, retinanet: Path) -> None:
    assert_refused(
        detzoo("benchmark", "inference", retinanet, "--precision", "fp8"), "--precision fp8"
    )
    assert_refused(
        detzoo("benchmark", "inference", retinanet, retinanet), "contains the same model twice"
    )
