from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from detzoo.errors import CheckpointError
from detzoo.weights import archive
from detzoo.weights.files import read_file

CONTENT = {"a": torch.arange(300.0), "b": torch.ones(3, dtype=torch.int64)}


def rewritten(path: Path, target: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    """The archive ``path`` as another program packs it."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return target


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save(CONTENT, tmp_path / "x.pt")
    return tmp_path / "x.pt"


def test_a_flipped_bit_is_noticed(saved: Path) -> None:
    data = saved.read_bytes()
    with zipfile.ZipFile(saved) as whole:
        weights = whole.read("x/data/0")
    start = data.index(weights)
    for place in range(start, start + len(weights), 7):
        saved.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(CheckpointError, match=r"Bad CRC-32 for file 'x/data/0'.*damaged"):
            read_file(saved)


def test_a_flipped_bit_in_numpy_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(300.0))
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"Bad CRC-32 for file 'a\.npy'"):
        read_file(path)


def test_a_flipped_bit_in_the_directory(tmp_path: Path) -> None:
    """Such as one that makes a record swallow the next, which zipfile does not notice."""
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(3.0), b=np.arange(4.0))
    data = path.read_bytes()
    lengths = data.index(b"PK\x01\x02") + 28  # of the record's name, extra fields and comment
    refusals = []
    for bit in range(8 * lengths, 8 * lengths + 48):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError) as error:
            read_file(path)
        refusals.append(str(error.value))
    assert any("its directory lacks records" in text for text in refusals)


def test_a_record_that_calls_itself_a_folder(saved: Path) -> None:
    """torch returns uninitialized memory for it."""
    data = bytearray(saved.read_bytes())
    data[data.rindex(b"x/data/0") - 46 + 38] ^= 0x10  # its external attributes in the directory
    saved.write_bytes(data)
    with pytest.raises(CheckpointError, match="x/data/0 is marked as a folder"):
        read_file(saved)


def test_archives_of_other_programs(saved: Path, tmp_path: Path) -> None:
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = rewritten(saved, tmp_path / "y.pt", compression)
        assert torch.equal(read_file(path)["a"], CONTENT["a"])


def test_archives_without_checksums(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, tmp_path / "x.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_file(tmp_path / "x.pt")["a"], CONTENT["a"])


def test_a_small_file_that_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_ALWAYS_UNPACKED", 1000)
    torch.save({"a": torch.zeros(10_000_000)}, tmp_path / "x.pt")
    path = rewritten(tmp_path / "x.pt", tmp_path / "y.pt", zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"would unpack to 0\.0 GB"):
        read_file(path)


def test_files_without_checksums_are_held_against_their_names(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(CONTENT, path, _use_new_zipfile_serialization=False)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert torch.equal(read_file(path.rename(tmp_path / f"x-{digits}.pth"))["a"], CONTENT["a"])
    data = bytearray((tmp_path / f"x-{digits}.pth").read_bytes())
    data[-600] ^= 1
    for name in ("x.pth", "x-20200130.pth"):  # nothing vouches for these; a date is no hash
        (tmp_path / name).write_bytes(data)
        assert not torch.equal(read_file(tmp_path / name)["a"], CONTENT["a"])
    (tmp_path / f"x-{digits}.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"does not match the hash {digits} in its name"):
        read_file(tmp_path / f"x-{digits}.pth")
