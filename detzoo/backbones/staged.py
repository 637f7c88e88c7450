"""The skeleton of residual networks: a stem, followed by stages."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Self

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import NonNegativeInt, config
from detzoo.errors import ConfigError
from detzoo.layers.checkpoint import run_stage
from detzoo.layers.fusion import fuse_children, is_concrete
from detzoo.layers.norm import BatchNormConfig, NormConfig


@config
class StagedConfig(BackboneConfig):
    """A backbone of four stages.

    Args:
        out_stages: Stages, counted from 0, whose feature maps are returned.
        frozen_stages: Number of stages kept fixed along with the stem; 0 freezes the stem alone, -1
            nothing.
        norm: Norm after each convolution.
        checkpoint_activations: Recompute activations in the backward pass, to save memory.
    """

    out_stages: tuple[NonNegativeInt, ...] = (0, 1, 2, 3)
    frozen_stages: int = 1
    norm: NormConfig = BatchNormConfig(fixed_statistics=True)
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        check_stages(self.out_stages, self.frozen_stages, 4)

    def from_scratch(self) -> Self:
        return dataclasses.replace(
            self, pretrained=None, frozen_stages=-1, norm=self.norm.from_scratch()
        )


class StagedBackbone(Backbone):
    """A stem, and stages ``layer1``, ``layer2`` and so on, named as in published checkpoints.

    A subclass builds its stem, then calls :meth:`add_stages`.
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
        """Registers the stages; ``channels`` and ``strides`` (in pixels) describe their outputs."""
        self.out_stages, self.frozen_stages = out_stages, frozen_stages
        self.checkpoint_activations = checkpoint_activations
        for index, stage in enumerate(stages):
            self.add_module(f"layer{index + 1}", stage)
        self.out_channels = tuple(channels[i] for i in out_stages)
        self.out_strides = tuple(strides[i] for i in out_stages)
        # Checkpoints contain all stages; those after the last output are not trained.
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
        frozen = self._frozen_part(x)
        prepared = fuse_children(self, frozen) if frozen else self
        needs_grad = torch.is_grad_enabled()
        with torch.set_grad_enabled(needs_grad and not frozen):
            x = prepared.stem_features(x)
        outputs = []
        for index in range(max(self.out_stages) + 1):
            stage = prepared.stage(index)
            with torch.set_grad_enabled(needs_grad and not (frozen and index < self.frozen_stages)):
                x = run_stage(stage, x, self.checkpoint_activations)
            if index in self.out_stages:
                outputs.append(x)
        return tuple(outputs)

    def _frozen_part(self, x: Tensor) -> list[nn.Module]:
        """The frozen modules that run in a fused copy, created in each step, when training on
        ``x``.

        Fused inference produces channels-last maps, so for any other layout nothing is fused: batch
        statistics on a CPU are more accurate in the contiguous layout.
        """
        frozen = self.frozen_modules() if self.training else []
        if not frozen or not is_concrete(x) or x.requires_grad:
            return []
        if any(p.requires_grad for module in frozen for p in module.parameters()):
            return []
        return frozen if x.is_contiguous(memory_format=torch.channels_last) else []

    @abstractmethod
    def stem_modules(self) -> list[nn.Module]:
        """The modules before the first stage."""

    @abstractmethod
    def stem_features(self, x: Tensor) -> Tensor:
        """Runs the stem: pixels (B, 3, H, W) -> input of the first stage."""


def check_stages(out_stages: tuple[int, ...], frozen_stages: int, num_stages: int) -> None:
    """Raises :class:`ConfigError` if a stage does not exist."""
    if not out_stages or not set(out_stages) <= set(range(num_stages)):
        raise ConfigError(f"out_stages: {out_stages} is not a selection of 0..{num_stages - 1}")
    if not -1 <= frozen_stages <= num_stages:
        raise ConfigError(f"frozen_stages: {frozen_stages} is not in -1..{num_stages}")
