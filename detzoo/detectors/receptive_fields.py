"""Receptive fields of a detector's convolutions, and the search for them: RF-Next
(https://arxiv.org/abs/2206.06637)."""

from __future__ import annotations

import dataclasses
from typing import Literal

from torch import nn

from detzoo.config import (
    ConfigError,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveUnitFloat,
    config,
)
from detzoo.layers.branched import BranchedConv2d, branch, can_branch, place


@config
class ReceptiveFields:
    """Dilations of a detector's convolutions: given ones, or a search for them.

    With branches, each convolution is computed at several dilations around its own, and training
    learns what part each has in their sum. A step of the search gives every convolution the mean of
    its dilations, weighted by their parts, and branches around that one.

    Args:
        dilations: The dilation of each convolution, by its name in the detector; none: every plain
            convolution with a square kernel of odd size is part of the search, from the dilation
            that it has.
        branches: Branches of a convolution: a smaller and a larger dilation (2), also the one
            between (3), or that one alone (1).
        spread: How far the other dilations are from a convolution's own, as a part of it.
        min_dilation: The smallest dilation.
        max_dilation: The largest dilation.
        initial_weight: Weight of every branch after a step of the search.
        skip: Convolutions with one of these in their names are left as they are.
        search_every: Epochs between steps of the search.
        search_until: The search ends when this epoch begins, counted from 0; 0: there is none.
    """

    dilations: tuple[tuple[str, PositiveInt], ...] = ()
    branches: Literal[1, 2, 3] = 2
    spread: PositiveUnitFloat = 0.5
    min_dilation: PositiveInt = 1
    max_dilation: PositiveInt = 24
    initial_weight: PositiveFloat = 0.01
    skip: tuple[str, ...] = ()
    search_every: PositiveInt = 1
    search_until: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.min_dilation > self.max_dilation:
            raise ConfigError("min_dilation, max_dilation: the smallest is larger than the largest")
        if self.branches == 1 and self.search_until > 0:
            raise ConfigError("branches: a search compares at least 2")
        if self.branches == 1 and not self.dilations:
            raise ConfigError("dilations: none are given, and without branches none are searched")

    def arrange(self, detector: nn.Module) -> None:
        """Gives the convolutions of ``detector`` their dilations and branches."""
        for name, dilation in self._dilations_in(detector).items():
            conv = detector.get_submodule(name)
            assert isinstance(conv, nn.Conv2d)
            place(conv, dilation)
            if self.branches > 1:
                if not isinstance(conv, BranchedConv2d):
                    conv = branch(conv, self.branches, self.initial_weight)
                conv.branches = self._around(dilation)

    def searches_at(self, epoch: int) -> bool:
        """Whether a step of the search is due when ``epoch`` begins, counted from 0."""
        return 0 < epoch < self.search_until and epoch % self.search_every == 0

    def step(self, detector: nn.Module) -> ReceptiveFields:
        """Takes a step of the search in ``detector``; returns what it has now."""
        found = {}
        for name, conv in branched(detector).items():
            shares = conv.shares().tolist()
            mean = sum(s * d for s, d in zip(shares, conv.branches)) / sum(shares)
            found[name] = self._limited(mean)
            nn.init.constant_(conv.branch_weights, self.initial_weight)
        fields = dataclasses.replace(self, dilations=tuple(found.items()))
        fields.arrange(detector)
        return fields

    def _dilations_in(self, detector: nn.Module) -> dict[str, int]:
        convs = {name: m for name, m in detector.named_modules() if isinstance(m, nn.Conv2d)}
        if not self.dilations:
            chosen = (name for name, conv in convs.items() if can_branch(conv))
            return {name: convs[name].dilation[0] for name in chosen if not self._skips(name)}
        dilations = {name: value for name, value in self.dilations if not self._skips(name)}
        for name in dilations:
            conv = convs.get(name)
            if conv is None or not (isinstance(conv, BranchedConv2d) or can_branch(conv)):
                raise ConfigError(
                    f"receptive_fields.dilations: {name} is no plain convolution with a square "
                    "kernel of odd size in this detector; give the dilations that were found for "
                    "the same one"
                )
        return dilations

    def _skips(self, name: str) -> bool:
        return any(part in name for part in self.skip)

    def _around(self, dilation: int) -> tuple[int, ...]:
        """The dilations of the branches, each once."""
        values = [self._limited((1 - self.spread) * dilation)]
        if self.branches == 3:
            values.append(dilation)
        values.append(self._limited((1 + self.spread) * dilation))
        return tuple(dict.fromkeys(values))

    def _limited(self, dilation: float) -> int:
        return min(max(round(dilation), self.min_dilation), self.max_dilation)


def branched(detector: nn.Module) -> dict[str, BranchedConv2d]:
    """The convolutions with branches by their names."""
    return {n: conv for n, conv in detector.named_modules() if isinstance(conv, BranchedConv2d)}
