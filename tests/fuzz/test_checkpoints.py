from __future__ import annotations

import functools
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes

from detzoo.checkpoints.checkpoint import Checkpoint, read, read_weights, save
from detzoo.weights.files import read_file
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import ODD_VALUES, broken_bytes, broken_values, few, flipped_bit
from tests.mmdet.retinanet import state, write
from tests.tiny import tiny_retinanet

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(4)}


def zip_bytes(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def legacy_bytes(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def npz_bytes() -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: value.numpy() for name, value in TENSORS.items()})
    return file.getvalue()


META = {"meta": {"epoch": 3, "score": np.float64(0.5), "names": ["x"]}, "state_dict": TENSORS}
ARRAYS = {"model": {"conv1_w": np.arange(4.0).reshape(2, 2)}, "n": np.float32(2), "b": b"raw"}
FILES = {
    "x.pt": zip_bytes(META),
    "old.pth": legacy_bytes(META),
    "x.pkl": pickle.dumps(ARRAYS, 2),
    "new.pkl": pickle.dumps(ARRAYS, 5),
    "x.safetensors": safetensors_bytes(TENSORS),
    "x.npz": npz_bytes(),
}
each_form = pytest.mark.parametrize("name", FILES)


@each_form
@given(data=st.data())
def test_broken_files(rule: Rule, folder: Path, name: str, data: st.DataObject) -> None:
    (folder / name).write_bytes(data.draw(broken_bytes(FILES[name])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of invalid sparse tensors
        rule.read(read_weights, folder / name)


@pytest.mark.parametrize("name", ["x.pt", "x.npz"])
@given(data=st.data())
def test_archives_with_a_flipped_bit(
    rule: Rule, folder: Path, name: str, data: st.DataObject
) -> None:
    """Right or refused: never wrong weights."""
    (folder / name).write_bytes(data.draw(flipped_bit(FILES[name])))
    found = rule.read(read_weights, folder / name)
    if found is not None:
        assert found.tensors.keys() == TENSORS.keys()
        assert all(torch.equal(found.tensors[key], value) for key, value in TENSORS.items())


# Parts of programs for the unpickler: what loads names, calls them, sets state, takes memory.
_MARKS = [b"(", b")", b"]", b"}", b"N", b"0", b"1", b"2", b"\x88", b"\x94", b"q\x00", b"h\x00"]
_ACTIONS = [b"t", b"l", b"d", b"R", b"b", b"s", b"u", b"a", b"e", b"\x81", b"\x85", b"\x93", b"Q"]
_VALUES = [b"I1\n", b"I-1\n", b"I9999999999\n", b"J\xff\xff\xff\x7f", b"F1e400\n", b"S'f4'\n"]
_NAMES = [
    b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy.core.multiarray\nscalar\n",
    b"cnumpy.core.numeric\n_frombuffer\n",
    b"ccollections\nOrderedDict\n",
    b"c_codecs\nencode\n",
    b"cbuiltins\nbytes\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cposix\nsystem\n",
]
_LENGTHS = [
    b"r\xff\xff\xff\x7f",
    b"B\xff\xff\xff\x7f",
    b"T\xff\xff\xff\x7f",
    b"\x8a\xff",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x00",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x00",
    b"\x96\xff\xff\xff\xff\xff\xff\xff\xff",
]
_OPCODES = st.one_of(
    *map(st.sampled_from, (_MARKS, _ACTIONS, _VALUES, _NAMES, _LENGTHS)),
    st.binary(min_size=1, max_size=2),
)


@pytest.mark.parametrize("name", ["x.pkl", "x.pth"])
@given(program=st.lists(_OPCODES, max_size=30))
def test_programs(rule: Rule, folder: Path, name: str, program: list[bytes]) -> None:
    (folder / name).write_bytes(b"\x80\x02" + b"".join(program) + b".")
    rule.read(read_file, folder / name)


@functools.cache
def detzoo_checkpoint(folder: Path) -> Any:
    experiment = tiny_retinanet()
    weights = {"a": torch.ones(2), "b": torch.zeros(1)}
    save(folder / "own.pt", Checkpoint(experiment, weights, weights, {"iteration": 1}))
    return read_file(folder / "own.pt")


@functools.cache
def mmdet_checkpoint(folder: Path) -> Any:
    two = dict(list(state().items())[:2])
    return read_file(write(folder / "v2.pth", two))


_IN_CHECKPOINTS = (
    *ODD_VALUES,
    torch.ones(2),
    torch.ones(2, device="meta"),
    torch.ones(2).to_sparse(),
    torch.ones(2, dtype=torch.complex64),
    torch.zeros(1).expand(10**12),
    np.ones(2),
    {3: torch.ones(1)},
)


@pytest.mark.parametrize("make", [detzoo_checkpoint, mmdet_checkpoint])
@given(data=st.data())
def test_checkpoints_with_odd_parts(
    rule: Rule, folder: Path, make: Any, data: st.DataObject
) -> None:
    content = data.draw(broken_values(make(folder), _IN_CHECKPOINTS))
    torch.save(content, folder / "x.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rule.read(read, folder / "x.pt")
        rule.read(read_weights, folder / "x.pt")


@pytest.mark.parametrize("make", [detzoo_checkpoint, mmdet_checkpoint])
@given(data=st.data())
@few()
def test_the_command(rule: Rule, folder: Path, make: Any, data: st.DataObject) -> None:
    content = data.draw(broken_values(make(folder), _IN_CHECKPOINTS))
    torch.save(content, folder / "x.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rule.run("checkpoint", folder / "x.pt", "--keys")
