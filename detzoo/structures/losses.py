"""Losses: the terms that a training step minimizes, and metrics that it only reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from detzoo.errors import UserError


class Losses(dict[str, Tensor]):
    """The terms that a training step minimizes, by name: ``sum(losses.values())`` is the loss.

    It is constructed like a ``dict``. ``metrics`` are scalars that are only reported, such as the
    accuracy of a classifier.
    """

    def __init__(
        self,
        terms: Mapping[str, Tensor] | None = None,
        /,
        *,
        metrics: Mapping[str, Tensor] | None = None,
        **named: Tensor,
    ) -> None:
        super().__init__(terms or {}, **named)
        self.metrics = dict(metrics or {})

    @classmethod
    def of(cls, losses: Mapping[str, Tensor]) -> Losses:
        """Returns ``losses`` itself, or converts a plain dict from a third-party model.

        A plain dict follows MMDetection's convention: values with ``loss`` in their name are
        minimized.
        """
        if isinstance(losses, Losses):
            return losses
        terms = {name: value for name, value in losses.items() if "loss" in name}
        if losses and not terms:
            raise UserError(
                f"none of {', '.join(losses)} has 'loss' in its name, so nothing would be "
                "minimized. Return detzoo.structures.Losses, whose terms may have any name."
            )
        metrics = {name: value for name, value in losses.items() if name not in terms}
        return cls(terms, metrics=metrics)

    def total(self) -> Tensor:
        """The loss: the sum of all terms, a scalar."""
        return torch.stack(list(self.values())).sum()

    def logged(self) -> dict[str, Tensor]:
        """All terms and metrics."""
        return {**self, **self.metrics}

    def weighted(self, weight: float) -> Losses:
        """Returns the losses with all terms multiplied by ``weight``; metrics are unchanged."""
        return Losses({name: weight * term for name, term in self.items()}, metrics=self.metrics)

    def prefixed(self, prefix: str) -> Losses:
        """Returns the losses with ``prefix`` added to all names."""
        return Losses(
            {prefix + name: term for name, term in self.items()},
            metrics={prefix + name: value for name, value in self.metrics.items()},
        )

    def __or__(self, other: Mapping[str, Tensor]) -> Losses:  # type: ignore[override]
        """Merges both; the ``other``'s value is used for names in both."""
        other = Losses.of(other)
        return Losses({**self, **other}, metrics={**self.metrics, **other.metrics})

    def __ior__(self, other: Mapping[str, Tensor]) -> Losses:  # type: ignore[override]
        return self | other

    def __repr__(self) -> str:
        return f"Losses({dict(self)}, metrics={self.metrics})"


def _flatten(losses: Losses) -> tuple[list[Tensor], Any]:
    return [*losses.values(), *losses.metrics.values()], (list(losses), list(losses.metrics))


def _unflatten(tensors: Any, names: Any) -> Losses:
    terms, metrics = names
    values = iter(tensors)
    return Losses(dict(zip(terms, values)), metrics=dict(zip(metrics, values)))


# DistributedDataParallel searches the output of a model for tensors.
pytree.register_pytree_node(
    Losses, _flatten, _unflatten, serialized_type_name="detzoo.structures.Losses"
)
