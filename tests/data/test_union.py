from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.data.formats.voc import VOC_CLASSES, read_voc
from detzoo.data.locate import available_splits, open_dataset
from detzoo.data.union import union
from detzoo.errors import DataError
from tests.data.files import voc_object, write_voc


def write_devkit(root: Path) -> None:
    cat, dog = voc_object("cat", (1, 1, 9, 9)), voc_object("dog", (2, 3, 20, 30))
    write_voc(
        root / "VOC2007",
        {"000001": cat, "000002": ""},
        {"trainval": ["000001"], "test": ["000002"]},
    )
    difficult = voc_object("cat", (5, 5, 25, 25), "<difficult>1</difficult>")
    write_voc(root / "VOC2012", {"2008_1": dog + difficult}, {"trainval": ["2008_1"]})


def test_two_years_are_one_data_set(tmp_path: Path) -> None:
    write_devkit(tmp_path / "VOCdevkit")
    for place in (tmp_path, tmp_path / "VOCdevkit"):
        data = open_dataset(place, "trainval")
        assert data.class_names == VOC_CLASSES
        assert [data.image_id(i) for i in range(len(data))] == ["000001", "2008_1"]
        assert data.file_names[1] == "VOC2012/JPEGImages/2008_1.jpg"
        assert data.annotations.ids.tolist() == [1, 2, 3]
        second = data.sample(1)
        assert second.targets.boxes.tolist() == [[1, 2, 19, 29]]
        assert second.targets.labels.tolist() == [VOC_CLASSES.index("dog")]
        assert second.targets.ignored_boxes.tolist() == [[4, 4, 24, 24]]
        # Without lists of their own, trainval is what to train on.
        assert available_splits(place) == ("train", "test")
        assert open_dataset(place, "test").image_id(0) == "000002"


def test_what_does_not_go_together(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    one = read_voc(tmp_path / "VOC2007", "trainval")
    assert union([one]) is one
    with pytest.raises(DataError, match="has an image '000001', like"):
        union([one, one])
    with pytest.raises(DataError, match="its classes are not those of"):
        union([one, one.select_classes(["cat"], drop_others=True)])
