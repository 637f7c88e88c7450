"""Tables in the form of the detection sets of https://huggingface.co/datasets, such as cppe-5."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.files import noise
from tests.data.formats.files import boxes
from tests.data.formats.test_hugging_face import CARD

CORNERS = [[30, 10, 37.5, 15], [8, 1, 13, 3], [1, 2, 4, 6]]
NAMES = {
    "info": {
        "features": {
            "weather": {"names": ["sunny"], "_type": "ClassLabel"},
            "objects": {
                "feature": {"category": {"names": ["mask", "gown"], "_type": "ClassLabel"}}
            },
        }
    }
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETZOO_DATA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(seed: int) -> bytes:
    return bytes(cv2.imencode(".png", noise(50, 100, seed))[1].tobytes())


def row(number: int, boxes: Sequence[Sequence[float]], categories: Sequence[int]) -> dict[str, Any]:
    return {
        "image_id": number,
        "image": {"bytes": picture(number), "path": f"video_{number:04}.png"},
        "width": 100,
        "height": 50,
        "objects": {
            "id": list(range(len(boxes))),
            "bbox": [list(map(float, box)) for box in boxes],
            "category": list(categories),
        },
    }


ROWS = [row(1, [(30, 10, 7.5, 5)], [0]), row(2, [(8, 1, 5, 2), (1, 2, 3, 4)], [1, 0])]


def write_table(file: Path, rows: Sequence[dict[str, Any]], names: Any = NAMES) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows))
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    pq.write_table(table, file)
    return file


def test_shards_by_split(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "set"
    write_table(root / "data" / "train-00000-of-00002.parquet", ROWS[:1])
    write_table(root / "data" / "train-00001-of-00002.parquet", ROWS[1:])
    write_table(root / "data" / "test-00000-of-00001.parquet", ROWS[1:])
    assert available_splits(root) == ("train", "test")
    assert boxes(root) == list(zip(("mask", "gown", "mask"), CORNERS))
    data = open_dataset(root)
    assert [data.file_names[i] for i in range(2)] == ["video_0001.png", "video_0002.png"]
    assert data.sample(1).image.tolist() == noise(50, 100, 2).tolist()
    assert data.notes == (f"the images are unpacked in {data.image_dir}",)
    # They are unpacked once, and anew for another file.
    unpacked = sorted(folder.name for folder in cache.iterdir() if folder.is_dir())
    assert len(unpacked) == 1
    open_dataset(root, "test")
    write_table(root / "data" / "train-00001-of-00002.parquet", [row(3, [], [])])
    assert len(open_dataset(root).annotations) == 1
    assert len([folder for folder in cache.iterdir() if folder.is_dir()]) == 3


def test_names_of_the_card_and_an_object_per_struct(tmp_path: Path) -> None:
    rows = []
    for one in ROWS:
        objects = one["objects"]
        pairs = zip(objects["bbox"], objects["category"])
        structs = [{"bbox": box, "category": category} for box, category in pairs]
        rows.append({"image": {**one["image"], "path": None}, "objects": structs})
    file = write_table(tmp_path / "set" / "data" / "train.parquet", rows, None)
    assert boxes(file) == list(zip("010", CORNERS))
    data = open_dataset(file)
    assert data.file_names[1] == "00000001.jpg"  # OpenCV goes by the content
    assert data.sizes.tolist() == [[50, 100]] * 2
    assert "names no classes" in data.notes[1]
    (tmp_path / "set" / "README.md").write_text(CARD)
    assert open_dataset(file).class_names == ("Coverall", "Face_Shield", "Gloves")


def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    file = write_table(root / "a.parquet", [{"image": "a.jpg", "text": "x"}])
    with pytest.raises(DataError, match=r"has the columns image, text\. Detection sets have image"):
        open_dataset(root)
    bad = row(1, [(1, 2, 3, 4)], [7])
    write_table(file, [bad])
    with pytest.raises(DataError, match=r"a\.parquet: row 1: the category 7 is not one of 0 to 1"):
        open_dataset(root)
    write_table(file, [row(1, [(1, 2, 3)], [0])])
    with pytest.raises(DataError, match=r"row 1: the bbox \[1.0, 2.0, 3.0\] is not"):
        open_dataset(root)
    write_table(file, [{**ROWS[0], "image": {"bytes": None, "path": "a.png"}}, ROWS[1]])
    with pytest.raises(DataError, match="1 of its 2 images are not in the folder"):
        open_dataset(root)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        open_dataset(root)
    write_table(file, ROWS)
    (tmp_path / "file").touch()
    monkeypatch.setenv("DETZOO_DATA_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be unpacked there .* DETZOO_DATA_CACHE=FOLDER"):
        open_dataset(root)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pyarrow reads: pip install 'detzoo\[parquet\]'"):
        open_dataset(root)


def test_files_of_one_split_in_two_folders(tmp_path: Path) -> None:
    for name in ("en", "fr"):
        write_table(tmp_path / "set" / name / "train.parquet", ROWS)
    with pytest.raises(DataError, match=r"in 2 folders .*en, .*fr\). Give the path of one"):
        open_dataset(tmp_path / "set")
