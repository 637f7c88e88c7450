"""Layers of others in the place of ours: trained, evaluated, saved, loaded, resumed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torchvision.ops.misc import FrozenBatchNorm2d

import detzoo
from detzoo.checkpoints import checkpoint
from detzoo.data.dataset import DetectionDataset
from detzoo.detectors.base import Detector
from detzoo.errors import CheckpointError, DeviceError
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.train.distributed import Processes
from detzoo.train.loop import train
from tests.train.test_loop import records
from tests.train.tiny import build, make_data, tiny_experiment


class LoRA(nn.Module):
    """A convolution that stays as it is, and a small one that learns."""

    def __init__(self, base: nn.Conv2d) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        settings: dict[str, Any] = {"stride": base.stride, "padding": base.padding}
        self.down = nn.Conv2d(base.in_channels, 2, base.kernel_size, bias=False, **settings)
        self.up = nn.Conv2d(2, base.out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.up(self.down(x))


def first_block(model: Detector) -> Any:
    return model.backbone.get_submodule("layer2.0")


def plain_convolution(model: Detector) -> None:
    first_block(model).conv1 = copy.deepcopy(first_block(model).conv1)


def other_convolution(model: Detector) -> None:
    first_block(model).conv2 = nn.Conv2d(16, 16, 3, padding=2, dilation=2, bias=False)


def sequence(model: Detector) -> None:
    block = first_block(model)
    block.conv2 = nn.Sequential(nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1))


def lora(model: Detector) -> None:
    block = first_block(model)
    block.conv1, block.conv2 = LoRA(block.conv1), LoRA(block.conv2)


def without_norm(model: Detector) -> None:
    first_block(model).bn1 = nn.Identity()


def group_norm(model: Detector) -> None:
    first_block(model).bn2 = nn.GroupNorm(4, 16)


def frozen_norm(model: Detector) -> None:
    first_block(model).bn1 = FrozenBatchNorm2d(16)


def pruned(model: Detector) -> None:
    prune.l1_unstructured(first_block(model).conv1, "weight", amount=0.5)


def weight_normed(model: Detector) -> None:
    parametrizations.weight_norm(first_block(model).conv1)


def sync_norms(model: Detector) -> None:
    nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone)
    # Of the converted modules only those below the top are exchanged in place.
    assert isinstance(first_block(model).bn1, nn.SyncBatchNorm)


def other_shortcut(model: Detector) -> None:
    first_block(model).downsample = nn.Sequential(
        nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16)
    )


def grey_input(model: Detector) -> None:
    conv = nn.Conv2d(1, 8, 7, stride=2, padding=3, bias=False)
    model.backbone.conv1 = nn.Sequential(Grey(), conv)


class Grey(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)


# Of each: the name that the error says, None where the configuration's model does the same.
CHANGES: dict[Callable[[Detector], None], str | None] = {
    plain_convolution: None,
    frozen_norm: None,
    sync_norms: None,
    other_convolution: "backbone.layer2.0.conv2: Conv2d(16, 16, kernel_size=(3, 3)",
    sequence: "backbone.layer2.0.conv2: Sequential() instead of Conv2d",
    lora: "backbone.layer2.0.conv1: tests.train.test_foreign_layers.LoRA() instead of Conv2d",
    without_norm: "backbone.layer2.0.bn1: Identity() instead of batch norm",
    group_norm: "backbone.layer2.0.bn2: GroupNorm(4, 16",
    pruned: "padding=(1, 1), bias=False) with weight_mask, weight_orig instead of Conv2d",
    weight_normed: "backbone.layer2.0.conv1: ParametrizedConv2d",
    other_shortcut: "backbone.layer2.0.downsample: Sequential() instead of ConvNorm()",
    grey_input: "backbone.conv1: Sequential() instead of Conv2d",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    ("change", "averages"),
    [(change, number % 2 == 1) for number, change in enumerate(CHANGES)],
    ids=lambda value: getattr(value, "__name__", f"ema={value}"),
)
def test_a_run_and_its_checkpoint(
    tmp_path: Path, data: DetectionDataset, change: Callable[[Detector], None], averages: bool
) -> None:
    experiment = tiny_experiment(optimizer=SGDConfig(lr=0.05), schedule=epochs(2))
    if not averages:
        experiment = dataclasses.replace(experiment, ema=None)

    def changed() -> Detector:
        model = build(experiment)
        change(model)
        return model

    run = tmp_path / "run"
    once = dataclasses.replace(experiment, schedule=epochs(1))
    train(once, changed(), data, data, run, quiet=True)
    train(experiment, changed(), data, data, run, quiet=True, resume=True)
    logged = [record["bbox/AP"] for record in records(run, "val")]
    assert len(logged) == 2

    opened = detzoo.load(run / "last.pt", model=changed(), fused=False)
    found, unchanged = detections(opened, data), CHANGES[change] is None
    torch.testing.assert_close(
        found, detections(detzoo.load(run / "last.pt", model=changed()), data), rtol=0, atol=1e-3
    )
    if unchanged:
        alone = detzoo.load(run / "last.pt", fused=False)
        torch.testing.assert_close(detections(alone, data), found, rtol=0, atol=1e-3)
        return
    for use in (detzoo.load, checkpoint.read_weights):
        with pytest.raises(CheckpointError) as error:
            use(run / "last.pt")
        assert CHANGES[change] in str(error.value)
    with pytest.raises(CheckpointError, match="belongs to another"):
        train(experiment, build(experiment), data, None, run, quiet=True, resume=True)
    with pytest.raises(CheckpointError, match="belongs to another"):
        detzoo.load(run / "last.pt", model=build(experiment))


def detections(predictor: detzoo.Predictor, data: DetectionDataset) -> Tensor:
    """Boxes and scores in the first image, by falling score."""
    image = data.sample(0).image
    (result,) = predictor.predict(image, min_score=0.0)
    found = result.detections
    return torch.cat([found.boxes, found.scores[:, None]], 1)[:20]


def test_torchs_sync_norm_needs_a_gpu_in_several_processes() -> None:
    """Said when the processes take the model, before the first step."""
    model = build(tiny_experiment())
    sync_norms(model)
    processes = Processes(0, 2, torch.device("cpu"))
    wanted = "backbone.bn1: torch's SyncBatchNorm refuses .*synchronized=True"
    with pytest.raises(DeviceError, match=wanted):
        processes.parallel(model)
