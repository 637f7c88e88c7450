"""``detzoo doctor``."""

from __future__ import annotations

import importlib.util
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from detzoo.cli.doctor import find_advice
from tests.cli.conftest import Run

Usage = namedtuple("Usage", "total used free")


def test_doctor(detzoo: Run) -> None:
    outcome = detzoo("doctor")
    assert outcome.code == 0, outcome
    assert "RoIAlign" in outcome.out
    assert outcome.out.rstrip().endswith(".")


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 << 20, 0, 5 << 20))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1000)
    advice = "\n".join(find_advice())
    assert "retinanet_mobilenetv2_fpn" in advice
    assert "torch uses 1000 threads" in advice
    assert "Only 5 MB are free" in advice
    assert "pip install 'detzoo[onnx]'" in advice


def test_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, 1 << 40))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert list(find_advice()) == []
