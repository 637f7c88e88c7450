"""The skeleton of residual networks: a stem, then stages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.backbones.base import Backbone
from detzoo.errors import ConfigError
from detzoo.layers.checkpoint import run_stage


class StagedBackbone(Backbone):
    """A stem and stages ``layer1``, ``layer2`` and so on, named as in published checkpoints.

    A subclass makes its stem, then calls :meth:`add_stages`.
    """

    out_stages: tuple[int, ...]
    frozen_stages: int
    checkpoint_activations: bool

    def add_stages(
        self,
        stages: Sequence[nn.Module],
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        out_stages: tuple[int, ...],
        frozen_stages: int,
        checkpoint_activations: bool,
    ) -> None:
        """``channels`` and ``strides`` (pixels per cell) are those of each stage's output."""
        self.out_stages, self.frozen_stages = out_stages, frozen_stages
        self.checkpoint_activations = checkpoint_activations
        for index, stage in enumerate(stages):
            self.add_module(f"layer{index + 1}", stage)
        self.out_channels = tuple(channels[i] for i in out_stages)
        self.out_strides = tuple(strides[i] for i in out_stages)
        # Checkpoints hold every stage; those past the last output take no part in training.
        unused = [self.stage(i) for i in range(max(out_stages) + 1, len(stages))]
        for module in [*self.frozen_modules(), *unused]:
            module.requires_grad_(False)

    def stage(self, index: int) -> nn.Module:
        """Stage ``index``, from 0."""
        return self.get_submodule(f"layer{index + 1}")

    def frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        return [*self.stem_modules(), *(self.stage(n) for n in range(self.frozen_stages))]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem_features(x)
        outputs = []
        for index in range(max(self.out_stages) + 1):
            x = run_stage(self.stage(index), x, self.checkpoint_activations)
            if index in self.out_stages:
                outputs.append(x)
        return tuple(outputs)

    @abstractmethod
    def stem_modules(self) -> list[nn.Module]:
        """The modules before the first stage."""

    @abstractmethod
    def stem_features(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) -> input of the first stage."""


def check_stages(out_stages: tuple[int, ...], frozen_stages: int, num_stages: int) -> None:
    """Raises :class:`ConfigError` for stages that do not exist."""
    if not out_stages or not set(out_stages) <= set(range(num_stages)):
        raise ConfigError(f"out_stages: {out_stages} are not among {num_stages} stages")
    if not -1 <= frozen_stages <= num_stages:
        raise ConfigError(f"frozen_stages: {frozen_stages} is not in -1..{num_stages}")
