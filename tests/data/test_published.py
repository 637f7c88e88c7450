"""Archives of data sets: downloaded from a server that stops in the middle, verified, unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import pytest

from detzoo.data import published
from detzoo.data.locate import open_dataset
from detzoo.data.published import DATA_SETS, Archive, chosen, get_archive
from detzoo.errors import DataError
from detzoo.weights import download as downloads
from tests.data.files import noise
from tests.weights import server as behave
from tests.weights.server import Handler, Server, running


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAUSE", 0.001)
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    monkeypatch.setenv("no_proxy", "*")


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def tarred(files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


class Files:
    """A server of several files, each of which it sends whole or from some byte on."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.content: dict[str, bytes] = {}

    def archive(self, name: str, content: bytes, folder: str = "", *, md5: bool = False) -> Archive:
        self.content[f"/{name}"] = content
        digest = (hashlib.md5 if md5 else hashlib.sha256)(content).hexdigest()
        return Archive((f"{self.server.address}/{name}",), len(content), digest, folder)

    def serve(self, handler: Handler) -> None:
        content = self.content[handler.path]
        span = handler.headers.get("Range")
        start = 0 if span is None else int(span.removeprefix("bytes=").rstrip("-"))
        more = {} if span is None else {"Content_Range": f"bytes {start}-/{len(content)}"}
        handler.start(200 if span is None else 206, len(content) - start, **more)
        handler.wfile.write(content[start:])

    def stop_after(self, count: int, handler: Handler) -> None:
        handler.start(200, len(self.content[handler.path]))
        handler.wfile.write(self.content[handler.path][:count])


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    with running() as server:
        files = Files(server)
        monkeypatch.setattr(behave, "serve", files.serve)
        yield files


def test_zip_and_tar(files: Files, tmp_path: Path) -> None:
    first = files.archive("a.json.zip", zipped({"a.json": b"{}"}), "annotations")
    second = files.archive("b.tar", tarred({"VOC/x/y.txt": b"y" * 70_000}), md5=True)
    assert get_archive(first, tmp_path, keep=False)
    assert get_archive(second, tmp_path, keep=True)
    found = sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    assert found == [
        ".a.json.zip.unpacked",
        ".b.tar.unpacked",
        "VOC/x/y.txt",
        "annotations/a.json",
        "b.tar",
    ]
    asked = len(files.server.requests)
    assert not get_archive(first, tmp_path, keep=False)
    assert len(files.server.requests) == asked


def test_an_interrupted_download_goes_on(files: Files, tmp_path: Path) -> None:
    archive = files.archive("b.tar", tarred({"y.txt": b"y" * 70_000}))
    files.server.behaviours = [lambda handler: files.stop_after(30_000, handler)]
    assert get_archive(archive, tmp_path, keep=False)
    assert (tmp_path / "y.txt").read_bytes() == b"y" * 70_000
    assert [span for _, span in files.server.requests] == [None, "bytes=30000-"]


def test_another_file_is_refused(files: Files, tmp_path: Path) -> None:
    archive = files.archive("b.tar", tarred({"y.txt": b"y" * 70_000}))
    right = files.content["/b.tar"]
    files.content["/b.tar"] = right.replace(b"yyyy", b"zzzz")
    with pytest.raises(DataError, match="does not match the published hash"):
        get_archive(archive, tmp_path, keep=False)
    files.content["/b.tar"] = right[:-512]
    with pytest.raises(DataError, match=r"it has \d+ bytes instead of \d+"):
        get_archive(archive, tmp_path, keep=False)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    (tmp_path / "b.tar").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"b.tar: it has 4 bytes .* Remove it"):
        get_archive(archive, tmp_path, keep=False)
    (tmp_path / "b.tar").write_bytes(right)
    assert get_archive(archive, tmp_path, keep=False)


def test_mirrors_and_no_host(files: Files, tmp_path: Path) -> None:
    archive = files.archive("b.tar", tarred({"y.txt": b"y"}))
    gone = Archive(("http://127.0.0.1:9/b.tar",), archive.size, archive.digits)
    with pytest.raises(DataError, match=r"b.tar: cannot be downloaded. Download it in another way"):
        get_archive(gone, tmp_path, keep=False)
    assert get_archive(gone, tmp_path, mirror=f"{files.server.address}/", keep=False)


def test_a_full_disk_is_told_before(tmp_path: Path) -> None:
    archive = Archive(("http://127.0.0.1:9/b.tar",), 10**15, "0" * 64)
    with pytest.raises(DataError, match=r"needs 2000000\.0 GB"):
        get_archive(archive, tmp_path, keep=False)


def test_a_data_set_that_trains(files: Files, tmp_path: Path) -> None:
    """COCO's archives, in small: what is unpacked is opened as it is."""
    jpg = cv2.imencode(".jpg", noise(40, 60))[1].tobytes()
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 20]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    names = [f"annotations/instances_{part}2017.json" for part in ("train", "val")]
    annotations = zipped(dict.fromkeys(names, json.dumps(truth).encode()))
    folder = tmp_path / "coco"
    folder.mkdir()
    for name, content in (
        ("annotations_trainval2017.zip", annotations),
        ("train2017.zip", zipped({"train2017/1.jpg": jpg})),
        ("val2017.zip", zipped({"val2017/1.jpg": jpg})),
    ):
        get_archive(files.archive(name, content), folder, keep=False)
    assert [len(open_dataset(folder, split)) for split in ("train", "val")] == [1, 1]


def unpublished(files: Files, address: str, content: bytes, folder: str) -> Archive:
    """One whose size and hash are not known."""
    files.content[f"/{address}"] = content
    where = (f"{files.server.address}/{address}",)
    return Archive(where, folder=folder, is_in_folder=True)


def test_objects365(files: Files, tmp_path: Path) -> None:
    """In small: archives that are called alike, names in annotations with folders before them."""
    jpg = cv2.imencode(".jpg", noise(40, 60))[1].tobytes()
    for part, names in (
        ("train", ["images/v1/patch0/a.jpg"]),
        ("val", ["images/v1/patch0/b.jpg", "images/v2/patch16/c.jpg"]),
    ):
        truth = {
            "images": [
                {"id": k, "file_name": name, "width": 60, "height": 40}
                for k, name in enumerate(names)
            ],
            "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 30, 20]}],
            "categories": [{"id": 1, "name": "Person"}],
        }
        text, name = json.dumps(truth).encode(), f"zhiyuan_objv2_{part}"
        if part == "val":
            archive = unpublished(files, f"val/{name}.json", text, "annotations")
        else:
            content = tarred({f"{name}.json": text}, "w:gz")
            archive = unpublished(files, f"train/{name}.tar.gz", content, "annotations")
        get_archive(archive, tmp_path, keep=False)
        for name in names:
            patch, base = name.split("/")[-2:]
            content = tarred({f"{patch}/{base}": jpg}, "w:gz")
            get_archive(
                unpublished(files, f"{part}/{patch}.tar.gz", content, part), tmp_path, keep=False
            )
    assert not list(tmp_path.rglob("*.tar.gz"))
    for part, count in (("train", 1), ("val", 2)):
        data = open_dataset(tmp_path, part)
        assert len(data) == count
        assert all(data.sample(i).image.shape == (40, 60, 3) for i in range(count))
    asked = len(files.server.requests)
    first = unpublished(files, "val/patch0.tar.gz", b"", "val")
    assert first.name == "val/patch0.tar.gz"
    assert not get_archive(first, tmp_path, keep=False)
    assert len(files.server.requests) == asked


def test_damage_without_a_hash(files: Files, tmp_path: Path) -> None:
    """Is found by gzip's checksum; and no name in an archive leads out of the folder."""
    whole = tarred({"a.bin": noise(100, 100).tobytes()}, "w:gz")
    wrong = bytearray(whole)
    wrong[len(wrong) // 2] ^= 255
    for content in (whole[:-1000], bytes(wrong), b"<html>gone</html>"):
        archive = unpublished(files, "train/patch0.tar.gz", content, "train")
        with pytest.raises(
            DataError, match=r"train/patch0\.tar\.gz: cannot be unpacked .* Remove it"
        ):
            get_archive(archive, tmp_path, keep=False)
        (tmp_path / "train" / "patch0.tar.gz").unlink()
    outside = tarred({"../../out.txt": b"x"}, "w:gz")
    with pytest.raises(DataError, match=r"train/patch0\.tar\.gz: cannot be unpacked"):
        get_archive(
            unpublished(files, "train/patch0.tar.gz", outside, "train"), tmp_path, keep=False
        )
    assert not (tmp_path.parent / "out.txt").exists()


def test_the_table() -> None:
    for name, archives in DATA_SETS.items():
        assert len({one.name for one in archives}) == len(archives), name
        for one in archives:
            base = one.name.rpartition("/")[2]
            assert all(address.endswith(f"/{base}") for address in one.addresses)
            if name == "objects365v2":
                assert (one.size, one.digits) == (None, None)
                continue
            assert one.digits is not None
            assert one.size is not None
            assert len(one.digits) in (32, 64)
            assert one.size > 10**7
    patches = [one.name for one in chosen("objects365v2", ["val/"])]
    assert len(patches) == 44
    assert len(chosen("objects365v2", ["train/"])) == 51
    assert [one.name for one in chosen("objects365v2", ["ann"])] == [
        "annotations/zhiyuan_objv2_val.json",
        "annotations/zhiyuan_objv2_train.tar.gz",
    ]
    assert [one.name for one in chosen("coco2017", ["val", "ann"])] == [
        "annotations_trainval2017.zip",
        "val2017.zip",
    ]
    with pytest.raises(DataError, match="--only test2017: no archive of coco2017"):
        chosen("coco2017", ["val", "test2017"])
    assert published.chosen("voc2012", []) == list(DATA_SETS["voc2012"])
