"""``--slurm``: jobs, here on this machine."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from detzoo.cli import slurm
from detzoo.cli.slurm import Job, _parameters
from detzoo.errors import ConfigError
from tests.cli.conftest import Run, assert_refused

ROOT = Path(__file__).parents[2]


def test_options() -> None:
    assert _parameters("partition=gpu, nodes=2,hours=1.5,mem=64,cpus=8,qos=high") == {
        "timeout_min": 90,
        "nodes": 2,
        "mem_gb": 64,
        "cpus_per_task": 8,
        "slurm_additional_parameters": {"partition": "gpu", "qos": "high"},
    }
    assert _parameters("nodes=1") == {"timeout_min": 24 * 60, "nodes": 1}
    for wrong in ("gpu", "nodes=", "=2", "nodes=two", "hours=0", "mem=-1", ""):
        with pytest.raises(ConfigError, match=f"--slurm {wrong}"):
            _parameters(wrong)


def test_a_preempted_job_resumes(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    job = Job(["train", "x", "--data", "d", "--out", str(tmp_path)], str(tmp_path))
    assert job.checkpoint().function == job  # nothing is saved yet
    (tmp_path / "last.pt").touch()
    again = job.checkpoint().function
    assert again.arguments == ["train", "--resume", "--out", str(tmp_path)]
    assert again.run_dir == str(tmp_path)


def test_what_is_refused(
    detzoo: Run, retinanet: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ("test", retinanet, "--data", scenes, "--slurm")
    assert_refused(detzoo(*base, "nodes=x"), "--slurm nodes=x: nodes is a number")
    if shutil.which("srun") is None:
        pytest.importorskip("submitit")
        assert_refused(detzoo(*base, "nodes=1"), "--slurm nodes=1: the job cannot be submitted")
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert_refused(detzoo(*base, "nodes=1"), "pip install 'detzoo[slurm]'")


@pytest.mark.slow
@pytest.mark.ci
def test_a_job_of_two_processes(
    detzoo: Run, mask_rcnn: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(slurm, "CLUSTER", "local")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    submit_job, jobs = slurm.submit_job, []

    def kept(*arguments: Any, **options: Any) -> Any:
        jobs.append(submit_job(*arguments, **options))
        return jobs[-1]

    monkeypatch.setattr(slurm, "submit_job", kept)
    words = ("test", mask_rcnn, "--data", scenes, "--device", "cpu", "--workers", 0)
    outcome = detzoo(*words, "--json", "two.json", "--slurm", "hours=1", "--devices", 2)
    assert outcome.code == 0, outcome
    (job,) = jobs
    assert f"submitted as job {job.job_id}; logs in slurm" in outcome.out
    job.wait()
    assert all(one.exception() is None for one in job._sub_jobs), job.stderr()
    assert detzoo(*words, "--json", "one.json").code == 0
    assert json.loads(Path("two.json").read_text()) == json.loads(Path("one.json").read_text())
