"""The layouts are those of public data sets and exports, with images of 100 x 50 pixels."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

# Center (.5, .4), .2 wide and .4 high: x 40 to 60, y 10 to 30.
BOX = "1 0.5 0.4 0.2 0.4\n"
XYXY = [40, 10, 60, 30]


SPLIT_FIRST = {
    "train/images/a.jpg": "",
    "train/labels/a.txt": BOX,
    "valid/images/b.jpg": "",
    "valid/labels/b.txt": "",
}
IMAGES_FIRST = {
    "images/train/a.jpg": "",
    "labels/train/a.txt": BOX,
    "images/val/b.jpg": "",
    "labels/val/b.txt": "",
}


@pytest.mark.parametrize(
    ("files", "description"),
    [
        # https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format
        (
            IMAGES_FIRST,
            "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n",
        ),
        (
            IMAGES_FIRST,
            "path: /content/set\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n",
        ),
        # What Roboflow exports; the paths are meant from the folder of data.yaml.
        (
            SPLIT_FIRST,
            "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
            "names: ['cat', 'dog']\n\nroboflow:\n  workspace: x\n  version: 1\n",
        ),
        # Public data sets name the machine on which they were made.
        (
            SPLIT_FIRST,
            "{names: [cat, dog], nc: 2, train: /content/Signs/datasets/train, "
            "val: /content/Signs/datasets/valid}\n",
        ),
        (
            SPLIT_FIRST,
            "names:\n- cat\n- dog\nnc: 2\nval: C:\\work\\crack-2\\valid\\images\n"
            "train: C:\\work\\crack-2\\train\\images\n",
        ),
        # Several folders, and lists of files.
        (
            {**IMAGES_FIRST, "t.txt": "./images/train/a.jpg\n"},
            "train: t.txt\nval: [images/val]\nnames: [cat, dog]\n",
        ),
        # CVAT's "Ultralytics YOLO Detection 1.0".
        (
            {
                **IMAGES_FIRST,
                "train.txt": "data/images/train/a.jpg\n",
                "val.txt": "data/images/val/b.jpg\n",
            },
            "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\nval: val.txt\n",
        ),
    ],
)
def test_data_yaml(tmp_path: Path, files: dict[str, str], description: str) -> None:
    root = write(tmp_path, {**files, "data.yaml": description})
    for place in (root, root / "data.yaml"):
        assert available_splits(place) == ("train", "val")
        data = open_dataset(place)
        assert data.class_names == ("cat", "dog")
        assert data.image_id(0) == "a"
        assert data.targets(0).labels.tolist() == [1]
        assert boxes(place) == [("dog", XYXY)]
        assert boxes(place, "val") == []


@pytest.mark.parametrize(
    "files",
    [
        # Label Studio's YOLO export.
        {"images/a.jpg": "", "labels/a.txt": BOX, "classes.txt": "cat\ndog\n", "notes.json": "{}"},
        # labelImg: beside the images.
        {"a.jpg": "", "a.txt": BOX, "classes.txt": "cat\ndog\n"},
        {"train/images/a.jpg": "", "train/labels/a.txt": BOX, "classes.txt": "cat\ndog\n"},
        {"images/train/a.jpg": "", "labels/train/a.txt": BOX, "classes.txt": "cat\ndog\n"},
        # CVAT's YOLO 1.1.
        {
            "obj.data": "classes = 2\nnames = data/obj.names\ntrain = data/train.txt\n",
            "obj.names": "cat\ndog\n",
            "train.txt": "data/obj_train_data/a.jpg\n",
            "obj_train_data/a.jpg": "",
            "obj_train_data/a.txt": BOX,
        },
    ],
)
def test_other_descriptions(tmp_path: Path, files: dict[str, str]) -> None:
    data = open_dataset(write(tmp_path, files))
    assert data.class_names == ("cat", "dog")
    assert available_splits(tmp_path) == ("train",)
    assert boxes(tmp_path) == [("dog", XYXY)]


def test_several_data_sets_are_not_guessed_between(tmp_path: Path) -> None:
    files = {"images/a.jpg": "", "labels/a.txt": BOX}
    root = write(
        tmp_path, {f"{name}/{file}": text for name in "xy" for file, text in files.items()}
    )
    with pytest.raises(DataError, match="has 2 folders of labels for the same split"):
        open_dataset(root)
    assert boxes(root / "x") == [("1", XYXY)]
    # Folders in one folder of labels are one data set.
    files = {
        f"{kind}/{name}/{name}.{suffix}": BOX
        for name in "xy"
        for kind, suffix in (("images", "jpg"), ("labels", "txt"))
    }
    assert boxes(write(tmp_path / "z", files)) == [("1", XYXY), ("1", XYXY)]


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    data = open_dataset(write(tmp_path, {"images/a.jpg": "", "labels/a.txt": BOX}))
    assert data.class_names == ("0", "1")
    assert "classes.txt" in data.notes[0]


def test_only_the_number_of_classes(tmp_path: Path) -> None:
    files = {**IMAGES_FIRST, "data.yaml": "train: images/train\nnc: 3\nnames:\n"}
    assert open_dataset(write(tmp_path, files)).class_names == ("0", "1", "2")


def test_names_in_a_file(tmp_path: Path) -> None:
    files = {**IMAGES_FIRST, "data/x.names": "cat\ndog\n"}
    root = write(tmp_path, {**files, "x.yaml": "train: images/train\nnames: data/x.names\n"})
    assert boxes(root) == [("dog", XYXY)]


def test_names_are_text(tmp_path: Path) -> None:
    names = "train: images/train\nnames: {0: no, 1: 1.0, 2: ~}\n"
    assert open_dataset(write(tmp_path, {**IMAGES_FIRST, "data.yaml": names})).class_names == (
        "no",
        "1.0",
        "~",
    )


def test_polygons(tmp_path: Path) -> None:
    line = "0 0.4 0.2 0.6 0.2 0.6 0.6\n" + BOX
    root = write(tmp_path, {"images/a.jpg": "", "labels/a.txt": line, "classes.txt": "cat\ndog\n"})
    data = open_dataset(root)
    assert boxes(root) == [("cat", [40, 10, 60, 30]), ("dog", XYXY)]
    assert data.annotations.segmentations is not None
    assert data.annotations.segmentations.polygons(0)[0].round(3).tolist() == [
        [40, 10],
        [60, 10],
        [60, 30],
    ]
    assert data.num_without_mask == 1


def test_keypoints_follow_the_box(tmp_path: Path) -> None:
    line = BOX.strip() + " 0.1 0.1 0.2 0.2\n"
    description = "train: images/train\nkpt_shape: [2, 2]\nnames: [cat, dog]\n"
    files = {**IMAGES_FIRST, "labels/train/a.txt": line, "data.yaml": description}
    assert boxes(write(tmp_path, files)) == [("dog", XYXY)]
    assert not open_dataset(tmp_path).has_masks


def test_val_is_train(tmp_path: Path) -> None:
    description = "train: images/train\nval: images/train\nnames: [cat, dog]\n"
    root = write(tmp_path, {**IMAGES_FIRST, "data.yaml": description})
    assert open_dataset(root, "val").notes == ("val are the images of train",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", r"a\.txt: line 1: the class is 2; .*data\.yaml has 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", r"line 1: the class is 0\.5"),
        ("1 250 120 30 40", r"line 1: 250 is no fraction"),
        ("1 0.5 0.5 nan 0.1", r"line 1: nan is no fraction"),
        ("1 0.5 0.5 0.1", r"line 1: holds 4 numbers"),
        ("cat 0.5 0.5 0.1 0.1", r"line 1: 'cat 0\.5 0\.5 0\.1 0\.1' are not numbers"),
    ],
)
def test_bad_labels(tmp_path: Path, line: str, message: str) -> None:
    description = "train: images/train\nnames: [cat, dog]\n"
    files = {**IMAGES_FIRST, "labels/train/a.txt": line, "data.yaml": description}
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, files))


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (
            "train: nowhere\nnames: [cat, dog]\n",
            r"data\.yaml: names 'nowhere', which is neither below",
        ),
        ("train: images/val/../none\nnames: [a]\n", "which is neither below"),
        ("train: images/train\nnames: {1: cat, 2: dog}\n", "the keys of names are 1, 2, not"),
        ("train: [images/train\nnames: [a]\n", r"data\.yaml, line \d+: is not valid YAML"),
        ("train: empty\nnames: [cat]\n", "there are no images in"),
        ("train: bare\nnames: [cat]\n", "none of its 1 images has a file of labels"),
    ],
)
def test_bad_descriptions(tmp_path: Path, description: str, message: str) -> None:
    files = {**IMAGES_FIRST, "empty/x": "", "bare/a.jpg": "", "data.yaml": description}
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, files))


def test_a_number_of_classes_without_names(tmp_path: Path) -> None:
    files = {"data.yaml": "train: images/train\nnc: 3\n", "images/train/a.jpg": ""}
    root = write(tmp_path, {**files, "labels/train/a.txt": BOX})
    assert open_dataset(root).class_names == ("0", "1", "2")


@pytest.mark.parametrize("name", ["_darknet.labels", "obj.names", "classes.txt"])
def test_files_of_class_names(tmp_path: Path, name: str) -> None:
    """Roboflow's Darknet export has one in each folder."""
    files = {"train/a.jpg": "", "train/a.txt": BOX, f"train/{name}": "cat\ndog\n"}
    assert open_dataset(write(tmp_path, files)).class_names == ("cat", "dog")
