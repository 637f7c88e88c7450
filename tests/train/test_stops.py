"""What stops a run from outside: signals, the death of a process, another program."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from torch.utils.data import get_worker_info

from detzoo.checkpoints import checkpoint
from detzoo.config import to_dict
from detzoo.data.dataset import DetectionDataset
from detzoo.errors import ConfigError, DataError
from detzoo.train.callbacks import Callback
from detzoo.train.loop import train
from detzoo.train.state import locked
from detzoo.train.trainer import Trainer
from tests.train.test_distributed import ROOT, run_processes
from tests.train.tiny import build, make_data, tiny_experiment


@dataclasses.dataclass
class Send(Callback):
    """Sends signals to its own process after a step."""

    signals: tuple[int, ...]
    after: int = 3

    def on_step(self, trainer: Trainer) -> None:
        if trainer.position.iteration == self.after:
            for number in self.signals:
                os.kill(os.getpid(), number)


@pytest.fixture
def sigterm() -> Iterator[None]:
    """SIGTERM ends this process, as it does unless somebody handles it."""
    previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.mark.usefixtures("sigterm")
def test_sigterm_finishes_the_step_and_keeps_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often a scheduler sends it."""
    experiment, data = tiny_experiment(), make_data(tmp_path / "data")
    result = train(
        experiment,
        build(experiment),
        data,
        data,
        tmp_path / "run",
        callbacks=[Send((signal.SIGTERM, signal.SIGTERM))],
    )
    assert (result.stop_signal, result.iterations) == (signal.SIGTERM, 4)
    saved = checkpoint.read(tmp_path / "run" / "last.pt").training
    assert saved is not None
    assert saved["position"]["iteration"] == 4
    shown = capsys.readouterr().out
    assert shown.count("received SIGTERM") == 1
    assert "stopped after step 4 of 8" in shown
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


class Dying(DetectionDataset):
    """Its worker is killed when it reads an image, as by a system without memory."""

    def sample(self, i: int, masks: Any = "none") -> Any:
        assert get_worker_info() is not None
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_loader_worker_that_dies(tmp_path: Path) -> None:
    experiment, data = tiny_experiment(), make_data(tmp_path / "data")
    experiment = dataclasses.replace(
        experiment, data=dataclasses.replace(experiment.data, workers=1)
    )
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    started = time.monotonic()
    with pytest.raises(DataError, match=r"a process that loads images died .*--workers"):
        train(experiment, build(experiment), Dying(**fields), None, tmp_path / "run", quiet=True)
    assert time.monotonic() - started < 30


def test_a_folder_that_another_program_trains_into(tmp_path: Path) -> None:
    experiment, data = tiny_experiment(), make_data(tmp_path / "data")
    run = tmp_path / "run"
    with locked(run), pytest.raises(ConfigError, match="another program is training in"):
        train(experiment, build(experiment), data, None, run, quiet=True)
    assert not (run / "last.pt").exists()
    train(experiment, build(experiment), data, None, run, quiet=True)
    with locked(run), pytest.raises(ConfigError, match="another program is training in"):
        train(experiment, build(experiment), data, None, run, quiet=True, resume=True)


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    """Though that has forked workers, which outlive it for some seconds."""
    code = (
        "import filelock, os, sys, time; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "child = os.fork(); print(child or '', flush=True); time.sleep(60)"
    )
    file = tmp_path / ".lock"
    process = subprocess.Popen(
        [sys.executable, "-c", code, file], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = next(int(line) for line in process.stdout if line.strip())
    try:
        with pytest.raises(ConfigError), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        os.kill(child, 0)  # still there
        with FileLock(file).acquire(timeout=10):  # the worker lets go when it begins
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


@pytest.mark.slow
@pytest.mark.ci
def test_a_process_of_the_group_that_dies(tmp_path: Path) -> None:
    make_data(tmp_path / "data", images=40)
    run = tmp_path / "run"
    processes = run_processes(2, ["retinanet", tmp_path / "data", run])
    first, second = processes
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text():
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    second.kill()
    second.communicate()
    _, errors = first.communicate(timeout=60)
    assert "process 0 of 2: cannot continue, as another process of this run has failed" in errors
    assert checkpoint.read(run / "last.pt").training is not None


KILL_ONCE = """
import os, signal
from detzoo.train.callbacks import Callback

class KillOnce(Callback):
    def on_step(self, trainer):
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if first and trainer.processes.rank == 1 and trainer.position.iteration == 3:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.ci
def test_torchrun_starts_a_run_again_where_it_was(tmp_path: Path) -> None:
    """A process is killed once; the group is restarted by the same command, and goes on."""
    make_data(tmp_path / "data" / "train")
    (tmp_path / "kill_once.py").write_text(KILL_ONCE)
    (tmp_path / "tiny.json").write_text(json.dumps(to_dict(tiny_experiment())))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--max-restarts", "1", "-m", "detzoo", "train", "tiny.json", "--out", "run"]
    command += ["--data", "data/train/annotations.json", "--images", "data/train"]
    command += ["--batch-size", "1", "--checkpoint-steps", "1", "--device", "cpu"]
    command += ["--callback", "kill_once:KillOnce"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "resuming after step" in log
    saved = checkpoint.read(tmp_path / "run" / "last.pt").training
    assert saved is not None
    assert saved["position"]["iteration"] == 8


@pytest.mark.slow
def test_two_machines_start_a_run_again(tmp_path: Path) -> None:
    """Two agents, as on two machines: a process of one is killed, and those of both restart."""
    make_data(tmp_path / "data" / "train")
    (tmp_path / "kill_once.py").write_text(KILL_ONCE)
    (tmp_path / "tiny.json").write_text(json.dumps(to_dict(tiny_experiment())))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    command += ["--nproc-per-node", "1", "--max-restarts", "1", "--local-addr", "127.0.0.1"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}"]
    command += ["--rdzv-id", "run", "-m", "detzoo", "train", "tiny.json", "--out", "run"]
    command += ["--data", "data/train/annotations.json", "--images", "data/train"]
    command += ["--batch-size", "1", "--checkpoint-steps", "1", "--device", "cpu"]
    command += ["--callback", "kill_once:KillOnce"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    agents = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        errors = [agent.communicate(timeout=480)[1] for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    assert [agent.returncode for agent in agents] == [0, 0], errors
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "resuming after step" in log
    saved = checkpoint.read(tmp_path / "run" / "last.pt").training
    assert saved is not None
    assert saved["position"]["iteration"] == 8


LOADER = """
import multiprocessing, subprocess, sys, time
from pathlib import Path
from detzoo.data.coco import read_coco
from detzoo.data.loader import build_loader
data = Path(sys.argv[1])
images = read_coco(data / "annotations.json", data)
first, second = (
    build_loader(images, (), images_per_device=1, training=False, workers=1) for _ in range(2)
)
batches = iter(first)
next(batches)
(worker,) = multiprocessing.active_children()
subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
time.sleep(0.2)
print(1 + sum(1 for _ in batches))
kept = iter(second)  # its worker is alive when the program ends
next(kept)
"""


def test_a_loader_worker_ends_with_its_parent_alone(tmp_path: Path) -> None:
    """A scheduler's SIGTERM to all processes does not take the batches of a step away."""
    make_data(tmp_path, images=20)
    done = subprocess.run(
        [sys.executable, "-c", LOADER, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr
