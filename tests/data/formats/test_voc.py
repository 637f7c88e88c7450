from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from detzoo.data.formats.voc import VOC_CLASSES
from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.files import noise, voc_object, write_voc
from tests.shared import shared

HARD = "<difficult>1</difficult>"


def write(tmp_path: Path, objects: str, name: str = "own") -> Path:
    return write_voc(tmp_path / name, {"a": objects}, {"train": ["a"]})


def test_boxes_count_from_zero_and_difficult_ones_are_ignored(tmp_path: Path) -> None:
    objects = voc_object("cat", (1, 1, 60, 40)) + voc_object("ant", (5, 6, 17.5, 18), HARD)
    data = open_dataset(write(tmp_path, objects))
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
    assert open_dataset(root, "train").class_names == ("cat", "dog")
    val = open_dataset(root, "val")
    assert val.class_names == ("cat", "dog")
    assert [len(val.targets(i)) for i in range(2)] == [1, 0]
    assert len(val.for_training()) == 1
    # Lists of names that a split does not use in full are ordinary; others are not.
    assert open_dataset(root, "val", class_names=["dog", "cat"]).targets(0).labels.tolist() == [0]
    with pytest.raises(DataError, match=r"has the class 'cat'"):
        open_dataset(root, "val", class_names=["dog"])
    with pytest.raises(DataError, match=r"has no class 'bat'"):
        open_dataset(root, "val", class_names=["dog", "cat", "bat"])
    names = ["dog", "cat", "bat"]
    val = open_dataset(root, "val", class_names=names, allow_absent=True)
    assert val.category_ids == (2, 1, 3)


def test_the_challenges_have_their_twenty_classes(tmp_path: Path) -> None:
    sheep = voc_object("sheep", (1, 1, 9, 9))
    challenge = open_dataset(write(tmp_path, sheep, "VOC2012"))
    assert challenge.class_names == VOC_CLASSES
    assert challenge.targets(0).labels.tolist() == [16]
    assert open_dataset(write(tmp_path, sheep, "own")).class_names == ("sheep",)
    other = voc_object("ant", (1, 1, 9, 9))
    assert open_dataset(write(tmp_path, other, "VOC2007")).class_names == ("ant",)


def test_other_image_types_and_sizes_not_given(tmp_path: Path) -> None:
    root = write(tmp_path, voc_object("cat", (1, 1, 9, 9)))
    (root / "JPEGImages" / "a.jpg").unlink()
    cv2.imwrite(str(root / "JPEGImages" / "a.PNG"), noise(33, 44))
    box = voc_object("cat", (1, 1, 9, 9))
    for size in ("", "<size><width>0</width><height>0</height></size>"):
        (root / "Annotations" / "a.xml").write_text(f"<annotation>{size}{box}</annotation>")
        data = open_dataset(root)
        assert data.sizes.tolist() == [[33, 44]]
        assert Path(data.path(0)).name == "a.PNG"


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ("<object><name>cat</name></object>", r"object 1 \(cat\): has no bndbox\. Export upright"),
        (
            "<object><name>cat</name><polygon/></object>",
            r".*no bndbox but a polygon, which is not read",
        ),
        (voc_object("cat", (1, 1)), r"object 1 \(cat\): has no bndbox/xmax"),
        (
            voc_object("cat", ("x", 1, 2, 3)),
            r"object 1 \(cat\): bndbox/xmin is 'x' instead of a number",
        ),  # type: ignore[arg-type]
        (voc_object("cat", (1, 1, 9, float("nan"))), r"object 1 \(cat\): bndbox/ymax is 'nan'"),
        (voc_object("cat", (1, 1, 9, 9)) + voc_object(" ", (1, 1, 9, 9)), r"object 2: has no name"),
        (voc_object("cat", (1, 1, 9, 9), "<difficult>so</difficult>"), r"object 1 \(cat\): diffic"),
        ("<object>", r"is not valid XML: line 1, column \d+: mismatched tag"),
    ],
)
def test_bad_annotations(tmp_path: Path, objects: str, message: str) -> None:
    with pytest.raises(DataError, match=r"a\.xml: " + message):
        open_dataset(write(tmp_path, objects))


def test_bad_lists(tmp_path: Path) -> None:
    root = write(tmp_path, voc_object("cat", (1, 1, 9, 9)))
    listing = root / "ImageSets" / "Main" / "train.txt"
    with pytest.raises(DataError, match=r"has no 'val' split"):
        open_dataset(root, "val")
    listing.write_text("a\nb\n")
    with pytest.raises(DataError, match=r"train\.txt: lists 'b', which has no file .*b\.xml"):
        open_dataset(root)
    listing.write_text("a\na\n")
    with pytest.raises(DataError, match=r"train\.txt: lists 'a' twice"):
        open_dataset(root)
    listing.write_text("\n")
    with pytest.raises(DataError, match=r"train\.txt: lists no images"):
        open_dataset(root)
    (root / "Annotations" / "a.xml").write_text("<annotation/>")
    listing.write_text("a 1\n")
    with pytest.raises(DataError, match=r"train\.txt: none of its images has an object"):
        open_dataset(root)


def layout(tmp_path: Path, *places: str) -> Path:
    """A data set of one image ``a`` at ``places``: annotation, image, list or other files."""
    write(tmp_path, voc_object("cat", (1, 1, 9, 9)), "made")
    for place in places:
        (tmp_path / "set" / place).parent.mkdir(parents=True, exist_ok=True)
        name = {".xml": "Annotations/a.xml", ".jpg": "JPEGImages/a.jpg"}.get(Path(place).suffix)
        source = tmp_path / "made" / (name or "ImageSets/Main/train.txt")
        shutil.copy(source, tmp_path / "set" / place)
    return tmp_path / "set"


@pytest.mark.parametrize(
    "places",
    [
        ("Annotations/a.xml", "JPEGImages/a.jpg"),
        ("annotations/a.xml", "images/a.jpg"),
        ("annots/a.xml", "images/a.jpg"),
        ("a.xml", "a.jpg"),
        ("train/a.xml", "train/a.jpg"),
        ("train/annotations/a.xml", "train/images/a.jpg"),
        ("images/a.xml", "images/a.jpg", "train.txt"),
        ("Annotations/s/a.xml", "JPEGImages/s/a.jpg", "ImageSets/Main/train.txt"),
        ("Annotations/a.xml", "JPEGImages/s/a.jpg", "ImageSets/Main/train.txt"),
        ("Annotations/a.xml", "JPEGImages/a.jpg", "ImageSets/train.txt"),
        ("Annotations/a.xml", "JPEGImages/a.jpg", "ImageSets/Main/default.txt"),
        ("Annotations/a.xml", "JPEGImages/a.jpg", "ImageSets/Layout/trainval.txt"),
        ("x/VOCdevkit/mine/Annotations/a.xml", "x/VOCdevkit/mine/JPEGImages/a.jpg"),
    ],
)
def test_layouts(tmp_path: Path, places: tuple[str, ...]) -> None:
    root = layout(tmp_path, *places)
    assert available_splits(root) == ("train",)
    data = open_dataset(root)
    assert data.class_names == ("cat",)
    assert data.sample(0).targets.boxes.tolist() == [[0, 0, 8, 8]]
    assert data.notes == ()


def test_images_without_annotations_are_counted(tmp_path: Path) -> None:
    data = open_dataset(layout(tmp_path, "xml/a.xml", "images/a.jpg", "images/b.jpg"))
    assert (len(data), data.notes) == (1, ("1 image without XML left out",))


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg",
        "a.xml",
        "/home/me/VOC/JPEGImages/a.jpg",
        "C:\\VOC\\a.jpg",
        "a -1",
        "# x\na",
        "\ufeffa",
    ]
    + ["./images/a.jpg ./annotations/a.xml", "a\n\n"],
)
def test_lines_of_lists(tmp_path: Path, line: str) -> None:
    root = write(tmp_path, voc_object("cat", (1, 1, 9, 9)))
    (root / "ImageSets" / "Main" / "train.txt").write_text(line, "utf-8")
    assert open_dataset(root).image_id(0) == "a"


def test_names_with_blanks(tmp_path: Path) -> None:
    cat = voc_object("cat", (1, 1, 9, 9))
    root = write_voc(tmp_path, {"my a": cat, "my": cat}, {"train": ["my a"]})
    assert open_dataset(root).image_id(0) == "my a"


def test_what_is_not_listed_is_not_opened(tmp_path: Path) -> None:
    root = write(tmp_path, voc_object("cat", (1, 1, 9, 9)))
    (root / "Annotations" / "b.xml").write_text("<annotation><object>")
    (root / "Annotations" / "._a.xml").write_bytes(b"\0\5\x16\7\0Mac OS X")
    assert open_dataset(root).class_names == ("cat",)


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("utf-16", "utf-16"),
        ("gb2312", "GB2312"),
        ("gbk", "GBK"),
        ("gb18030", ""),
        ("shift_jis", "Shift_JIS"),
        ("shift_jis", ""),
        ("cp932", "shift_jis"),
    ],
)
@pytest.mark.parametrize("name", ["信号灯", "ネコ"])
def test_encodings(tmp_path: Path, encoding: str, declared: str, name: str) -> None:
    if encoding in ("gb2312", "gbk", "gb18030") and name == "ネコ":
        name = "猫狗"
    if encoding in ("shift_jis", "cp932"):
        name = name.replace("灯", "機")
    root = write(tmp_path, voc_object(name, (1, 1, 9, 9)))
    file = root / "Annotations" / "a.xml"
    first = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    file.write_bytes((first + file.read_text("utf-8")).encode(encoding))
    assert open_dataset(root).class_names == (name,)


def test_western_text_without_a_declaration(tmp_path: Path) -> None:
    root = write(tmp_path, voc_object("café", (1, 1, 9, 9)))
    file = root / "Annotations" / "a.xml"
    file.write_bytes(file.read_text("utf-8").encode("latin-1"))
    assert open_dataset(root).class_names == ("café",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'<?xml version="1.0" encoding="foo"?><annotation/>', "declares the encoding 'foo'"),
        (
            b'<?xml version="1.0" encoding="gbk"?><annotation>\xff</annotation>',
            "is not text in the",
        ),
        (b"<html/>", ".* its outer element is <html>"),
        (b"", "is not valid XML: line 1"),
    ],
)
def test_files_that_are_no_annotations(tmp_path: Path, content: bytes, message: str) -> None:
    root = write(tmp_path, voc_object("cat", (1, 1, 9, 9)))
    (root / "Annotations" / "a.xml").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.xml: {message}"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("value", "ignored"), [("1", True), ("True", True), ("0", False), ("", False), ("None", False)]
)
def test_ways_to_write_difficult(tmp_path: Path, value: str, ignored: bool) -> None:
    objects = voc_object("cat", (1, 1, 9, 9), f"<difficult>{value}</difficult>")
    data = open_dataset(write(tmp_path, objects))
    assert data.annotations.is_ignored.tolist() == [ignored]
    assert data.notes == (("1 object ignored: difficult",) if ignored else ())


def test_zero_size_boxes_of_real_data_are_counted_and_left_out() -> None:
    root = shared("data", "bccd", "BCCD")
    train = open_dataset(root, "train")
    assert train.class_names == ("Platelets", "RBC", "WBC")
    assert (len(train), len(train.annotations)) == (205, 2805)
    training = train.for_training()
    assert training.notes == ("1 object ignored in training: under a pixel wide or high",)
    assert sum(len(training.targets(i)) for i in range(205)) == 2804
