"""The formats of annotation tools: broken text in each, and odd values in those of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.table import FORMATS
from detzoo.data.locate import open_dataset
from detzoo.data.reading import reading_on
from tests.data.formats import test_parquet as test_parquet_format
from tests.data.formats.cases import CASES
from tests.data.formats.files import write
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import broken_bytes, broken_text, broken_values
from tests.fuzz.test_datasets import use, with_content

OTHERS = {"COCO", "Pascal VOC", "Cityscapes", "Parquet"}  # in test_datasets.py, and below


def test_no_format_is_forgotten(folder: Path) -> None:
    """The first file or folder of each case is recognized as a format of its own."""
    tried = set()
    for name, case in CASES.items():
        root = write(folder / "all" / name, case.files)
        tried.add(next(item.name for item in FORMATS if item.find(root)))
    assert tried | OTHERS == {item.name for item in FORMATS}


JSON = [name for name, case in CASES.items() if case.file.endswith(".json")]


def read_on(root: Path) -> DetectionDataset:
    """As ``detzoo data check`` opens it."""
    with reading_on() as faults:
        data = open_dataset(root, check=False)
    assert all(fault.text.strip() for fault in faults)
    return data


@pytest.fixture(scope="module")
def broken_file(request: pytest.FixtureRequest, folder: Path) -> tuple[Path, Path]:
    """The root of a data set, and the file in it that is broken."""
    case = CASES[request.param]
    root = write(folder / request.param, case.files)
    assert len(use(root)) > 0
    return root, root / case.file


@pytest.mark.parametrize("broken_file", CASES, indirect=True)
@given(data=st.data())
def test_text(rule: Rule, broken_file: tuple[Path, Path], data: st.DataObject) -> None:
    root, file = broken_file
    content = data.draw(broken_text(file.read_text("utf-8")))

    def all_ways() -> None:
        rule.read(use, root)
        rule.read(use, file)
        rule.read(read_on, root)

    with_content(file, content, all_ways)


@pytest.mark.parametrize("broken_file", JSON, indirect=True)
@given(data=st.data())
def test_values(rule: Rule, broken_file: tuple[Path, Path], data: st.DataObject) -> None:
    root, file = broken_file
    content: Any = data.draw(broken_values(json.loads(file.read_text("utf-8"))))

    def both() -> None:
        rule.read(use, root)
        rule.read(read_on, root)

    with_content(file, json.dumps(content).encode(), both)


@given(data=st.data())
def test_parquet(rule: Rule, folder: Path, data: st.DataObject) -> None:
    file = folder / "parquet" / "train.parquet"
    if not file.exists():
        test_parquet_format.write_table(file, test_parquet_format.ROWS)
    content = data.draw(broken_bytes(file.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETZOO_DATA_CACHE", str(folder / "cache"))
        with_content(file, content, lambda: rule.read(use, file) and None)
