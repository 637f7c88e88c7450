"""The data that V2 files name themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detzoo.mmdet.data_paths import DataPaths, data_paths


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, in which the working directory and the configurations lie."""
    for file in ("data/a.json", "data/b.json", "data/VOC2007/ImageSets/Main/trainval.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "configs" / "mine").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def found(project: Path, train: Any) -> DataPaths | None:
    return data_paths({"data": {"train": train}}, "train", project / "configs/mine/mine.py")


def test_annotation_files_and_image_folders(project: Path) -> None:
    one = {"ann_file": "data/a.json", "img_prefix": "data/images/", "seg_prefix": "data/maps"}
    (project / "data/images").mkdir()
    wanted = DataPaths(
        (str(project / "data/a.json"),),
        (str(project / "data/images"),),
        # What is nowhere is meant from the working directory, as in MMDetection.
        semantic_maps=str(project / "elsewhere/data/maps"),
    )
    assert found(project, one) == wanted
    rooted = {"ann_file": "a.json", "img_prefix": "images", "seg_prefix": "maps"}
    rooted["data_root"] = "data/"
    assert found(project, rooted) == wanted
    repeated = {"type": "RepeatDataset", "times": 3, "dataset": one}
    assert found(project, repeated) == wanted
    mixed = {"type": "MultiImageMixDataset", "dataset": repeated, "pipeline": []}
    assert found(project, mixed) == wanted


def test_several_data_sets(project: Path) -> None:
    paths = (str(project / "data/a.json"), str(project / "data/b.json"))
    sets = [{"ann_file": "data/a.json"}, {"ann_file": "data/b.json"}]
    for train in (
        sets,
        {"type": "ConcatDataset", "datasets": sets},
        {"ann_file": ["data/a.json", "data/b.json"]},
    ):
        assert found(project, train) == DataPaths(paths)
    both = {"ann_file": ["data/a.json", "data/b.json"], "img_prefix": ["data", "data/VOC2007"]}
    images = (str(project / "data"), str(project / "data/VOC2007"))
    assert found(project, both) == DataPaths(paths, images)


def test_lists_of_pascal_voc(project: Path) -> None:
    """Their folder and the name of the list."""
    voc = {"ann_file": "data/VOC2007/ImageSets/Main/trainval.txt", "img_prefix": "data/VOC2007/"}
    assert found(project, voc) == DataPaths((str(project / "data/VOC2007"),), split="trainval")
    other = {"ann_file": "data/VOC2007/ImageSets/Main/test.txt", "img_prefix": "data/VOC2007/"}
    assert found(project, [voc, other]) is None  # two splits at once


def test_no_data(project: Path) -> None:
    for train in (None, {}, {"type": "CocoDataset"}, 3, {"ann_file": 3}):
        assert found(project, train) is None
    assert data_paths({}, "train", project / "x.py") is None
    assert data_paths({"data": 3}, "train", project / "x.py") is None
