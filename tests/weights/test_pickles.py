from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detzoo.weights import pickles
from detzoo.weights.pickles import load_pickle, load_torch


def write_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, 2))


def write_legacy(content: Any, path: Path) -> None:
    """As torch did before version 1.6, and MMDetection's published files still do."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


READERS = [(torch.save, load_torch), (write_legacy, load_torch), (write_pickle, load_pickle)]
each_reader = pytest.mark.parametrize(("write", "read"), READERS)
Write, Read = Callable[[Any, Path], None], Callable[[Path], Any]


@each_reader
def test_numpy_beside_the_weights(tmp_path: Path, write: Write, read: Read) -> None:
    """The meta of a V2 checkpoint may hold the best score as numpy computed it."""
    content = {
        "meta": {
            "best_score": np.float64(0.25),
            "epochs": [np.int64(3), (np.float32(1.5), np.bool_(True), np.str_("text"))],
            "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
            "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
            "big_endian": np.arange(3, dtype=">i4"),
            "empty": np.zeros((0, 4)),
            "ordered": OrderedDict(a=1),
        }
    }
    write(content, tmp_path / "x")
    meta = read(tmp_path / "x")["meta"]
    assert meta["best_score"] == 0.25
    assert meta["epochs"] == [3, (1.5, True, "text")]
    assert [type(v) for v in (meta["best_score"], meta["epochs"][0])] == [float, int]
    assert meta["matrix"].dtype == np.float32
    for name in ("matrix", "fortran", "big_endian", "empty"):
        assert np.array_equal(meta[name], content["meta"][name])
        meta[name][...] = 0  # is its own
    assert torch.from_numpy(meta["big_endian"]).tolist() == [0, 0, 0]
    assert meta["ordered"] == {"a": 1}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    content = {"model": {"conv1_w": np.arange(4.0).reshape(2, 2)}, "n": np.float32(2), "b": b"raw"}
    (tmp_path / "x").write_bytes(pickle.dumps(content, protocol))
    found = load_pickle(tmp_path / "x")
    assert found["model"]["conv1_w"].tolist() == [[0, 1], [2, 3]]
    assert (found["n"], found["b"]) == (2, b"raw")


@each_reader
def test_names_of_numpy_before_and_since_version_2(
    tmp_path: Path, write: Write, read: Read
) -> None:
    path = tmp_path / "x"
    write_pickle([np.arange(3), np.float64(2)], path)
    new, old = b"numpy._core.", b"numpy.core."
    for one, other in ((old, new), (new, old)):
        path.write_bytes(pickle.dumps([np.arange(3), np.float64(2)], 2).replace(one, other))
        array, number = load_pickle(path)
        assert (array.tolist(), number) == ([0, 1, 2], 2)


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> Any:
        return self.parts


@each_reader
@pytest.mark.parametrize(
    "content",
    [
        Call(os.mkdir, "executed"),
        Call(eval, "__import__('os').mkdir('executed')"),
        Call(np.load, "x"),
        Call(np.dtype, "O"),
        np.array([{}], dtype=object),
        np.zeros(2, dtype=[("a", "f4"), ("b", "f4")]),
        Path("x"),
        print,
    ],
    ids=["mkdir", "eval", "np.load", "object type", "objects", "record", "Path", "function"],
)
def test_anything_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, read: Read, content: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"meta": {"x": content}}, tmp_path / "x")
    with pytest.raises(pickle.UnpicklingError, match=r"[Uu]nsupported"):
        read(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


REBUILT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"


@pytest.mark.parametrize(
    "program",
    [
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"cnumpy\nndarray\n.",  # a function as a value
        b"cnumpy\nndarray\n(I1000000000\ntR.",  # asks numpy for memory
        b"cnumpy.core.multiarray\n_reconstruct\n(dS'__code__'\nI1\nsb.",  # sets an attribute
        b"cnumpy.core.multiarray\nscalar\n(N(dS'__defaults__'\n(I1\ntstb.",  # the same, as slots
        b"cnumpy\nndarray\n(N(dS'__setstate__'\nI1\nstb.",
        b"(S'touch executed'\niposix\nsystem\n.",  # the oldest opcode for a call
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # the opcode for a new object
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0etouch executed\x85R.",
        b"Pevil\n.",  # persistent
        REBUILT + b"(I1\n(I1\ntcnumpy\ndtype\n(S'O'\ntRI00\nS'xxxxxxxx'\ntb.",
    ],
)
def test_opcodes_reach_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_bytes(program)
    with pytest.raises((pickle.UnpicklingError, AttributeError, TypeError)):
        load_pickle(tmp_path / "x")
    assert not (tmp_path / "executed").exists()
    # Whatever the file tried to change, the next one is read as ever.
    write_pickle(np.arange(2), tmp_path / "y")
    assert load_pickle(tmp_path / "y").tolist() == [0, 1]


@pytest.mark.parametrize(
    "state",
    [
        b"(I1\n(I9\ntcnumpy\ndtype\n(S'f4'\ntRI00\nS'abcd'\ntb.",  # fewer values than its shape
        b"(I1\n(I-1\ntcnumpy\ndtype\n(S'f4'\ntRI00\nS'abc'\ntb.",  # no whole number of values
        b"I1\nb.",
    ],
)
def test_arrays_that_contradict_themselves(tmp_path: Path, state: bytes) -> None:
    (tmp_path / "x").write_bytes(REBUILT + state)
    with pytest.raises((ValueError, TypeError)):
        load_pickle(tmp_path / "x")


def test_a_list_that_holds_itself(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    write_pickle(endless, tmp_path / "x")
    with pytest.raises(pickle.UnpicklingError, match="too deeply nested"):
        load_pickle(tmp_path / "x")


def test_references_that_double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred bytes for more values than any memory holds."""
    monkeypatch.setattr(pickles, "_MAX_VALUES", 10_000)
    content: Any = [1]
    for _ in range(60):
        content = [content, content]
    for write, read in READERS:
        write({"meta": content}, tmp_path / "x")
        assert (tmp_path / "x").stat().st_size < 2000
        with pytest.raises(pickle.UnpicklingError, match="too many values"):
            read(tmp_path / "x")


def test_a_file_does_not_say_how_much_memory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"I1\nr\xff\xff\xff\x7f.")  # LONG_BINPUT: at place 2**31 - 1
    assert load_pickle(tmp_path / "x") == 1
