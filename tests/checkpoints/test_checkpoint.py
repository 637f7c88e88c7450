from __future__ import annotations

import json
import os
import pickle
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.checkpoint import Checkpoint, load_strictly, read, read_weights, save
from detzoo.config import to_dict
from detzoo.errors import CheckpointError
from detzoo.inference.loading import load
from tests.tiny import tiny_mask_rcnn, tiny_panoptic_fpn, tiny_retinanet


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Checkpoint]:
    torch.manual_seed(0)
    experiment = tiny_retinanet()
    made = Checkpoint(experiment, experiment.build_model().state_dict())
    path = tmp_path / "run" / "last.pt"
    save(path, made)
    return path, made


def fails(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_round_trip(saved: tuple[Path, Checkpoint]) -> None:
    path, made = saved
    found = read(path)
    assert found.experiment == made.experiment
    assert found.class_names == ("cat", "dog")
    assert found.ema is None
    assert found.training is None
    assert list(found.model) == list(made.model)
    assert all(torch.equal(found.model[name], made.model[name]) for name in made.model)


def test_averaged_weights_and_training_state(tmp_path: Path) -> None:
    experiment = tiny_retinanet()
    weights = experiment.build_model().state_dict()
    average = {name: value + 1 for name, value in weights.items()}
    training = {"iteration": 7, "optimizer": {"state": {0: torch.ones(2)}, "lr": 0.1}, "best": None}
    save(tmp_path / "a.pt", Checkpoint(experiment, weights, average, training))
    found = read(tmp_path / "a.pt")
    name = next(iter(weights))
    assert torch.equal(found.to_detect.tensors[name], average[name])
    assert found.training is not None
    assert found.training["iteration"] == 7
    assert torch.equal(found.training["optimizer"]["state"][0], torch.ones(2))
    weights = read_weights(tmp_path / "a.pt")
    assert torch.equal(weights.tensors[name], average[name])
    assert weights.class_names == ("cat", "dog")


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    training = {"best": np.float64(1.0)}
    with pytest.raises(TypeError, match=r"'best'.*float64 cannot be saved"):
        save(tmp_path / "a.pt", Checkpoint(tiny_retinanet(), {}, training=training))
    assert not list(tmp_path.iterdir())


def test_a_view_does_not_drag_its_storage_along(tmp_path: Path) -> None:
    large = torch.zeros(1_000_000)
    save(tmp_path / "a.pt", Checkpoint(tiny_retinanet(), {"x": large[:2]}))
    assert (tmp_path / "a.pt").stat().st_size < 100_000


# --------------------------------------------------------------------------------- what is no use


def test_missing(tmp_path: Path) -> None:
    assert "no such file" in fails(tmp_path / "none.pt")
    assert "is a folder" in fails(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 100, -1, -1000])
def test_truncated(saved: tuple[Path, Checkpoint], kept: int) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes()[:kept])
    assert "damaged" in fails(path)


@pytest.mark.parametrize("content", [b"hello", b"\x80\x02}", b"PK\x03\x04rubbish", b"\x00" * 5000])
def test_not_weights_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    assert "not a weight file" in fails(path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.ones(1), {"what": "else"}])
def test_other_content(tmp_path: Path, content: object) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path)
    assert "not a detzoo checkpoint" in fails(path)


def edited(path: Path, **changes: object) -> None:
    torch.save({**torch.load(path, weights_only=True), **changes}, path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "1"}, "checkpoint format 1, written by"),
        ({"format": torch.ones(2)}, "checkpoint format tensor"),
        ({"model": [torch.ones(1)]}, "contains no state dict"),
        ({"model": None}, "contains no state dict"),
        ({"model": {"a": 1}}, "'a' is a int"),
        ({"model": {3: torch.ones(1)}}, "3 is a Tensor"),
        ({"model": {"a": torch.ones(2, device="meta")}}, "a is not a dense tensor"),
        ({"ema": 3}, "contains no state dict"),
        ({"training": 3}, "'training' is a int"),
        ({"changed_modules": [3]}, "'changed_modules'"),
        ({"experiment": {"type": "Adam"}}, "configuration"),
        ({"experiment": 3}, "configuration"),
        ({"what": np.ones(2)}, "not a detzoo checkpoint"),
    ],
)
def test_parts_that_are_something_else(
    saved: tuple[Path, Checkpoint], changes: dict[str, object], message: str
) -> None:
    path, _ = saved
    edited(path, **changes)
    assert message in fails(path)


def test_a_newer_format(saved: tuple[Path, Checkpoint]) -> None:
    path, _ = saved
    edited(path, format=99, detzoo="7.0")
    message = fails(path)
    assert "checkpoint format 99, written by detzoo 7.0" in message
    assert "Install" in message


def test_a_configuration_that_this_version_does_not_know(saved: tuple[Path, Checkpoint]) -> None:
    path, _ = saved
    content = torch.load(path, weights_only=True)["experiment"]
    edited(path, experiment={**content, "model": {**content["model"], "wings": 2}})
    assert "model: SingleStageConfig has no field 'wings'" in fails(path)


def test_an_incomplete_checkpoint(saved: tuple[Path, Checkpoint]) -> None:
    path, _ = saved
    content = torch.load(path, weights_only=True)
    del content["model"]
    torch.save(content, path)
    assert "without 'model'" in fails(path)


class Malice:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("write", [torch.save, lambda x, p: p.write_bytes(pickle.dumps(x))])
def test_reading_never_executes_code(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    path, target = tmp_path / "a.pt", tmp_path / "executed"
    write({"what": Malice(target)}, path)
    fails(path)
    assert not target.exists()


# ---------------------------------------------------------------------------------- safe writing


def test_permissions_are_the_usual_ones(saved: tuple[Path, Checkpoint], tmp_path: Path) -> None:
    path, _ = saved
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_a_full_disk_keeps_the_previous_file(saved: tuple[Path, Checkpoint]) -> None:
    path, made = saved
    before = path.read_bytes()
    bigger = Checkpoint(made.experiment, {"x": torch.zeros(2_000_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(CheckpointError, match="File too large") as caught:
            save(path, bigger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(path) in str(caught.value)
    assert "The existing file is unchanged" in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_keeps_the_previous_file(
    saved: tuple[Path, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = saved
    before = path.read_bytes()

    def interrupted(content: object, file) -> None:  # type: ignore[no-untyped-def]
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(path, made)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_whole_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    original = os.fsync
    monkeypatch.setattr(os, "fsync", lambda f: (order.append("sync"), original(f)))
    renamed = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (order.append("rename"), renamed(self, to))[1]
    )
    save(tmp_path / "a.pt", Checkpoint(tiny_retinanet(), {}))
    assert order == ["sync", "rename", "sync"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tmp_path / "file" / "a.pt", Checkpoint(tiny_retinanet(), {}))


# --------------------------------------------------------------------------------- bare weights


def test_bare_weights_in_every_form(tmp_path: Path) -> None:
    weights = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(4)}
    torch.save(weights, tmp_path / "plain.pth")
    torch.save({"state_dict": weights, "meta": {"epoch": 1}}, tmp_path / "nested.pth")
    save_file(weights, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **{name: value.numpy() for name, value in weights.items()})
    for path in tmp_path.iterdir():
        found = read_weights(path).tensors
        assert read_weights(path).class_names is None
        assert set(found) == set(weights), path
        assert all(torch.equal(found[name], weights[name]) for name in weights), path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_damaged_bare_weights(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\x10\x00\x00\x00rubbish")
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(path)


def test_a_file_without_weights(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": 1}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="contains no state dict"):
        read_weights(tmp_path / "a.pth")


# ---------------------------------------------------------------------------------- strict load


def test_weights_of_another_model() -> None:
    model = tiny_retinanet().build_model()
    with pytest.raises(CheckpointError, match=r"^x\.pt: .*another model: missing neck"):
        load_strictly(model, tiny_mask_rcnn().build_model().state_dict(), "x.pt")


def test_weights_of_another_shape() -> None:
    model = tiny_retinanet().build_model()
    name = "bbox_head.retina_cls.bias"
    weights = {**model.state_dict(), name: torch.zeros(5)}
    with pytest.raises(CheckpointError, match=rf"{name} has shape \(5,\) instead of \(18,\)"):
        load_strictly(model, weights, "x.pt")


def test_nothing_is_loaded_from_weights_that_do_not_fit() -> None:
    model = tiny_retinanet().build_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = {name: value + 1 for name, value in before.items()}
    del weights["neck.lateral_convs.0.conv.weight"]
    with pytest.raises(CheckpointError):
        load_strictly(model, weights, "x.pt")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_counters_may_be_missing() -> None:
    model = tiny_retinanet().build_model()
    weights = {k: v + 1 for k, v in model.state_dict().items() if "num_batches" not in k}
    load_strictly(model, weights, "x.pt")
    assert torch.equal(
        model.state_dict()["backbone.conv1.weight"], weights["backbone.conv1.weight"]
    )


def test_class_names_are_those_of_the_experiment() -> None:
    experiment = tiny_retinanet()
    renamed = replace(experiment, class_names=("a", "b"))
    assert Checkpoint(renamed, {}).class_names == ("a", "b")


def test_stuff_comes_after_things(tmp_path: Path) -> None:
    """Also where weights are opened with the configuration of other classes."""
    mine = tiny_panoptic_fpn(("cat",), ("sky", "sea"))
    path = tmp_path / "x.pt"
    save(path, Checkpoint(mine, mine.build_model().state_dict()))
    weights = read_weights(path)
    assert weights.class_names == ("cat", "sky", "sea")
    assert weights.num_stuff == 2
    other = tmp_path / "experiment.json"
    other.write_text(json.dumps(to_dict(tiny_panoptic_fpn(("a", "b", "c"), ("d",)))))
    for opened in (load(path, device="cpu"), load(other, path, "cpu")):
        assert opened.class_names == ("cat",)
        assert opened.stuff_names == ("sky", "sea")
