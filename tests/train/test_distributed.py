from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from detzoo.checkpoints import checkpoint
from detzoo.errors import DeviceError
from detzoo.ops.distributed import average_over_processes
from detzoo.train.distributed import join_processes
from detzoo.train.loop import train
from tests.train.tiny import build, make_data
from tests.train.worker import experiment_of, images_per_step

ROOT = Path(__file__).parents[2]


def run_processes(
    count: int, arguments: list[str | Path], module: str = "tests.train.worker"
) -> list[subprocess.Popen[str]]:
    """What ``torchrun --nproc-per-node COUNT`` does, without its seconds of start-up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


@pytest.mark.parametrize(
    "kind",
    [
        "retinanet",
        "mask_rcnn",
    ],
)
def test_two_processes_equal_one_with_the_double_batch(tmp_path: Path, kind: str) -> None:
    """Frozen batch-norm; images with 1 and 12 objects meet in every batch, on different ranks."""
    data = make_data(tmp_path / "data", images=4, objects=(1, 12))
    processes = run_processes(2, [kind, tmp_path / "data", tmp_path / "two"])
    experiment = images_per_step(experiment_of(kind), 2)
    train(experiment, build(experiment), data, data, tmp_path / "one", log_interval=1)
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    one, two = (checkpoint.read(tmp_path / run / "last.pt") for run in ("one", "two"))
    assert one.training is not None
    assert two.training is not None
    assert one.training["position"]["iteration"] == two.training["position"]["iteration"] == 4
    # Momentum is the sum of the gradients so far: it shows them before the rate shrinks them.
    gradients, others = one.training["optimizer"]["state"], two.training["optimizer"]["state"]
    assert len(gradients) == len(others) > 20
    scale = max(state["momentum_buffer"].abs().max() for state in gradients.values())
    for i, state in gradients.items():
        torch.testing.assert_close(
            others[i]["momentum_buffer"], state["momentum_buffer"], rtol=1e-4, atol=1e-6 * scale
        )
    for name, weight in one.model.items():
        torch.testing.assert_close(two.model[name], weight, rtol=1e-5, atol=1e-6, msg=name)


def test_one_process_is_alone() -> None:
    with join_processes("cpu") as processes:
        assert (processes.rank, processes.count, processes.is_first) == (0, 1, True)
        model = torch.nn.Linear(1, 1)
        assert processes.parallel(model) is model
        assert processes.maximum(torch.tensor(3.0)) == 3
    value = torch.tensor(2.0, requires_grad=True)
    assert average_over_processes(value).item() == 2
    assert not average_over_processes(value).requires_grad


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there() -> None:
    with (
        pytest.raises(DeviceError, match="cuda:0: there are 0 CUDA devices"),
        join_processes("cuda"),
    ):
        pass
