"""Finds the modules of a detector that differ from those of its configuration.

Any layer of a detector may be replaced before training. Its checkpoint records this, since the
configuration in it then describes a different detector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from detzoo.experiment import Experiment
from detzoo.layers.norm import FixedBatchNorm2d, SynchronizedBatchNorm2d

# These compute the same results with the same weights and statistics.
_BATCH_NORMS = (
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    FixedBatchNorm2d,
    SynchronizedBatchNorm2d,
    FrozenBatchNorm2d,
)


@dataclass(frozen=True)
class Layer:
    """A module's class with its settings, and the names of its own parameters and buffers."""

    text: str
    tensors: frozenset[str] = frozenset()


NOTHING = Layer("nothing")
Architecture: TypeAlias = Mapping[str, Layer]


def architecture(model: nn.Module) -> Architecture:
    """The layers of ``model`` by module name."""
    return {name: _describe(module) for name, module in model.named_modules()}


def architecture_of(experiment: Experiment) -> Architecture:
    """The architecture of the detector that ``experiment`` builds."""
    state = torch.get_rng_state()
    try:
        with torch.device("meta"):
            return architecture(experiment.build_model())
    except RuntimeError:  # a module reads its own weights when built
        return architecture(experiment.build_model())
    finally:
        torch.set_rng_state(state)


def changed_modules(found: Architecture, wanted: Architecture) -> tuple[str, ...]:
    """The outermost modules of ``found`` that differ from those in ``wanted``.

    Each is described like ``backbone.bn1: Identity() instead of batch norm(64, eps=1e-05)``.
    """
    changes: dict[str, str] = {}
    for name in (*wanted, *(name for name in found if name not in wanted)):
        inside = any(name.startswith(f"{outer}.") for outer in changes)
        was, now = wanted.get(name, NOTHING), found.get(name, NOTHING)
        if was == now or inside:
            continue
        more = sorted(now.tensors - was.tensors) if was.text == now.text else []
        names = f" with {', '.join(more)}" if more else ""
        changes[name] = f"{name}: {now.text}{names} instead of {was.text}"
    return tuple(changes.values())


def _describe(module: nn.Module) -> Layer:
    kind = type(module)
    if isinstance(module, _BATCH_NORMS) and kind in _BATCH_NORMS:  # but not their subclasses
        channels = len(module.running_mean) if module.running_mean is not None else 0
        return Layer(f"batch norm({channels}, eps={module.eps})")
    known = kind.__module__.startswith(("detzoo.", "torch.nn."))
    name = kind.__name__ if known else f"{kind.__module__}.{kind.__qualname__}"
    # Whether an activation works in place does not matter.
    settings = [s for s in module.extra_repr().split(", ") if s and s != "inplace=True"]
    tensors = frozenset((*module._parameters, *module._buffers))
    return Layer(f"{name}({', '.join(settings)})", tensors)
