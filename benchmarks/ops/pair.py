"""Two functions with the same result, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Run = Callable[[], object]


def pair(
    straightforward: Callable[..., Tensor],
    ours: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    *,
    training: bool,
) -> tuple[Run, Run]:
    """Runs of both functions of ``inputs``, in training forward and backward; they must agree."""
    inputs = [x.requires_grad_(training) for x in inputs]
    # Any gradient but the one of a sum, whose single number in memory no network has.
    grad = torch.rand_like(ours(*inputs))

    def run(function: Callable[..., Tensor]) -> Callable[[], Sequence[Tensor]]:
        def once() -> Sequence[Tensor]:
            out = function(*inputs)
            return torch.autograd.grad(out, inputs, grad) if training else (out,)

        return once

    both = run(straightforward), run(ours)
    for theirs, own in zip(both[0](), both[1]()):
        # Gradients of places are differences of numbers as large as the largest of them.
        rounding = max(1e-4, 1e-5 * float(theirs.detach().abs().max()))
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=rounding)
    return both
