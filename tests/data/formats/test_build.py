from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.data.formats.base import ImageRecord, ObjectRecord, split_name
from detzoo.data.formats.build import build_dataset
from detzoo.data.locate import open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import write

BOX = (10.0, 5.0, 20.0, 20.0)
CAT = ObjectRecord("cat", BOX)


def record(name: str, *objects: ObjectRecord, **more: object) -> ImageRecord:
    return ImageRecord(name, objects, f"x.txt: {name}", **more)  # type: ignore[arg-type]


def test_records_become_a_data_set(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": "", "s/b.jpg": ""})
    triangle = [0.1, 0.1, 0.3, 0.1, 0.3, 0.5]
    data = build_dataset(
        [
            record(
                "a.jpg", CAT, ObjectRecord("ant", BOX, ignored="difficult"), left_out=("a line",)
            ),
            record("s/b.jpg", ObjectRecord("cat", polygons=(triangle,)), in_fractions=True),
        ],
        source="x.txt",
        image_dir=tmp_path,
        notes=("first",),
    )
    assert data.class_names == ("ant", "cat")
    assert [data.image_id(i) for i in range(2)] == ["a", "b"]
    assert data.sizes.tolist() == [[50, 100], [50, 100]]
    assert data.annotations.labels.tolist() == [1, 0, 1]
    assert [[round(n, 6) for n in box] for box in data.annotations.boxes.tolist()] == [
        [10, 5, 20, 20],
        [10, 5, 20, 20],
        [10, 5, 20, 20],
    ]
    assert data.annotations.is_ignored.tolist() == [False, True, False]
    assert data.notes == ("first", "1 object ignored: difficult", "1 object left out: a line")


def test_ids_tell_images_apart(tmp_path: Path) -> None:
    for names, ids in (
        (("s/a.jpg", "t/b.jpg"), ["a", "b"]),
        (("s/a.jpg", "t/a.jpg"), ["s/a", "t/a"]),
        (("a.jpg", "a.png"), ["a.jpg", "a.png"]),
    ):
        records = [record(name, CAT, size=(50, 100)) for name in names]
        data = build_dataset(records, source="x", image_dir=tmp_path)
        assert [data.image_id(i) for i in range(2)] == ids


def test_a_region_of_no_class_is_one_of_each() -> None:
    records = [record("a.jpg", ObjectRecord(None, BOX, is_crowd=True), size=(50, 100))]
    data = build_dataset(records, source="x", image_dir=".", class_names=["a", "b"])
    assert data.annotations.labels.tolist() == [0, 1]
    assert data.annotations.is_crowd.all()


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "x: lists no images"),
        ([record("a.jpg", CAT), record("a.jpg")], r"x: lists the image 'a\.jpg' twice"),
        ([record("a.jpg", CAT)], r"x: 1 of its 1 images are not in the folder .*'a\.jpg'"),
        ([record("a.jpg", CAT, size=(0, 5))], r"x\.txt: a\.jpg: declares an image of 5 x 0"),
        ([record("a.jpg", CAT, size=(2**64, 5))], "declares an image of"),
        (
            [record("a.jpg", ObjectRecord("cat", (1, 2, float("nan"), 3)), size=(5, 5))],
            r"x\.txt: a\.jpg: object 1: its box .* is in no image",
        ),
        ([record("a.jpg", ObjectRecord("cat", (1, 2, 10**400, 3)), size=(5, 5))], "is in no image"),
        ([record("a.jpg", ObjectRecord("cat"), size=(5, 5))], "has neither a box nor points"),
        ([record("a.jpg", size=(5, 5))], "none of its images has an object"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, records: list[ImageRecord], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_dataset(records, source="x", image_dir=tmp_path)


def test_classes_that_are_not_among_those_given(tmp_path: Path) -> None:
    records = [record("a.jpg", CAT, size=(50, 100))]
    with pytest.raises(DataError, match=r"object 1: its class 'cat' is not among .*\(dog\)"):
        build_dataset(records, source="x", image_dir=tmp_path, class_names=["dog"])


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("instances_Train2017", "train"),
        ("custom-training", "train"),
        ("valid", "val"),
        ("lvis_v1_val", "val"),
        ("testing", "test"),
        ("default", ""),
        ("trainval", None),
        ("constrain", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_name(name) == split


def test_unchecked_images(tmp_path: Path) -> None:
    """Who looks for faults opens what would be refused."""
    write(
        tmp_path,
        {"train.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,9,9,c,1,1,2,2\n"},
    )
    write(tmp_path, {"train/a.jpg": ""})
    assert open_dataset(tmp_path, check=False).sizes.tolist() == [[9, 9]]
    with pytest.raises(DataError, match="declares 9 x 9"):
        open_dataset(tmp_path)
