from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from detzoo.config import to_dict
from detzoo.inference.loading import find_experiment
from detzoo.mmdet import experiment_of
from detzoo.mmdet.config_text import parse_config
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import broken_text, broken_values, few
from tests.mmdet.config_dump import dump
from tests.mmdet.retinanet import CONFIG
from tests.tiny import tiny_mask_rcnn

TEXT = dump(CONFIG)
SETTINGS = json.loads(json.dumps(parse_config(TEXT, "x.pth")))
EXPERIMENT = json.loads(json.dumps(to_dict(tiny_mask_rcnn())))


def from_text(text: str) -> Any:
    return experiment_of(parse_config(text, "x.pth"), "x.pth")


@given(broken=broken_text(TEXT))
def test_text_in_checkpoints(rule: Rule, broken: bytes) -> None:
    rule.read(from_text, broken.decode(errors="replace"))


_LINES = [
    *("a = [1, 2]", "a = 3", "a = 'x' * 9", "a = dict(a=a, b=a)", "a = {1: a}", "a = [a, a, a]"),
    *("a = a + a", "a = a * a", "a = -a", "a = a / 0", "a = 1e400", "a = inf - inf", "a += 1"),
    *("a = range(9**9)", "b = dict(**a)", "a = dict(_delete_=True)", "a = '\\ud800'", '"""text'),
    *("x/y.py", "_base_ = a", "model = a", "data = a"),
    "a = " + "[" * 90 + "]" * 90,
    "a = " + "9" * 300,
]


@given(lines=st.lists(st.sampled_from(_LINES), max_size=60))
def test_lines_of_text(rule: Rule, lines: list[str]) -> None:
    rule.read(from_text, "\n".join(lines))


@given(config=broken_values(SETTINGS))
def test_settings_of_v2(rule: Rule, config: Any) -> None:
    """Each of them is text at first, as it lies in a checkpoint."""
    if isinstance(config, dict):
        rule.read(experiment_of, config, "x.pth")


@given(config=broken_values(EXPERIMENT))
def test_experiments(rule: Rule, folder: Path, config: Any) -> None:
    (folder / "x.json").write_text(json.dumps(config))
    rule.read(find_experiment, str(folder / "x.json"))


@given(config=broken_values(EXPERIMENT))
@few()
def test_the_command(rule: Rule, folder: Path, config: Any) -> None:
    (folder / "x.json").write_text(json.dumps(config))
    rule.run("config", folder / "x.json")


@given(broken=broken_text(json.dumps(EXPERIMENT, indent=1)))
def test_text_of_experiments(rule: Rule, folder: Path, broken: bytes) -> None:
    (folder / "x.json").write_bytes(broken)
    rule.read(find_experiment, str(folder / "x.json"))


def test_what_is_tried_is_valid_at_first(folder: Path) -> None:
    assert from_text(TEXT)
    (folder / "x.json").write_text(json.dumps(EXPERIMENT))
    assert find_experiment(str(folder / "x.json"))
