"""Training with backbone and neck compiled."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo.detectors.base import Detector
from detzoo.structures import ImageBatch, ImageInfo, Targets
from detzoo.train.compiled import CompiledTraining
from detzoo.train.loop import train
from detzoo.zoo.parts import FROZEN
from tests.detectors.zoo_models import build as build_narrow
from tests.detectors.zoo_models import one_per_head
from tests.train.tiny import BACKBONE, build, make_data, tiny_experiment, tiny_two_stage

# With proposals, with batch norm in training, with queries.
NAMES = (
    "retinanet_mobilenetv2_fpn",
    "yolox_nano_8x8_300e_coco",
    "deformable_detr_r50_16x2_50e_coco",
)


class Counting:
    """A compiler that leaves programs as they are, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, module: torch.fx.GraphModule, _: Any) -> Any:
        self.count += 1
        return module.forward


@pytest.fixture(autouse=True)
def nothing_is_compiled_yet() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def batch(height: int, width: int) -> tuple[ImageBatch, list[Targets]]:
    """Two images, the second one smaller."""
    generator = torch.Generator().manual_seed(height + width)
    infos = (ImageInfo.of((height, width)), ImageInfo.of((height - 9, width - 5)))
    boxes = torch.tensor([[10.0, 10.0, 60.0, 70.0], [20.0, 5.0, 90.0, 50.0]])
    targets = [Targets.of(boxes, torch.tensor([0, 1])) for _ in infos]
    return ImageBatch(torch.rand((2, 3, height, width), generator=generator), infos), targets


def frozen() -> Detector:
    """A detector whose batch norms are not trained."""
    backbone = dataclasses.replace(BACKBONE, norm=FROZEN)
    model = dataclasses.replace(tiny_two_stage(), backbone=backbone)
    return build(tiny_experiment(model=model)).train()


def test_batch_norms_do_not_see_padding() -> None:
    """Every size is a program, and its statistics are those of the images."""
    compiler = Counting()
    models = [build(tiny_experiment()).train() for _ in range(2)]
    step = CompiledTraining(models[0], compiler)
    for height in (96, 100, 96, 100):
        for runs in (step, models[1]):
            runs(*batch(height, 130))
    assert compiler.count == 2
    torch.testing.assert_close(*(model.state_dict() for model in models))


def test_no_batch_is_compiled_again() -> None:
    """Ten sizes, wide and tall, are two programs."""
    compiler = Counting()
    step = CompiledTraining(frozen(), compiler)
    counts = []
    for number in range(10):
        sides = (100 + number, 200 + 4 * number)
        step(*batch(*(sides if number % 2 else sides[::-1]))).total().backward()
        counts.append(compiler.count)
    assert counts == [1, *[2] * 9]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_losses(name: str) -> None:
    """Of inputs that are not padded further: also their gradients."""
    (entry,) = (e for e in one_per_head() if e.name == name)
    torch.manual_seed(0)
    model = build_narrow(entry)
    images, targets = batch(128, 256)
    seen = []
    for runs in (CompiledTraining(model, Counting()), model):
        torch.manual_seed(0)
        losses = runs(images, targets)
        losses.total().backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        seen.append((losses.logged(), gradients))
        model.zero_grad(set_to_none=True)
    torch.testing.assert_close(seen[0], seen[1])


def test_maps_are_those_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads do not see what is padded for the compiler."""
    model = frozen()
    shapes = []
    losses = model.losses

    def note(features: tuple[torch.Tensor, ...], *rest: Any) -> Any:
        shapes.append([x.shape for x in features])
        return losses(features, *rest)

    monkeypatch.setattr(model, "losses", note)
    for runs in (model, CompiledTraining(model, Counting())):
        runs(*batch(96, 160))
    assert shapes[0] == shapes[1]


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = Counting()
    monkeypatch.setattr(
        "detzoo.train.trainer.CompiledTraining",
        functools.partial(CompiledTraining, backend=compiler),
    )
    data, experiment = make_data(tmp_path / "data"), tiny_experiment()
    model: Detector = build(experiment)
    result = train(experiment, model, data, data, tmp_path / "run", compiled=True, quiet=True)
    assert result.iterations == 8
    assert compiler.count == 1
    assert (tmp_path / "run" / "best.pt").is_file()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_run_with_torchs_compiler(tmp_path: Path) -> None:
    data, experiment = make_data(tmp_path / "data"), tiny_experiment(ema=None)
    trained = []
    for compiled in (False, True):
        model = build(experiment)
        train(
            experiment, model, data, None, tmp_path / str(compiled), compiled=compiled, quiet=True
        )
        trained.append(model.state_dict())
    torch.testing.assert_close(trained[0], trained[1], rtol=1e-2, atol=1e-2)
