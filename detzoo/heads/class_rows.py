"""Which rows of a parameter belong to which class: how trained heads move to other classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassRows:
    """How the first dimension of a parameter is made of classes.

    Its rows are ``groups`` blocks, each of ``leading`` rows that every set of classes has, then
    ``classes * width`` rows, class after class, then ``shared * width`` that every set has:

    - softmax classifier: ``ClassRows(shared=1)``, background after the foreground classes
    - sigmoid classifier of A anchors per cell: ``ClassRows(groups=A)``
    - box regression per class: ``ClassRows(width=4)``
    - mask logits per class: ``ClassRows()``
    - box, confidence and classes of A anchors in one map: ``ClassRows(groups=A, leading=5)``
    """

    groups: int = 1
    width: int = 1
    shared: int = 0
    leading: int = 0

    def count(self, num_classes: int) -> int:
        """The number of rows for ``num_classes`` classes."""
        return self.groups * self._block(num_classes)

    def index(self, classes: Tensor, num_classes: int) -> Tensor:
        """Rows of ``classes`` (K,) and those that every set of classes has, in their order."""
        shared = torch.arange(num_classes, num_classes + self.shared)
        columns = torch.cat([classes.cpu().long(), shared])
        in_columns = self.leading + columns[:, None] * self.width + torch.arange(self.width)
        in_block = torch.cat([torch.arange(self.leading), in_columns.flatten()])
        starts = torch.arange(self.groups) * self._block(num_classes)
        return (starts[:, None] + in_block).flatten()

    def _block(self, num_classes: int) -> int:
        return self.leading + (num_classes + self.shared) * self.width


def prefixed(prefix: str, rows: dict[str, ClassRows]) -> dict[str, ClassRows]:
    """The same, for parameters of a child module called ``prefix``."""
    return {f"{prefix}.{name}": value for name, value in rows.items()}
