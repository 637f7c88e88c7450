from __future__ import annotations

import gc
import shutil
from pathlib import Path

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.files import annotation, voc_object, write_coco, write_voc
from tests.shared import shared

BOX = annotation(1, 1, (1, 1, 9, 9))


def coco(folder: Path, split: str = "train") -> None:
    write_coco(folder, [(40, 60)], [BOX], split=split)


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train2014.json", "images/train2014"),
        ("annotations/instances_train.json", "train"),
        ("annotations/train.json", "train"),
        ("annotations/train.json", "images/train"),
        ("annotations/train.json", "images"),
        ("annotations/train2017.json", "train"),
        ("train.json", "train"),
        ("train.json", "."),
        ("train/_annotations.coco.json", "train"),
        ("training.json", "training"),
    ],
)
def test_coco_layouts(tmp_path: Path, annotations: str, images: str) -> None:
    coco(tmp_path / "made")
    for source, target in (
        ("annotations/train.json", annotations),
        ("train/1.png", f"{images}/1.png"),
    ):
        (tmp_path / "here" / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(tmp_path / "made" / source, tmp_path / "here" / target)
    data = open_dataset(tmp_path / "here")
    assert data.sample(0).targets.boxes.tolist() == [[1, 1, 10, 10]]
    assert available_splits(tmp_path / "here") == ("train",)
    # The annotation file alone says as much.
    assert len(open_dataset(tmp_path / "here" / annotations)) == 1


@pytest.mark.parametrize("place", [".", "BCCD", "VOC2012", "VOCdevkit/VOC2007"])
def test_voc_layouts(tmp_path: Path, place: str) -> None:
    images = {"a": voc_object("cat", (1, 1, 9, 9)), "b": ""}
    write_voc(tmp_path / place, images, {"train": ["a"], "val": ["b"]})
    assert available_splits(tmp_path) == ("train", "val")
    assert open_dataset(tmp_path).image_id(0) == "a"
    assert open_dataset(tmp_path, "val").image_id(0) == "b"


def test_other_names_of_the_splits(tmp_path: Path) -> None:
    for split in ("train", "valid", "testing"):
        coco(tmp_path, split)
    assert available_splits(tmp_path) == ("train", "val", "test")
    assert Path(open_dataset(tmp_path, "val").image_dir).name == "valid"


def test_explicit_places(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "annotations" / "train.json").rename(tmp_path / "labels.json")
    (tmp_path / "train").rename(tmp_path / "pictures")
    assert len(open_dataset(tmp_path, annotations="labels.json", images="pictures")) == 1
    absolute = open_dataset(
        tmp_path, annotations=tmp_path / "labels.json", images=tmp_path / "pictures"
    )
    assert len(absolute) == 1
    assert len(open_dataset(tmp_path / "labels.json", images="pictures")) == 1
    assert Path(open_dataset(tmp_path / "labels.json").image_dir).name == "pictures"
    with pytest.raises(DataError, match=r"other: no such folder"):
        open_dataset(tmp_path / "labels.json", images="other")
    with pytest.raises(DataError, match=r"none\.json: no such file"):
        open_dataset(tmp_path, annotations="none.json", images="pictures")


def test_class_names_and_missing_images(tmp_path: Path) -> None:
    coco(tmp_path)
    assert open_dataset(tmp_path, class_names=["dog", "cat"]).targets(0).labels.tolist() == [1]
    with pytest.raises(DataError, match="has the class 'dog'"):
        open_dataset(tmp_path, class_names=["cat"])
    assert len(open_dataset(tmp_path, class_names=["cat"], drop_others=True)) == 1
    (tmp_path / "train" / "1.png").rename(tmp_path / "train" / "2.png")
    with pytest.raises(DataError, match=r"train\.json: 1 of its 1 images are not in the folder"):
        open_dataset(tmp_path)


def test_nothing_fits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    assert available_splits(tmp_path / "nowhere") == ()
    (tmp_path / "readme.txt").touch()
    with pytest.raises(DataError, match="no data set in a known format") as error:
        open_dataset(tmp_path)
    text = str(error.value)
    assert "annotations/instances_train2017.json" in text
    assert "ImageSets/Main/train.txt" in text
    assert "It holds 1 .txt (readme.txt)." in text
    coco(tmp_path)
    with pytest.raises(DataError, match=r"no 'val' split. It has: train. Add --split train"):
        open_dataset(tmp_path, "val")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "The folder is empty"),
        (
            {"a.jpg": "", "s/b.png": ""},
            r"2 images \(a\.jpg, s\)\. There are images, but no annotations",
        ),
        (
            {"data.zip": "PK"},
            r"There is an archive\. Unpack it first:\n  unzip \S*/data\.zip -d \S*_looks_\S*\n",
        ),
        ({"a.tfrecord": ""}, "TensorFlow's records files are not read"),
        (
            {"x.json": '{"detections": [], "info": 1}'},
            "x.json has the keys detections, info; COCO has",
        ),
        (
            {"labels.csv": "filename;class;xmin\n"},
            r"labels\.csv is a table with the columns .filename;class;xmin.; one of boxes has",
        ),
        ({"train/_annotations.createml.json": "[]"}, "an export of CreateML, which is not read"),
        ({"x.json": "version https://git-lfs.github.com/spec/v1"}, "is a pointer of Git LFS"),
    ],
)
def test_what_a_folder_looks_like(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


def test_the_folder_that_would_do_is_named(tmp_path: Path) -> None:
    coco(tmp_path / "x" / "mine")
    with pytest.raises(DataError, match=r"x looks like COCO: give --data .*/x\n"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.zip", "PK", r"give the folder:\n  unzip \S*/set\.zip -d \S*/set\n  --data \S*/set$"),
        (
            "my set.tar.gz",
            "",
            r"  mkdir -p '.*/my set' && tar -xf '.*/my set\.tar\.gz' -C '.*/my set'",
        ),
        ("x.json.gz", "", r"is compressed\. .*:\n  gunzip \S*/x\.json\.gz\n  --data \S*/x\.json$"),
        ("a.jpg", "", "is an image"),
        ("a.xml", "<annotation/>", "is a single file of a data set"),
        ("train.tfrecord", "", "is in TensorFlow's records format"),
        ("x.json", "version https://git-lfs.github.com/spec/v1\noid 1", "Run 'git lfs pull'"),
        ("x.bin", "", r"is no file of annotations in a known format \(\.bin\)"),
    ],
)
def test_files_that_are_no_data_set(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / name)


def test_images_that_are_pointers(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "train" / "1.png").write_text("version https://git-lfs.github.com/spec/v1\noid 1")
    with pytest.raises(DataError, match=r"1\.png: is a pointer of Git LFS, not the image itself"):
        open_dataset(tmp_path)


def test_addresses() -> None:
    with pytest.raises(
        DataError, match=r"https://example\.org/coco\.zip: is an address\. Download"
    ):
        open_dataset("https://example.org/coco.zip")


def test_several_data_sets_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("VOC2007", "mine"):
        write_voc(tmp_path / name, {"a": voc_object("cat", (1, 1, 9, 9))}, {"train": ["a"]})
    with pytest.raises(DataError, match=r"has several data sets \(.*VOC2007, .*mine\)"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path / "VOC2007")) == 1


@pytest.mark.parametrize(
    ("name", "split", "images", "objects", "classes"),
    [
        ("coco_mini", "train", 160, 1444, 80),
        ("coco_mini", "val", 188, 1692, 80),
        ("bccd", "train", 205, 2805, 3),
        ("bccd", "val", 87, 1138, 3),
        ("balloon", "train", 61, 255, 1),
        ("balloon", "val", 13, 50, 1),
        ("voc_mini", "train", 70, 179, 20),
        ("voc_mini", "val", 30, 94, 20),
    ],
)
def test_real_data(name: str, split: str, images: int, objects: int, classes: int) -> None:
    data = open_dataset(shared("data", name), split)
    assert (len(data), len(data.annotations), len(data.class_names)) == (images, objects, classes)
    sample = data.sample(len(data) - 1)
    assert sample.image.shape[:2] == sample.info.original_size


def test_several_archives(tmp_path: Path) -> None:
    for name in ("annotations_trainval2017.zip", "train2017.zip"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        open_dataset(tmp_path)
    assert "There are archives. Unpack them first:" in str(error.value)
    for name in ("annotations_trainval2017.zip", "train2017.zip"):
        assert f"\n  unzip {tmp_path / name} -d {tmp_path}\n" in str(error.value)


def test_files_of_a_data_set_that_has_many(tmp_path: Path) -> None:
    """The folder of the set is named."""
    voc = tmp_path / "mine"
    write_voc(voc, {"a": voc_object("cat", (1, 1, 9, 9))}, {"train": ["a"]})
    with pytest.raises(
        DataError, match=r"single file of a data set \(Pascal VOC\).*--data \S+/mine$"
    ):
        open_dataset(voc / "Annotations" / "a.xml")


def test_images_that_are_not_unpacked(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "train" / "1.png").unlink()
    (tmp_path / "train").rmdir()
    (tmp_path / "train.zip").touch()
    with pytest.raises(DataError, match=r"train: no such folder; .* Unpack .*train\.zip\?$"):
        open_dataset(tmp_path)


def test_garbage_is_collected_after_reading(tmp_path: Path) -> None:
    coco(tmp_path)
    open_dataset(tmp_path)
    assert gc.isenabled()
    (tmp_path / "annotations" / "train.json").write_text('{"images": [{}], "annotations": [], ')
    with pytest.raises(DataError):
        open_dataset(tmp_path)
    assert gc.isenabled()
