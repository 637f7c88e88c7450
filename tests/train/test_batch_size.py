from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.train import batch_size
from detzoo.train.batch_size import largest_batch, repeated, step_memory, with_largest_batch
from detzoo.train.distributed import Processes
from detzoo.train.trainer import Trainer
from tests.train.tiny import build, make_data, tiny_experiment

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("memory", "most", "wanted"), [(1000, 100, 4), (1250, 100, 8), (10**6, 100, 64), (1000, 3, 2)]
)
def test_the_largest_power_of_two_is_taken(memory: int, most: int, wanted: int) -> None:
    """A step takes 100 for each image, and 200 beyond it."""
    tried = []

    def step(size: int) -> int | None:
        tried.append(size)
        return None if size > 16 and memory < 10**6 else 200 + 100 * size

    assert largest_batch(step, memory, most, "cuda:0") == wanted
    assert tried == [2**k for k in range(len(tried))]


def test_running_out_of_memory_ends_the_search() -> None:
    assert largest_batch(lambda size: None if size > 4 else size, 1000, 64, "cuda:0") == 4
    with pytest.raises(
        ConfigError, match=r"one image takes more than 80% of the 2\.0 GB .* cuda:1"
    ):
        largest_batch(lambda size: None, 2 * 10**9, 64, "cuda:1")


def test_a_cpu_is_refused(tmp_path: Path) -> None:
    data, experiment = make_data(tmp_path / "data"), tiny_experiment()
    with pytest.raises(ConfigError, match=r"--batch-size auto: .* on cpu,.* this recipe has 2"):
        with_largest_batch(experiment, build(experiment), data, "cpu")


def test_every_step_is_a_whole_one_of_the_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    step = Trainer.step

    def look(self: Trainer, batches: list[torch.Tensor]) -> None:
        step(self, batches)  # type: ignore[arg-type]
        seen.append((batches[0].pixels.shape, self.model is not model))  # type: ignore[attr-defined]

    monkeypatch.setattr(Trainer, "step", look)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 7)
    resized: list[torch.Size] = []
    data, experiment = make_data(tmp_path / "data"), tiny_experiment()
    settings = dataclasses.replace(
        experiment.data, batch_resize=RandomBatchResize(multiples=(1, 3))
    )
    experiment = dataclasses.replace(experiment, data=settings)
    model = build(experiment)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward = type(model).forward

    def note(self: torch.nn.Module, images: object, targets: object = None) -> object:
        resized.append(images.pixels.shape)  # type: ignore[attr-defined]
        return forward(self, images, targets)  # type: ignore[arg-type]

    monkeypatch.setattr(type(model), "forward", note)
    measured = step_memory(experiment, model, data, CPU)
    assert [measured(size) for size in (1, 4)] == [7, 7]
    assert seen == [((1, 64, 64, 3), True), ((4, 64, 64, 3), True)]
    assert resized == [(1, 3, 96, 96), (4, 3, 96, 96)]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def run_out(self: Trainer, batches: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "step", run_out)
    assert measured(1) is None


def test_the_batch_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that is not there: its memory and its steps are replaced."""
    group = Processes(0, 1, CPU)
    monkeypatch.setattr(batch_size, "join_processes", lambda device: _Group(group))
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 1000)
    monkeypatch.setattr(batch_size, "step_memory", lambda *_, **__: lambda size: 100 * size)
    experiment = tiny_experiment()
    model = build(experiment)
    few, many = make_data(tmp_path / "few", 30), make_data(tmp_path / "many", 160)
    found, note = with_largest_batch(experiment, model, many, "cuda")
    assert found.data.images_per_device == 8
    assert note.startswith("batch size auto: 8 images; twice as many do not fit into 80%")
    found, note = with_largest_batch(experiment, model, few, "cuda")
    assert found.data.images_per_device == 2
    assert note == (
        "batch size auto: 2 images; more would leave fewer than 10 steps in an epoch of 30 images"
    )


class _Group:
    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def __enter__(self) -> Processes:
        return self.processes

    def __exit__(self, *_: object) -> None:
        pass


def test_a_batch_of_one_image(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", 1)
    experiment = tiny_experiment(
        data=dataclasses.replace(tiny_experiment().data, images_per_device=1)
    )
    loader = batch_size.open_loader(experiment, data, Processes(0, 1, CPU))
    (image,) = loader.some_batches(4)
    three = repeated(image, 3)
    assert three.pixels.shape == (3, *image.pixels.shape[1:])
    assert (len(three.infos), len(three.targets)) == (3, 3)
    assert torch.equal(three.pixels[2], image.pixels[0])
