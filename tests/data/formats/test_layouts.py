"""Each row of the table of layouts in ``docs/data.md``."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.table import FORMATS
from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import write
from tests.data.formats.layouts import LAYOUTS, PAGE, Layout, page


def what_happens(layout: Layout) -> tuple[str, DetectionDataset | None]:
    words = shlex.split(layout.typed)
    given = dict(zip(words[::2], words[1::2]))
    data, images = given["--data"], given.get("--images")
    try:
        dataset = open_dataset(data, images=None if images is None else Path(images).resolve())
    except DataError as error:
        return f"refused: {' '.join(str(error).split())}", None
    name = next(item.name for item in FORMATS if item.find(Path(data)))
    splits = ", ".join(available_splits(data)) or "the file"
    return "; ".join([f"{name}: {splits}", *dataset.notes]), dataset


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.whose)
def test_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    write(tmp_path / "my_data", layout.files)
    monkeypatch.chdir(tmp_path)
    happens, data = what_happens(layout)
    happens = happens.replace(f"{tmp_path.resolve()}/", "")
    if data is None:
        assert happens.startswith(layout.happens)
    else:
        assert happens == layout.happens
        (name,) = {data.class_names[k] for k in data.annotations.labels.tolist()}
        assert name == layout.class_name
        assert data.targets(0).boxes.tolist() == [pytest.approx([10, 5, 30, 25])]


def test_the_table_of_the_documentation() -> None:
    assert len(LAYOUTS) >= 25
    written = PAGE.read_text("utf-8")
    assert written == page(written), "run `python -m tests.data.formats.layouts`"
