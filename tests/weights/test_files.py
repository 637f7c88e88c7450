from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from detzoo.errors import CheckpointError
from detzoo.weights.files import has_digits, read_file, tensors_in
from detzoo.weights.places import hash_digits


def test_digits_of_the_hash() -> None:
    assert hash_digits("retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth") == "c2398f9e"
    assert hash_digits("resnet50-0676ba61.pth") == "0676ba61"
    for name in (
        "pvt_v2_b2.pth",
        "mine-best.pth",
        "x-c2398f9e",
        "run-20200130.pth",
        "x_c2398f9e.pth",
        "x-0123abcde.pt",
    ):
        assert hash_digits(name) is None


def test_whether_the_digits_are_right(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content" * 400_000)
    digits = hashlib.sha256(b"content" * 400_000).hexdigest()[:8]
    assert has_digits(tmp_path / "x", digits)
    assert not has_digits(tmp_path / "x", "00000000")


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state", "blobs", None])
def test_tensors_under_every_key(wrapper: str | None) -> None:
    tensors = {"a": torch.ones(2), "b": np.zeros(3, dtype=np.float32)}
    content = tensors if wrapper is None else {wrapper: tensors, "author": "somebody"}
    found = tensors_in(content, "x.pth")
    assert {name: value.tolist() for name, value in found.items()} == {"a": [1, 1], "b": [0, 0, 0]}


def test_the_prefix_of_a_wrapper() -> None:
    one = torch.ones(1)
    assert list(tensors_in({"module.a": one, "module.b": one}, "x")) == ["a", "b"]
    assert list(tensors_in({"module.a": one, "b": one}, "x")) == ["module.a", "b"]


@pytest.mark.parametrize("content", [[torch.ones(1)], torch.ones(1), {"state_dict": 3}, {"a": 1}])
def test_no_weights(content: object) -> None:
    with pytest.raises(CheckpointError, match=r"^x\.pth: contains no state dict"):
        tensors_in(content, "x.pth")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2).to_sparse(),
        torch.ones(2, device="meta"),
    ],
    ids=["sparse", "meta"],
)
def test_tensors_that_are_no_weights(tensor: torch.Tensor) -> None:
    with pytest.raises(CheckpointError, match=r"^x\.pth: a is not a dense tensor"):
        tensors_in({"a": tensor}, "x.pth")


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_objects_are_refused_with_the_reason(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps({"a": Path("x")}))
    else:
        torch.save({"a": Path("x")}, path)
    with pytest.raises(CheckpointError, match=r"it contains Python objects, .* could execute code"):
        read_file(path)


def test_detectron_pickles(tmp_path: Path) -> None:
    content = {"model": {"conv1_w": np.ones((1, 2), np.float32)}, "matching_heuristics": True}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(content))
    assert tensors_in(read_file(tmp_path / "R-50.pkl"), "R-50.pkl")["conv1_w"].shape == (1, 2)
