"""Activation checkpointing: less memory for a second forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_stage(stage: nn.Module, x: Tensor, recompute: bool) -> Tensor:
    """``stage(x)``, block by block; with ``recompute`` the blocks keep no activations."""
    if not (recompute and torch.is_grad_enabled() and x.requires_grad):
        return stage(x)
    for block in stage.children():
        x = checkpoint(block, x, use_reentrant=False)
    return x
