from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detzoo.logs import epoch_times, read_log
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import broken_text, broken_values, few
from tests.test_logs import OURS, THEIRS


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def summarize(path: Path) -> None:
    log = read_log(path)
    for key in log.keys:
        log.curve(key, "epoch")
        log.curve(key, "iteration")
    epoch_times(log)


both = pytest.mark.parametrize("rows", [OURS, THEIRS], ids=["ours", "V2's"])


@both
@given(data=st.data())
def test_odd_records(rule: Rule, folder: Path, rows: list[Any], data: st.DataObject) -> None:
    broken = data.draw(broken_values(rows))
    (folder / "x.log.json").write_text(lines(broken if isinstance(broken, list) else [broken]))
    rule.read(summarize, folder / "x.log.json")


@both
@given(data=st.data())
def test_broken_text(rule: Rule, folder: Path, rows: list[Any], data: st.DataObject) -> None:
    (folder / "x.log.json").write_bytes(data.draw(broken_text(lines(rows))))
    rule.read(summarize, folder / "x.log.json")


@given(broken=broken_values([*OURS, *OURS]))
@few()
def test_commands(rule: Rule, folder: Path, broken: Any) -> None:
    (folder / "x.log.json").write_text(lines(broken if isinstance(broken, list) else [broken]))
    rule.run("logs", "summary", folder / "x.log.json")
    rule.run("logs", "plot", folder / "x.log.json", "--out", folder / "x.png")
