from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.cli import env
from detzoo.cli.common import apply_setting, find_experiment
from detzoo.config import from_dict
from detzoo.zoo_list import CHOICE
from tests.cli.conftest import Run, assert_refused

COMMANDS = (
    "train",
    "test",
    "predict",
    "evaluate",
    "models",
    "config",
    "env",
    "publish",
    "quickstart",
)
R50 = "retinanet_r50_fpn_1x_coco"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(detzoo: Run, command: str) -> None:
    outcome = detzoo(command, "--help")
    assert outcome.code == 0
    assert len(outcome.out) > 500
    if command not in ("env", "quickstart"):
        assert f"detzoo {command} " in outcome.out  # an example


def test_help_lists_the_commands(detzoo: Run) -> None:
    outcome = detzoo("--help")
    assert "detzoo[ui]" in outcome.out  # not taken as markup
    assert all(command in outcome.out for command in COMMANDS)


def test_a_mistyped_command(detzoo: Run) -> None:
    outcome = detzoo("trian")
    assert outcome.code == 2
    assert "trian" in outcome.error


def test_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "detzoo", "config", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no model is called 'nothing'")
    assert "Traceback" not in done.stderr


# In place of a command: prints how many of 64 MB it still holds when they are freed.
PROBE = """
import resource, numpy, detzoo.cli.main

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def command():
    before = held()
    numpy.ones(2**23)
    print((held() - before) // 10**6)

detzoo.cli.main.app = command
detzoo.cli.main.{function}()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="sets nothing elsewhere")
def test_the_program_keeps_freed_memory_and_nothing_else_does() -> None:
    """Tests call ``run`` in their own process."""
    kept = {}
    settings = ("MALLOC_", "GLIBC_TUNABLES")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(settings)}
    for function in ("main", "run"):
        command = [sys.executable, "-c", PROBE.format(function=function)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
        kept[function] = int(done.stdout)
    assert kept["main"] > 60
    assert kept["run"] < 10


# ------------------------------------------------------------------------------------- models


def test_models_to_begin_with(detzoo: Run) -> None:
    """Those of ``docs/choose_model.md``, below their purposes, and how to see the others."""
    lines = detzoo("models").out.splitlines()
    listed = [name for names in CHOICE.values() for name in names]
    assert [line.split()[0] for line in lines if line.split()[:1] and "_" in line] == listed
    assert [line for line in lines if line in CHOICE] == list(CHOICE)
    assert f"{len(listed)} of {len(zoo.entries())} models. All: detzoo models --all" in lines[-1]
    assert len(json.loads(detzoo("models", "--json").out)) == len(zoo.entries())


def test_models(detzoo: Run) -> None:
    outcome = detzoo("models", "--all")
    assert outcome.code == 0
    rows = [line.split()[0] for line in outcome.out.splitlines() if line]
    assert all(entry.name in rows for entry in zoo.entries())
    assert f"{len(zoo.entries())} models" in outcome.out


def names(detzoo: Run, *options: object) -> list[str]:
    outcome = detzoo("models", "--json", *options)
    assert outcome.code == 0, outcome
    return [row["name"] for row in json.loads(outcome.out)]


def test_models_filtered(detzoo: Run) -> None:
    entries = {entry.name: entry for entry in zoo.entries()}
    assert names(detzoo, "mask_rcnn_r50_fpn_2x_coco") == ["mask_rcnn_r50_fpn_2x_coco"]
    assert names(detzoo, "rpn_x101*1x*") == [
        "rpn_x101_32x4d_fpn_1x_coco",
        "rpn_x101_64x4d_fpn_1x_coco",
    ]
    family = names(detzoo, "--family", "retinanet")
    assert family == [e.name for e in zoo.retinanet.ENTRIES]
    good = names(detzoo, "--family", "retinanet", "--min-ap", 40)
    assert good == [name for name in family if (entries[name].box_ap or 0) >= 40]
    assert 0 < len(good) < len(family)
    assert set(names(detzoo, "--backbone", "resnext101")) == {n for n in entries if "_x101" in n}


def test_min_ap_is_of_coco_alone(detzoo: Run) -> None:
    """The AP50 of Pascal VOC, around 80, is no AP of COCO."""
    rows = json.loads(detzoo("models", "--min-ap", 45, "--json").out)
    assert len(rows) > 10
    assert all(row["box_ap"] >= 45 for row in rows)
    shown = detzoo("models", "ssd300_voc0712").out
    assert "box AP50" in shown
    assert "76.5" in shown


def test_models_in_a_narrow_terminal(detzoo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole names, and the columns that there is room for."""
    monkeypatch.setattr("detzoo.cli.models.wide_console", lambda: Console(width=80))
    lines = detzoo("models", "retinanet_r50").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["name", "box", "AP", "GB", "ms", "M", "params"]
    assert any(line.split()[:1] == [R50] for line in lines)
    assert "A wider terminal, or --json, also shows weights" in " ".join(lines)


def test_long_names_of_models_stay_whole(detzoo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """They get a line of their own, and the figures are below their headings."""
    monkeypatch.setattr("detzoo.cli.models.wide_console", lambda: Console(width=80))
    heading, *lines = detzoo("models").out.splitlines()
    name = "sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco"
    figures = lines[lines.index(name) + 1]
    assert figures.split() == ["45.0", "106.3"]
    assert figures.index("45.0") + 4 == heading.index("box AP") + 6
    assert max(map(len, lines)) <= 80


def test_backbones_of_models_have_their_size(detzoo: Run) -> None:
    shown = detzoo("models", "mask_rcnn*").out
    sizes = ("resnet50", "resnet101", "resnext101_32x4d", "swin_tiny", "regnetx_3.2gf")
    assert all(f"  {size}  " in shown for size in sizes)
    assert names(detzoo, "retinanet_r18*", "--backbone", "resnet18")


def test_models_that_are_none(detzoo: Run) -> None:
    assert_refused(detzoo("models", "no_such_model"), "no model matches")
    assert_refused(detzoo("models", "--family", "yolov9"), "yolov9", "retinanet")


# ------------------------------------------------------------------------------------- config


def test_every_printed_line_can_be_set(detzoo: Run) -> None:
    outcome = detzoo("config", "mask_rcnn_r50_fpn_1x_coco")
    experiment = find_experiment("mask_rcnn_r50_fpn_1x_coco")
    lines = [line for line in outcome.out.splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    for line in lines:
        assert apply_setting(experiment, line) == experiment, line
    assert "model.backbone.depth = 50" in lines
    assert "# model.backbone: ResNetConfig" in outcome.out.splitlines()


def test_config_as_json_reads_back(detzoo: Run) -> None:
    outcome = detzoo("config", R50, "--json", "--set", "model.backbone.depth=18")
    assert outcome.code == 0
    read = from_dict(json.loads(outcome.out), config_classes())
    assert read == find_experiment(R50, ["model.backbone.depth=18"])
    Path("mine.json").write_text(outcome.out)
    assert find_experiment("mine.json") == read


def test_config_of_a_checkpoint(detzoo: Run, retinanet: Path) -> None:
    outcome = detzoo("config", retinanet)
    assert outcome.code == 0
    assert "class_names = ('circle', 'square', 'triangle', 'star')" in outcome.out


def test_config_diff(detzoo: Run) -> None:
    outcome = detzoo("config", R50, "--diff", "retinanet_r101_fpn_2x_coco")
    assert outcome.out.splitlines() == [
        "model.backbone.depth = 50  ->  101",
        "schedule.length = 12  ->  24",
        "schedule.policy.milestones = (8, 11)  ->  (16, 22)",
        "# 3 settings differ",
    ]
    assert detzoo("config", R50, "--diff", R50).out == "# no difference\n"
    as_json = detzoo("config", R50, "--set", "seed=3", "--diff", R50, "--json")
    assert json.loads(as_json.out) == [{"path": "seed", "a": 3, "b": 0}]


def test_config_errors(detzoo: Run) -> None:
    outcome = detzoo("config", R50, "--set", "model.backbone.dpeth=18")
    assert_refused(
        outcome, "model.backbone: ResNetConfig has no field 'dpeth'; did you mean 'depth'? (fields:"
    )
    outcome = detzoo("config", R50, "--set", "model.backbone.depth=51")
    assert_refused(outcome, "model.backbone.depth: 51 is not one of 18, 34, 50, 101, 152")
    assert_refused(detzoo("config", R50, "--diff", "retinanet"), "retinanet")
    assert_refused(detzoo("config", "none.json"), "none.json")


# ---------------------------------------------------------------------------------------- env


def test_env(detzoo: Run) -> None:
    outcome = detzoo("env")
    assert outcome.code == 0, outcome
    for text in ("torch ", "torchvision ", "cpu", "RoIAlign", "ok"):
        assert text in outcome.out
    assert "fails" not in outcome.out


def test_env_finds_an_operator_that_computes_wrong(
    detzoo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    right = torchvision.ops.deform_conv2d
    monkeypatch.setattr(torchvision.ops, "deform_conv2d", lambda *a: right(*a) + 1)
    outcome = detzoo("env")
    assert outcome.code == 1
    assert "fails: returns" in outcome.out


def test_every_check_can_fail() -> None:
    for wrong in ([1.0], [1.0, 2.1]):
        with pytest.raises(ArithmeticError):
            env._expect(wrong, [1.0, 2.0])
    env._expect([1.0, 2.0], [1.0, 2.0])
