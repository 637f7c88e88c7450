"""Samples in the form of CrowdHuman's annotation_train.odgt (https://www.crowdhuman.org)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

NAME = "273271,c9db000d5146c15"


def person(fbox: list[int], tag: str = "person", **extra: int) -> dict[str, Any]:
    return {
        "fbox": fbox,
        "tag": tag,
        "hbox": [17, 8, 6, 8],
        "extra": {"box_id": 0, "occ": 1, **extra},
        "vbox": fbox,
        "head_attr": {"ignore": 0, "occ": 0, "unsure": 0},
    }


SAMPLE = json.dumps(
    {
        "ID": NAME,
        "gtboxes": [
            person([-5, 2, 16, 44]),
            person([40, 5, 10, 30]),
            person([60, 5, 10, 30], ignore=1),
            person([80, 5, 10, 30], tag="mask", ignore=1),
        ],
    }
)


@pytest.mark.parametrize("folder", ["Images", "train", "CrowdHuman_train/Images"])
def test_the_sample(tmp_path: Path, folder: str) -> None:
    files = {"annotation_train.odgt": SAMPLE + "\n", f"{folder}/{NAME}.jpg": ""}
    root = write(tmp_path, files)
    assert available_splits(root) == ("train",)
    # Boxes of the full body, which may reach beyond the image.
    assert boxes(root) == [("person", [-5, 2, 11, 46]), ("person", [40, 5, 50, 35])]
    data = open_dataset(root / "annotation_train.odgt")
    assert data.targets(0).ignored_boxes.tolist() == [[60, 5, 70, 35], [80, 5, 90, 35]]
    assert data.notes == (
        "1 object ignored: ignore",
        "1 object ignored: tag mask (no person, or a crowd of them)",
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"ID": "a", "gtboxes": [', "line 2: is not valid JSON"),
        ('{"gtboxes": []}', "line 2: has no ID"),
        ('{"ID": "a", "gtboxes": [{"fbox": [1, 2]}]}', r"line 2: the fbox \[1, 2\] is not"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, message: str) -> None:
    content = f"{SAMPLE}\n{line}\n"
    root = write(
        tmp_path, {"annotation_val.odgt": content, f"Images/{NAME}.jpg": "", "Images/a.jpg": ""}
    )
    with pytest.raises(DataError, match=message):
        open_dataset(root, "val")
