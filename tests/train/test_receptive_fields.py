"""A search for receptive fields goes on between epochs, and with a run that is resumed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch

import detzoo
from detzoo.checkpoints import checkpoint
from detzoo.data.dataset import DetectionDataset
from detzoo.detectors.receptive_fields import ReceptiveFields
from detzoo.experiment import Experiment
from detzoo.layers.branched import BranchedConv2d
from detzoo.train.callbacks import Callback
from detzoo.train.loop import train
from detzoo.train.trainer import Trainer
from tests.train.test_resume import assert_same, history
from tests.train.tiny import build, make_data, tiny_experiment

LAST = "backbone.layer4.1.conv2"


class Prefer(Callback):
    """Training in place of gradients: the larger dilation of a convolution is all that counts."""

    def on_step(self, trainer: Trainer) -> None:
        conv = trainer.model.get_submodule(LAST)
        assert isinstance(conv, BranchedConv2d)
        conv.branch_weights.data = torch.tensor([0.0, 1.0])


def search(epochs: int) -> Experiment:
    base = tiny_experiment(receptive_fields=ReceptiveFields(search_until=3, skip=("head",)))
    return dataclasses.replace(base, schedule=base.schedule.stretched_to(epochs))


def run(experiment: Experiment, data: DetectionDataset, folder: Path, resume: bool = False) -> None:
    train(
        experiment, build(experiment), data, data, folder, callbacks=[Prefer()], resume=resume,
        quiet=True,
    )  # fmt: skip


def test_a_search_and_its_checkpoint(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    run(search(4), data, tmp_path / "whole")
    # Steps before the epochs 1 and 2: from (1, 2) to 2, then from (1, 3) to 3.
    saved = checkpoint.read(tmp_path / "whole" / "last.pt")
    assert saved.changed_modules == ()
    fields = saved.experiment.receptive_fields
    assert fields is not None
    assert dict(fields.dilations)[LAST] == 3
    written = json.loads((tmp_path / "whole" / "experiment.json").read_text())
    assert [LAST, 3] in written["receptive_fields"]["dilations"]
    log = (tmp_path / "whole" / "log.txt").read_text()
    assert log.count("convolutions have another dilation") == 2
    opened = detzoo.load(str(tmp_path / "whole" / "last.pt"), fused=False)
    conv = opened.model.get_submodule(LAST)
    assert isinstance(conv, BranchedConv2d)
    assert (conv.dilation, conv.branches) == ((3, 3), (2, 4))

    half = search(4)
    half = dataclasses.replace(half, schedule=dataclasses.replace(half.schedule, length=2))
    run(half, data, tmp_path / "run")
    assert dict(_fields(tmp_path / "run").dilations)[LAST] == 2
    run(search(4), data, tmp_path / "run", resume=True)
    one, other = (checkpoint.read(tmp_path / name / "last.pt") for name in ("whole", "run"))
    assert_same(dataclasses.asdict(one), dataclasses.asdict(other), "last.pt")
    assert history(tmp_path / "whole") == history(tmp_path / "run")


def _fields(run: Path) -> ReceptiveFields:
    fields = checkpoint.read(run / "last.pt").experiment.receptive_fields
    assert fields is not None
    return fields
