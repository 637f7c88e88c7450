from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detzoo.errors import DataError
from detzoo.pickles import read_pickle


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_in_plain_values(tmp_path: Path, protocol: int) -> None:
    boxes = np.arange(10, dtype=np.float32).reshape(2, 5)
    content = {"a": [boxes, boxes[:0], 1.5, None, "text"], "b": (np.float32(3), np.int64(4))}
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    found = read_pickle(path)
    assert np.array_equal(found["a"][0], boxes)
    assert found["a"][0].dtype == np.float32
    assert found["a"][1].shape == (0, 5)
    assert found["a"][2:] == [1.5, None, "text"]
    assert found["b"] == (3, 4)


def test_numpy_1_and_2_write_other_names(tmp_path: Path) -> None:
    data = pickle.dumps(np.arange(3), 2)
    other = data.replace(b"numpy._core", b"numpy.core")
    if other == data:
        other = data.replace(b"numpy.core", b"numpy._core")
    path = tmp_path / "x.pkl"
    path.write_bytes(other)
    assert read_pickle(path).tolist() == [0, 1, 2]


def test_python_2_texts(tmp_path: Path) -> None:
    # {'blobs': {'conv1_w': array([1.], dtype=float32)}} by Python 2.
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I1\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
        b"I00\nS'\\x00\\x00\\x80?'\ntb"
    )
    path = tmp_path / "x.pkl"
    path.write_bytes(b"(dS'blobs'\n(dS'conv1_w'\n" + array + b"ss.")
    assert read_pickle(path)["blobs"]["conv1_w"].tolist() == [1.0]


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("content", "name"),
    [(Evil(), "system"), (Path("x"), "Path"), (np.load, "numpy.+load"), (print, "print")],
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps([np.zeros(2), content]))
    with pytest.raises(DataError, match=rf"x\.pkl: it names .*{name}.*could run code"):
        read_pickle(path)
    assert not (tmp_path / "ran").exists()


def test_codecs_are_no_way_out(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.")
    with pytest.raises(DataError, match="the encoding zlib"):
        read_pickle(path)


@pytest.mark.parametrize("data", [b"", b"junk", pickle.dumps([np.zeros(9)])[:-20]])
def test_damage(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.pkl: is not a pickle, or is damaged"):
        read_pickle(path)
    with pytest.raises(DataError, match="no such file"):
        read_pickle(tmp_path / "y.pkl")
