from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch

from tests.cli.conftest import Run, assert_refused
from tests.shared import shared


def facts(text: str) -> dict[str, str]:
    """The indented lines, by their first word."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    return {line[:13].strip(): line[13:].strip() for line in lines}


def test_our_own(detzoo: Run, retinanet: Path) -> None:
    outcome = detzoo("checkpoint", retinanet)
    assert outcome.code == 0
    found = facts(outcome.out)
    assert found["written by"].startswith("detzoo ")
    assert found["classes"].startswith("3: ") or "," in found["classes"]
    assert found["weights"] == "as trained"
    assert "backbone.conv1.weight" not in outcome.out


def test_one_of_mmdetection(detzoo: Run) -> None:
    file = shared("weights", "yunet_n_mmdet2.24.pth")
    outcome = detzoo("checkpoint", file, "--keys")
    found = facts(outcome.out)
    assert found["written by"] == "MMDetection 2.24.1fe4ffb6"
    assert found["classes"] == "1: FG"
    assert (found["epoch"], found["iteration"]) == ("560", "225680")
    assert found["tensors"] == "208, with 77,890 elements"
    assert "backbone.model0.conv1.weight  (16, 3, 3, 3) float32" in outcome.out
    assert len(outcome.out.splitlines()) == 208 + 1 + len(found)


def test_the_hash_in_the_name(detzoo: Run, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, 3)}, tmp_path / "bare.pth")
    digits = hashlib.sha256((tmp_path / "bare.pth").read_bytes()).hexdigest()[:8]
    right, wrong = tmp_path / f"bare-{digits}.pth", tmp_path / "bare-01234567.pth"
    for file in (right, wrong):
        file.write_bytes((tmp_path / "bare.pth").read_bytes())
    found = facts(detzoo("checkpoint", right).out)
    assert found["written by"] == "unknown: bare weights"
    assert found["tensors"] == "1, with 6 elements"
    assert found["hash"] == f"{digits}: matches"
    damaged = detzoo("checkpoint", wrong)
    assert damaged.code == 1
    assert "MISMATCH" in facts(damaged.out)["hash"]
    assert damaged.out.splitlines()[-1] == "1 fault: the file does not match the hash in its name"


def test_what_is_no_checkpoint(detzoo: Run, tmp_path: Path) -> None:
    assert_refused(detzoo("checkpoint", "none.pth"), "none.pth: no such file")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": Path("x")}))
    assert_refused(detzoo("checkpoint", "x.pkl"), "x.pkl", "Python objects")
