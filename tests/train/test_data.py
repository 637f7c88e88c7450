from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.priors.anchors import AnchorGrid
from detzoo.train.loop import train
from tests.train.tiny import build, make_data, tiny_experiment, tiny_two_stage


@pytest.mark.parametrize(
    ("scale", "border", "note"),
    [
        (1.5, 0.0, None),
        (3.0, 0.0, "no anchor of stride 32 fits into the training images (such as 64 x 64 pixels)"),
        (9.0, 0.0, "no anchor of stride 16, 32 fits into the training images"),
        (9.0, None, None),
    ],
)
def test_levels_whose_anchors_fit_into_no_image(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    scale: float,
    border: float | None,
    note: str | None,
) -> None:
    model = tiny_two_stage()
    assert isinstance(model.rpn_head, RPNHeadConfig)
    anchors = AnchorGrid(scales=(scale,), ratios=(1.0,))
    head = dataclasses.replace(model.rpn_head, priors=anchors, border=border)
    neck = FPNConfig(out_channels=8, num_outputs=2)
    experiment = tiny_experiment(model=dataclasses.replace(model, neck=neck, rpn_head=head))
    data = make_data(tmp_path / "data")
    train(experiment, build(experiment), data, None, tmp_path / "run")
    shown = capsys.readouterr().out
    if note is None:
        assert "no anchor of stride" not in shown
    else:
        assert shown.count(note) == 1
        assert "so that level is never trained" in shown
