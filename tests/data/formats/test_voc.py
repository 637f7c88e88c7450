from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from detzoo.data.formats.voc import VOC_CLASSES, read_voc
from detzoo.errors import DataError
from tests.data.files import noise, voc_object, write_voc
from tests.shared import shared

HARD = "<difficult>1</difficult>"


def write(tmp_path: Path, objects: str, name: str = "own") -> Path:
    return write_voc(tmp_path / name, {"a": objects}, {"train": ["a"]})


def test_boxes_count_from_zero_and_difficult_ones_are_ignored(tmp_path: Path) -> None:
    objects = voc_object("cat", (1, 1, 60, 40)) + voc_object("ant", (5, 6, 17.5, 18), HARD)
    data = read_voc(write(tmp_path, objects))
    assert data.class_names == ("ant", "cat")
    assert data.image_id(0) == "a"
    sample = data.sample(0)
    assert sample.image.shape == (40, 60, 3)
    assert sample.targets.boxes.tolist() == [[0, 0, 59, 39]]
    assert sample.targets.labels.tolist() == [1]
    assert sample.targets.ignored_boxes.tolist() == [[4, 5, 16.5, 17]]
    truth = data.to_coco()["annotations"]
    assert [a["ignore"] for a in truth] == [0, 1]
    assert [a["bbox"] for a in truth] == [[0, 0, 59, 39], [4, 5, 12.5, 12]]
    assert [a["category_id"] for a in truth] == [2, 1]


def test_every_split_has_the_classes_of_all(tmp_path: Path) -> None:
    images = {"a": voc_object("cat", (1, 1, 9, 9)), "b": voc_object("dog", (1, 1, 9, 9)), "c": ""}
    root = write_voc(tmp_path, images, {"train": ["a"], "val": ["b", "c"]})
    assert read_voc(root, "train").class_names == ("cat", "dog")
    val = read_voc(root, "val")
    assert val.class_names == ("cat", "dog")
    assert [len(val.targets(i)) for i in range(2)] == [1, 0]
    assert len(val.for_training()) == 1
    # Lists of names that a split does not use in full are ordinary; others are not.
    assert read_voc(root, "val", ["dog", "cat"]).targets(0).labels.tolist() == [0]
    with pytest.raises(DataError, match=r"has the class 'cat'"):
        read_voc(root, "val", ["dog"])
    with pytest.raises(DataError, match=r"has no class 'bat'"):
        read_voc(root, "val", ["dog", "cat", "bat"])
    assert read_voc(root, "val", ["dog", "cat", "bat"], allow_absent=True).category_ids == (2, 1, 3)


def test_the_challenges_have_their_twenty_classes(tmp_path: Path) -> None:
    sheep = voc_object("sheep", (1, 1, 9, 9))
    challenge = read_voc(write(tmp_path, sheep, "VOC2012"))
    assert challenge.class_names == VOC_CLASSES
    assert challenge.targets(0).labels.tolist() == [16]
    assert read_voc(write(tmp_path, sheep, "own")).class_names == ("sheep",)
    other = voc_object("ant", (1, 1, 9, 9))
    assert read_voc(write(tmp_path, other, "VOC2007")).class_names == ("ant",)


def test_other_image_types_and_sizes_not_given(tmp_path: Path) -> None:
    root = write(tmp_path, voc_object("cat", (1, 1, 9, 9)))
    (root / "JPEGImages" / "a.jpg").unlink()
    cv2.imwrite(str(root / "JPEGImages" / "a.PNG"), noise(33, 44))
    box = voc_object("cat", (1, 1, 9, 9))
    for size in ("", "<size><width>0</width><height>0</height></size>"):
        (root / "Annotations" / "a.xml").write_text(f"<annotation>{size}{box}</annotation>")
        data = read_voc(root)
        assert data.sizes.tolist() == [[33, 44]]
        assert Path(data.path(0)).name == "a.PNG"


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ("<object><name>cat</name></object>", r"object 1: has no bndbox/xmin"),
        (voc_object("cat", ("x", 1, 2, 3)), r"object 1: bndbox/xmin is 'x' instead of a number"),  # type: ignore[arg-type]
        (voc_object("cat", (1, 1, 9, float("nan"))), r"object 1: bndbox/ymax is 'nan'"),
        (voc_object("cat", (1, 1, 9, 9)) + voc_object(" ", (1, 1, 9, 9)), r"object 2: has no name"),
        (voc_object("cat", (1, 1, 9, 9), "<difficult>so</difficult>"), r"object 1 \(cat\): diffic"),
        ("<object>", r"is not valid XML: line 1, column \d+: mismatched tag"),
    ],
)
def test_bad_annotations(tmp_path: Path, objects: str, message: str) -> None:
    with pytest.raises(DataError, match=r"a\.xml: " + message):
        read_voc(write(tmp_path, objects))


def test_bad_lists(tmp_path: Path) -> None:
    root = write(tmp_path, voc_object("cat", (1, 1, 9, 9)))
    listing = root / "ImageSets" / "Main" / "train.txt"
    with pytest.raises(DataError, match=r"val\.txt: no such list of images"):
        read_voc(root, "val")
    listing.write_text("a\nb\n")
    with pytest.raises(DataError, match=r"train\.txt: lists 'b', which has no file .*b\.xml"):
        read_voc(root)
    listing.write_text("a\na\n")
    with pytest.raises(DataError, match=r"train\.txt: lists 'a' twice"):
        read_voc(root)
    listing.write_text("\n")
    with pytest.raises(DataError, match=r"train\.txt: lists no images"):
        read_voc(root)
    (root / "Annotations" / "a.xml").write_text("<annotation/>")
    listing.write_text("a 1\n")
    with pytest.raises(DataError, match=r"Annotations: there is no class at all"):
        read_voc(root)


def test_zero_size_boxes_of_real_data_are_counted_and_left_out() -> None:
    root = shared("data", "bccd", "BCCD")
    train = read_voc(root, "train")
    assert train.class_names == ("Platelets", "RBC", "WBC")
    assert (len(train), len(train.annotations)) == (205, 2805)
    training = train.for_training()
    assert training.notes == ("1 object ignored in training: under a pixel wide or high",)
    assert sum(len(training.targets(i)) for i in range(205)) == 2804
