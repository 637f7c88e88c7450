"""The sample has the columns of https://storage.googleapis.com/openimages/web/download_v7.html."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detzoo import zoo
from detzoo.data.locate import available_splits, open_dataset
from detzoo.data.writers.convert import convert
from detzoo.errors import DataError
from detzoo.train.data import usable_data
from tests.data.formats.files import boxes, write

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)
BOXES = HEADER + (
    "000026e7ee790996,xclick,/m/07j7r,1,0.1,0.3,0.2,0.6,0,1,0,0,0\n"
    "000026e7ee790996,xclick,/m/015p6,1,0.5,0.9,0.4,0.8,1,0,1,0,0\n"
    "000026e7ee790999,xclick,/m/015p6,1,0.5,0.9,0.4,0.8,1,0,1,0,0\n"
)
CLASSES = "/m/011k07,Tortoise\n/m/015p6,Bird\n/m/07j7r,Tree\n"
# The last label is a machine's, the one before of a class without boxes.
LABELS = """\
ImageID,Source,LabelName,Confidence
000026e7ee790996,verification,/m/011k07,0
000026e7ee790996,verification,/m/07j7r,1
000026e7ee790999,verification,/m/011k07,1
000026e7ee790996,verification,/m/0zzzzz,1
000026e7ee790996,verification,/m/015p6,0.7
"""
HIERARCHY = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [{"LabelName": "/m/015p6", "Subcategory": [{"LabelName": "/m/011k07"}]}],
}


@pytest.mark.parametrize(
    ("table", "classes", "images"),
    [
        ("oidv6-train-annotations-bbox.csv", "class-descriptions-boxable.csv", "train"),
        (
            "labels/oidv6-train-annotations-bbox.csv",
            "metadata/class-descriptions.csv",
            "train/data",
        ),
        (
            "annotations/train-annotations-bbox.csv",
            "class-descriptions-boxable.csv",
            "images/train",
        ),
    ],
)
def test_the_sample(tmp_path: Path, table: str, classes: str, images: str) -> None:
    files = {table: BOXES, classes: CLASSES, f"{images}/000026e7ee790996.jpg": ""}
    root = write(tmp_path, files)
    assert available_splits(root) == ("train",)
    data = open_dataset(root)
    assert data.class_names == ("Tortoise", "Bird", "Tree")
    assert boxes(root) == [("Tree", [10, 10, 30, 30])]
    assert data.annotations.is_crowd.tolist() == [False, True]
    assert [round(n, 6) for n in data.annotations.boxes[1].tolist()] == [50, 20, 40, 20]
    assert data.notes == (
        f"1 image of {Path(table).name} left out: not there",
        "1 object ignored, unless the recipe learns them: crowds",
        "evaluated without image-level labels (*-human-imagelabels.csv) and the hierarchy of "
        "classes (*hierarchy.json): not there",
    )


def test_groups_are_learned_where_the_recipe_says_so(tmp_path: Path) -> None:
    files = {
        "train-annotations-bbox.csv": BOXES,
        "class-descriptions.csv": CLASSES,
        "train/000026e7ee790996.jpg": "",
    }
    data = open_dataset(write(tmp_path, files))
    ignoring = data.for_training().targets(0)
    assert (len(ignoring.boxes), len(ignoring.ignored_boxes)) == (1, 1)
    assert zoo.find("ssd300_32x8_36e_openimages").experiment.data.learn_crowds
    experiment = zoo.find("retinanet_r50_fpn_32x2_1x_openimages").experiment
    learning = usable_data(replace(experiment, class_names=data.class_names), data)
    torch.testing.assert_close(
        learning.targets(0).boxes, torch.tensor([[10.0, 10, 30, 30], [50, 20, 90, 40]])
    )
    assert len(learning.targets(0).ignored_boxes) == 0
    assert "1 crowd learned like other objects" in learning.notes


@pytest.mark.parametrize("folder", ["", "annotations/"])
def test_what_its_metric_needs(tmp_path: Path, folder: str) -> None:
    files = {
        f"{folder}challenge-2019-validation-detection-bbox.csv": BOXES,
        f"{folder}challenge-2019-classes-description-500.csv": CLASSES,
        f"{folder}challenge-2019-validation-detection-human-imagelabels.csv": LABELS,
        # Those of another split, and those of machines.
        f"{folder}challenge-2019-train-detection-human-imagelabels.csv": LABELS.replace(",0", ",x"),
        f"{folder}validation-annotations-machine-imagelabels.csv": LABELS.replace(",0", ",x"),
        f"{folder}challenge-2019-label500-hierarchy.json": json.dumps(HIERARCHY),
        "validation/000026e7ee790996.jpg": "",
        "validation/000026e7ee790999.jpg": "",
    }
    data = open_dataset(write(tmp_path, files), "val")
    labels = data.open_images
    assert labels is not None
    assert [labels.verified[i] for i in range(2)] == [[0, 2], [0]]
    # The tortoise, for once, is a bird.
    assert [labels.ancestors[c] for c in range(3)] == [[1], [], []]
    assert data.notes == ("2 objects ignored, unless the recipe learns them: crowds",)
    out = tmp_path.with_name(f"{tmp_path.name}-out")
    assert convert({"val": data}, "coco", out).changes["image-level labels left out"] == 3
    table = tmp_path / folder / "challenge-2019-validation-detection-human-imagelabels.csv"
    table.write_text(LABELS.replace("0.7", "sure"))
    with pytest.raises(DataError, match=r"imagelabels\.csv: line 6: its Confidence is no number"):
        open_dataset(tmp_path, "val")
    table.write_text(LABELS)
    Path(tmp_path, folder, "challenge-2019-label500-hierarchy.json").write_text('["Bird"]')
    with pytest.raises(DataError, match=r"hierarchy\.json: is no hierarchy of classes"):
        open_dataset(tmp_path, "val")


# MMDetection's form of the same: numbers of classes, and a line that nothing reads.
LIST = """\
train/000026e7ee790996.jpg
100 50
2
3 0.1 0.2 0.3 0.6 0
2 0.5 0.4 0.9 0.8 1
train/000026e7ee790998.jpg
100 50
0
train/000026e7ee790999.jpg
100 50
1
2 0.5 0.4 0.9 0.8 1
"""
NUMBERS = "/m/07j7r,Tree,3\n/m/011k07,Tortoise,1\n/m/015p6,Bird,2\n"
# A tortoise is a bird; the first row and column are no class's.
TREE = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def write_mmdetections(root: Path) -> Path:
    write(root, {
        "challenge2019/challenge-2019-validation-detection-bbox.txt": LIST,
        "challenge2019/cls-label-description.csv": NUMBERS,
        "challenge2019/challenge-2019-validation-detection-human-imagelabels.csv": LABELS,
        "OpenImages/train/000026e7ee790996.jpg": "",
        "OpenImages/train/000026e7ee790998.jpg": "",
    })  # fmt: skip
    return root


@pytest.mark.parametrize("saves", [np.save, lambda file, tree: pickle.dump(tree, file)])
def test_mmdetections_form(tmp_path: Path, saves: Callable[[Any, Any], None]) -> None:
    root = write_mmdetections(tmp_path)
    with open(root / "challenge2019" / "class_label_tree.np", "wb") as stream:
        saves(stream, TREE)
    file = root / "challenge2019" / "challenge-2019-validation-detection-bbox.txt"
    given = open_dataset(file, images=root / "OpenImages")
    for data in (open_dataset(root, "val"), given):
        assert data.class_names == ("Tortoise", "Bird", "Tree")
        assert data.annotations.labels.tolist() == [2, 1]
        assert data.annotations.is_crowd.tolist() == [False, True]
        torch.testing.assert_close(
            data.annotations.boxes.float(), torch.tensor([[10.0, 10, 20, 20], [50, 20, 40, 20]])
        )
        assert [Path(data.file_names[i]).name for i in range(2)] == [
            "000026e7ee790996.jpg",
            "000026e7ee790998.jpg",
        ]
        labels = data.open_images
        assert labels is not None
        assert [labels.verified[i] for i in range(2)] == [[0, 2], []]
        assert [labels.ancestors[c] for c in range(3)] == [[1], [], []]
        assert data.notes == (
            "1 image of challenge-2019-validation-detection-bbox.txt left out: not there",
            "1 object ignored, unless the recipe learns them: crowds",
        )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bbox.txt", ("0.3 0.6 0", "0.3 x 0"), r"bbox\.txt: line 4: .* is not the number of a cla"),
        ("bbox.txt", ("3 0.1", "7 0.1"), "line 4: class 7 is not among the 3 numbered"),
        ("bbox.txt", ("\n2\n", "\n1\n"), "line 5: is not the name of an image two lines before"),
        ("bbox.txt", ("\n1\n", "\n9\n"), "line 9: has 1 of 9 objects. Is the file cut off"),
        ("description.csv", (",Bird,2", ",Bird"), "its rows must be a class's machine id"),
    ],
)
def test_what_is_wrong_with_mmdetections_form(
    tmp_path: Path, name: str, change: tuple[str, str], message: str
) -> None:
    root = write_mmdetections(tmp_path)
    (file,) = (root / "challenge2019").glob(f"*{name}")
    file.write_text(file.read_text().replace(*change, 1))
    with pytest.raises(DataError, match=message):
        open_dataset(root, "val")


class Executed:
    """What a pickle must not do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


@pytest.mark.parametrize("tree", [TREE[:3], TREE.astype(str), "text", Executed()])
def test_hierarchies_that_are_none(
    tmp_path: Path, tree: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_mmdetections(tmp_path)
    with open(root / "challenge2019" / "class_label_tree.np", "wb") as stream:
        pickle.dump(tree, stream)
    message = r"label_tree\.np: (is no hierarchy|cannot be read without)"
    with pytest.raises(DataError, match=message):
        open_dataset(root, "val")
    assert "executed" not in capsys.readouterr().out


def test_lists_without_their_images(tmp_path: Path) -> None:
    root = write_mmdetections(tmp_path)
    with pytest.raises(DataError, match=r"none of its 3 images is there, such as train/.*--images"):
        open_dataset(root, "val", images=root / "challenge2019")


def test_numbers_without_their_classes(tmp_path: Path) -> None:
    root = write_mmdetections(tmp_path)
    (root / "challenge2019" / "cls-label-description.csv").unlink()
    with pytest.raises(DataError, match=r"Copy cls-label-description\.csv there"):
        open_dataset(root, "val")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    name = "train-annotations-bbox.csv"
    root = write(tmp_path, {name: BOXES.replace("0.1,", "x,"), "train/000026e7ee790996.jpg": ""})
    with pytest.raises(DataError, match=r"bbox\.csv: line 2: one of XMin, YMin, XMax, YMax"):
        open_dataset(root)
    root = write(tmp_path / "other", {name: BOXES, "train/x.jpg": ""})
    with pytest.raises(DataError, match="none of its 2 images is in"):
        open_dataset(root)
