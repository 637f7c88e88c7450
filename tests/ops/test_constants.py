from __future__ import annotations

import torch

from detzoo.ops.constants import constant


def test_a_constant_is_made_once() -> None:
    cpu = torch.device("cpu")
    with torch.inference_mode():
        first = constant((1.0, 2.0), cpu)
    assert first is constant((1.0, 2.0), cpu)
    assert not first.is_inference()
    assert first.tolist() == [1, 2]
    assert constant((1.0, 2.0), cpu, torch.float64).dtype == torch.float64
    assert constant(((1.0, 2.0), (3.0, 4.0)), cpu).shape == (2, 2)
