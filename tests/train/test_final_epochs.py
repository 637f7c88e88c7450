"""The last epochs of a recipe: other transforms, another loss, more evaluations; and batches of
changing size. Resumed runs know where they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch import Tensor, nn

from detzoo.config import ConfigError
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.data.transforms import Flip, Mosaic, Pad, Resize
from detzoo.experiment import Experiment, FinalEpochs
from detzoo.heads.dense.yolox import YOLOXHeadConfig
from detzoo.necks.yolox_pafpn import YOLOXPAFPNConfig
from detzoo.optim.schedules import iterations
from detzoo.train.loop import train
from tests.train.test_resume import assert_same_run, history
from tests.train.tiny import SIZE, build, make_data, tiny_experiment

PLAIN = (Resize(sizes=((SIZE, SIZE),)), Flip(), Pad(divisor=32))


def experiment(epochs: int = 4) -> Experiment:
    base = tiny_experiment()
    model = dataclasses.replace(
        base.model,
        neck=YOLOXPAFPNConfig(out_channels=16, num_blocks=1),
        bbox_head=YOLOXHeadConfig(channels=16, num_convs=1),
    )
    data = dataclasses.replace(
        base.data,
        train_transforms=(Mosaic(size=(SIZE // 2, SIZE // 2)), *PLAIN),
        batch_resize=RandomBatchResize(multiples=(1, 3), every=2),
    )
    return dataclasses.replace(
        base,
        model=model,
        data=data,
        schedule=base.schedule.stretched_to(epochs),
        final=FinalEpochs(epochs=2, transforms=PLAIN),
        evaluate_every=3,
    )


def test_what_changes_and_when(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", images=8)
    train(
        experiment(), build(experiment()), data, data, tmp_path / "run", log_interval=1, quiet=True
    )
    records = history(tmp_path / "run")
    trained = [record for record in records if record["kind"] == "train"]
    with_l1 = [record["iteration"] for record in trained if "loss_l1" in record]
    assert with_l1 == list(range(9, 17))  # the last two epochs of four steps
    evaluated = [record["iteration"] for record in records if record["kind"] == "val"]
    assert evaluated == [12, 16]  # every third epoch, then every one


def test_resuming_within_the_final_epochs(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", images=8)
    whole = experiment()

    class Stop(Exception):
        pass

    train(whole, build(whole), data, data, tmp_path / "whole", quiet=True, checkpoint_steps=1)
    for stop_after in (6, 11):
        run = tmp_path / f"stopped{stop_after}"
        model = build(whole)
        steps = 0

        def count(module: nn.Module, _: object, losses: dict[str, Tensor]) -> None:
            nonlocal steps
            if module.training:
                steps += 1
                if steps > stop_after:  # noqa: B023 - used within the iteration
                    raise Stop

        model.register_forward_hook(count)
        with pytest.raises(Stop):
            train(whole, model, data, data, run, quiet=True, checkpoint_steps=1)
        train(whole, build(whole), data, data, run, quiet=True, checkpoint_steps=1, resume=True)
        assert_same_run(tmp_path / "whole", run)


def test_a_shorter_run_has_fewer_final_epochs() -> None:
    whole = dataclasses.replace(experiment(epochs=30), final=FinalEpochs(epochs=6, transforms=()))
    assert whole.final_epoch == 24
    short = whole.stretched_to(10)
    assert (short.schedule.length, short.final.epochs, short.final_epoch) == (10, 2, 8)
    assert whole.stretched_to(1).final_epoch == 0
    assert tiny_experiment().final_epoch is None
    with pytest.raises(ConfigError, match="final: the schedule counts iterations"):
        dataclasses.replace(whole, schedule=iterations(10, milestones=(5,)))
    with pytest.raises(ConfigError, match="epochs: 0"):
        FinalEpochs(epochs=0, transforms=())
