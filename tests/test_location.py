"""The suite depends neither on where it lies nor on how it is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import detzoo

ROOT = Path(__file__).parents[1]

# Where it has mattered: paths of frames, generated pages, processes that tests start, and Ctrl-C.
SELECTED = (
    "test_location.py::test_what_is_tested_lies_beside_the_tests",
    "test_generated.py",
    "cli/test_main.py::test_as_a_program",
    "detectors/test_heads.py::test_a_training_step_never_waits_for_the_device[fsaf_r50_fpn_1x_coco]",
    "detectors/test_heads.py::test_a_training_step_never_waits_for_the_device[yolof_r50_c5_8x8_1x_coco]",
    "train/test_resume.py::test_ctrl_c_finishes_the_step_and_keeps_all",
    "train/test_watch.py",
    "weights/test_download.py::test_an_interruption_leaves_what_there_is",
)


def test_what_is_tested_lies_beside_the_tests() -> None:
    """And not another copy of the package, which may be installed."""
    assert Path(detzoo.__file__).parents[1] == ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the repository in a folder with its natural name, and with blanks in its path."""
    clone = tmp_path / "clones of detzoo" / "detzoo"
    for folder in ("benchmarks", "detzoo", "docs", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, clone / folder, ignore=ignored)
    for file in ("pyproject.toml", *(path.name for path in ROOT.glob("*.md"))):
        shutil.copy(ROOT / file, clone)
    return clone


def test_from_elsewhere_and_in_the_background(tmp_path: Path, clone: Path) -> None:
    """Started in another folder, by a shell's job that ignores Ctrl-C, with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    tests = [clone / "tests" / name for name in SELECTED]
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    done = subprocess.run(
        [*ignoring, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests],
        cwd=home,
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
