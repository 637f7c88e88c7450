from __future__ import annotations

import os

import pytest
import torch

from detzoo.devices import deterministic
from detzoo.errors import DeviceError

CUDA = torch.device("cuda", 0)  # it need not be there


def flags() -> tuple[bool, bool, bool, str | None]:
    cudnn = torch.backends.cudnn
    enabled = torch.are_deterministic_algorithms_enabled()
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    return enabled, cudnn.benchmark, cudnn.deterministic, workspace


def test_deterministic_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with deterministic(CUDA):
        assert flags() == (True, False, True, ":4096:8")
    assert flags() == (False, True, False, None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic(CUDA):
        assert flags() == (True, False, True, ":16:8")
    assert flags() == (False, True, False, ":16:8")
    with deterministic(torch.device("cpu")):
        assert flags() == (False, True, False, ":16:8")


def test_an_operation_without_a_deterministic_form() -> None:
    message = (
        "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'."
    )
    with (
        pytest.raises(DeviceError, match=r"no deterministic form of grid_sampler_2d.* on cuda:0"),
        deterministic(CUDA),
    ):
        raise RuntimeError(message)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="another"), deterministic(CUDA):
        raise RuntimeError("another error")
