"""Activation checkpointing: saves memory at the cost of a second forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_stage(stage: nn.Module, x: Tensor, recompute: bool) -> Tensor:
    """Computes ``stage(x)`` block by block; with ``recompute``, blocks do not store activations."""
    if not (recompute and torch.is_grad_enabled()):
        return stage(x)
    for block in stage.children():
        x = checkpoint(block, x, use_reentrant=False, context_fn=partial(_contexts, block))
    return x


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The contexts of the first and the second pass through ``block``."""
    return nullcontext(), _keeping_statistics(block)


@contextmanager
def _keeping_statistics(block: nn.Module) -> Iterator[None]:
    """Keeps the second pass over a batch from updating the running statistics again."""
    kinds = (nn.BatchNorm2d, nn.SyncBatchNorm)
    norms = [module for module in block.modules() if isinstance(module, kinds)]
    momenta = [norm.momentum for norm in norms]
    counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    counts = [counter.clone() for counter in counters]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        for counter, count in zip(counters, counts):
            counter.copy_(count)
