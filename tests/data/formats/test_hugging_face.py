"""Samples in the form of https://huggingface.co/docs/datasets/image_dataset#object-detection."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

SAMPLE = """\
{"file_name": "0001.png", "objects": {"bbox": [[30.0, 10.0, 7.5, 5.0]], "categories": [0]}}
{"file_name": "0002.png", "objects": {"bbox": [[8, 1, 5, 2], [1, 2, 3, 4]], "categories": [2, 0]}}
"""
# The form of the dataset cards of https://huggingface.co/datasets.
CARD = """\
---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: weather
    dtype:
      class_label:
        names:
          '0': sunny
  - name: objects
    sequence:
    - name: category
      dtype:
        class_label:
          names:
            '0': Coverall
            '1': Face_Shield
            '2': Gloves
---
# Card
"""
CORNERS = [[30, 10, 37.5, 15], [8, 1, 13, 3], [1, 2, 4, 6]]


def write_folder(root: Path, content: str, split: str = "train") -> Path:
    images = {f"{split}/{k:04}.png": "" for k in (1, 2)}
    return write(root, {f"{split}/metadata.jsonl": content, **images})


def test_numbers_get_the_names_of_the_card(tmp_path: Path) -> None:
    root = write_folder(tmp_path, SAMPLE)
    assert available_splits(root) == ("train",)
    assert boxes(root) == list(zip(("0", "2", "0"), CORNERS))
    data = open_dataset(root)
    assert data.class_names == ("0", "1", "2")
    assert "names no classes" in data.notes[0]
    (root / "README.md").write_text(CARD)
    assert boxes(root) == list(zip(("Coverall", "Gloves", "Coverall"), CORNERS))
    data = open_dataset(root)
    assert data.class_names == ("Coverall", "Face_Shield", "Gloves")
    assert not data.notes


def test_names_and_a_folder_without_splits(tmp_path: Path) -> None:
    content = SAMPLE.replace("[2, 0]", '["dog", "cat"]').replace("[0]", '["cat"]')
    content = content.replace("categories", "category")
    root = write(tmp_path, {"metadata.jsonl": content, "0001.png": "", "0002.png": ""})
    assert available_splits(root) == ("train",)
    assert boxes(root) == list(zip(("cat", "dog", "cat"), CORNERS))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"file_name": "0003.png", "objects": {"bbox": [[1, 2, 3]], "category": [0]}}',
            r"\[1, 2, 3\]",
        ),
        ('{"file_name": "3.png", "objects": {"bbox": [], "category": [0]}}', "0 boxes, but 1"),
        ('{"file_name": "3.png", "objects": {"bbox": [[1, 2, 3, 4]]}}', "no lists bbox and"),
        (
            '{"file_name": "0003.png", "objects": {"bbox": [[1, 2, 3, 4]], "category": [1.5]}}',
            "1.5",
        ),
        ('{"objects": {}}', "line 3: has no file_name"),
        ('["0003.png"]', "line 3: is a JSON list"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, message: str) -> None:
    root = write_folder(tmp_path, SAMPLE + line + "\n")
    with pytest.raises(DataError, match=message):
        open_dataset(root)


def test_a_number_beyond_the_names(tmp_path: Path) -> None:
    root = write_folder(tmp_path, SAMPLE.replace("[2, 0]", "[3, 0]"))
    (root / "README.md").write_text(CARD)
    with pytest.raises(DataError, match="the category 3 is not one of 0 to 2"):
        open_dataset(root)
