from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

# https://github.com/datitran/raccoon_dataset/tree/master/annotations, and Roboflow's exports.
TENSORFLOW = """\
filename,width,height,class,xmin,ymin,xmax,ymax
a.jpg,100,50,raccoon,81,8,99,44
a.jpg,100,50,cat,10,5,30,25
"""
# https://github.com/fizyr/keras-retinanet#annotations-format
KERAS = """\
/data/imgs/a.jpg,81,8,99,44,raccoon
/data/imgs/a.jpg,10,5,30,25,cat
/data/imgs/b.jpg,,,,,
"""
# https://github.com/Shenggan/BCCD_Dataset, test.csv
BLOOD = "filename,cell_type,xmin,xmax,ymin,ymax\na.jpg,raccoon,81,99,8,44\na.jpg,cat,10,30,5,25\n"
EXPECTED = [("raccoon", [81, 8, 99, 44]), ("cat", [10, 5, 30, 25])]


@pytest.mark.parametrize("text", [TENSORFLOW, KERAS, BLOOD, TENSORFLOW.replace("\n", "\r\n")])
@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("annotations.csv", "imgs"),
        ("train_labels.csv", "images"),
        ("train/_annotations.csv", "train"),
        ("data/train.csv", "data/train"),
    ],
)
def test_tables(tmp_path: Path, text: str, table: str, folder: str) -> None:
    root = write(tmp_path, {table: text, f"{folder}/a.jpg": "", f"{folder}/b.jpg": ""})
    assert available_splits(root) == ("train",)
    assert boxes(root) == EXPECTED
    assert boxes(root / table) == EXPECTED
    assert len(open_dataset(root)) == (2 if text == KERAS else 1)


def test_splits(tmp_path: Path) -> None:
    files = {
        "train_labels.csv": TENSORFLOW,
        "test_labels.csv": TENSORFLOW.replace("a.jpg", "b.jpg"),
    }
    root = write(tmp_path, {**files, "images/a.jpg": "", "images/b.jpg": ""})
    assert available_splits(root) == ("train", "test")
    assert open_dataset(root, "test").image_id(0) == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TENSORFLOW.replace("81,", "x,"), r"t\.csv: line 2: x1 is 'x' instead of a number"),
        (TENSORFLOW.replace("raccoon", ""), "line 2: has no class"),
        (TENSORFLOW.replace(",44", ""), "line 2: has 7 columns, and the first line 8"),
        ("filename,width,height,class,xmin,ymin,xmax,ymax\n", "lists no images"),
        (
            "a,b\n1,2\n",
            r"t\.csv: is a table with the columns 'a, b'; one of boxes has filename, class",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    root = write(tmp_path, {"t.csv": text, "a.jpg": "", "b.jpg": ""})
    with pytest.raises(DataError, match=message):
        open_dataset(root / "t.csv")


def test_a_line_is_what_csv_says(tmp_path: Path) -> None:
    """Not all that Python's ``splitlines`` takes for an end of a line is one."""
    root = write(tmp_path, {"t.csv": TENSORFLOW.replace("ymax\n", "ymax\x0b"), "a.jpg": ""})
    with pytest.raises(DataError, match="is no data set in a known format"):
        open_dataset(root)


def test_names_without_extensions(tmp_path: Path) -> None:
    table = "image_id,class,xmin,ymin,xmax,ymax\na,cat,10,5,30,25\n"
    root = write(tmp_path, {"train.csv": table, "train/a.jpg": "", "train/b.jpg": ""})
    assert boxes(root) == [("cat", [10, 5, 30, 25])]
