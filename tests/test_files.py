from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from detzoo.data.formats.sniff import beginning, read_text
from detzoo.data.formats.voc_xml import read_xml
from detzoo.data.images import header_of, image_size, read_gray, read_image
from detzoo.data.locate import open_dataset
from detzoo.data.proposals import _read_pickle
from detzoo.errors import UserError
from detzoo.files import check_regular, read_json
from detzoo.inference.inputs import find_files
from detzoo.logs import read_log
from detzoo.mmdet import read_experiment
from detzoo.weights.files import read_file

READERS: list[Callable[[Path], object]] = [
    *(read_json, read_image, read_gray, image_size, header_of),
    *(find_files, read_log, read_experiment, read_file, _read_pickle),
    *(read_text, beginning, read_xml, open_dataset),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["x.jpg", "x.json", "x.py", "x.pkl"])
def test_pipes_and_devices_are_not_read(
    tmp_path: Path, read: Callable[[Path], object], name: str
) -> None:
    """It would wait for ever, or fill the memory."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="pipe, socket or device"):
        read(tmp_path / name)
    with pytest.raises(UserError, match="pipe, socket or device"):
        read(Path("/dev/zero"))


def test_files_folders_and_what_is_missing_are_left_to_who_opens_them(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for path in (tmp_path, tmp_path / "x", tmp_path / "y", tmp_path / "\0", tmp_path / "\ud800"):
        check_regular(path)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\ufeff[1]", [1]),
        ("[1e400, -Infinity]", [math.inf, -math.inf]),
        ('["\\ud800"]', ["\ud800"]),
        ("[123456789012345678901234567890]", [123456789012345678901234567890]),
        ('{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_json_that_readers_disagree_about(tmp_path: Path, text: str, content: object) -> None:
    """As Python's own module reads it."""
    file = tmp_path / "a.json"
    file.write_text(text, encoding="utf-8")
    assert read_json(file) == content
