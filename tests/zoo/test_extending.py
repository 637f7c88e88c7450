"""The detector of ``docs/extending.md``."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from benchmarks.learning.narrow import narrow_experiment
from tests.checkpoints.test_catalog import python_of_the_document
from tests.detectors import zoo_models
from tests.detectors.test_edge_cases import TARGETS


def test_a_detector_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_detector.py").write_text(
        python_of_the_document("Your own detector in one file")[0]
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("own_detector")
    torch.manual_seed(0)
    experiment = narrow_experiment(own.EXPERIMENT, augment=False)
    model = experiment.build_model().train()
    losses = model(zoo_models.images(), TARGETS["ordinary"])
    assert set(losses) == {"loss_cls", "loss_bbox", "loss_dfl"}
    assert all(value.isfinite() for value in losses.values())
