"""Options of other programs."""

from __future__ import annotations

import re

import pytest

from detzoo.cli.foreign import OPTIONS
from tests.cli.conftest import Run, assert_refused
from tests.test_docs import commands


def test_they_are_not_ours_and_ours_are_there() -> None:
    ours = set().union(*(options for _, options in commands()))
    assert not ours & set(OPTIONS)
    for name, text in OPTIONS.items():
        for option in re.findall(r"(?<!\S)--[a-z-]+", text):
            assert option in ours, f"{name}: {text}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "x.py", "--work-dir", "runs"), "--work-dir: is --out DIR here."),
        (("train", "x.py", "--cfg-options=optimizer.lr=1"), "--cfg-options: is --set PATH=VALUE"),
        (("predict", "best.pt", "a.jpg", "--conf", "0.5"), "--conf: is --min-score S here."),
    ],
)
def test_what_they_are_called_here(detzoo: Run, words: tuple[str, ...], message: str) -> None:
    assert_refused(detzoo(*words), message)
