"""Which rows of a parameter belong to which class: how trained heads move to other classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassRows:
    """How the first dimension of a parameter is made of classes.

    Its rows are ``groups`` blocks, each of ``classes * width`` rows, class after class, followed by
    ``shared * width`` rows that every set of classes has:

    - softmax classifier: ``ClassRows(shared=1)``, background after the foreground classes
    - sigmoid classifier of A anchors per cell: ``ClassRows(groups=A)``
    - box regression per class: ``ClassRows(width=4)``
    - mask logits per class: ``ClassRows()``
    """

    groups: int = 1
    width: int = 1
    shared: int = 0

    def count(self, num_classes: int) -> int:
        """The number of rows for ``num_classes`` classes."""
        return self.groups * (num_classes + self.shared) * self.width

    def index(self, classes: Tensor, num_classes: int) -> Tensor:
        """Rows of ``classes`` (K,) and the shared ones -> (groups * (K + shared) * width,)."""
        shared = torch.arange(num_classes, num_classes + self.shared)
        columns = torch.cat([classes.cpu().long(), shared])
        groups = torch.arange(self.groups) * (num_classes + self.shared)
        blocks = (groups[:, None] + columns) * self.width
        return (blocks[..., None] + torch.arange(self.width)).flatten()


def prefixed(prefix: str, rows: dict[str, ClassRows]) -> dict[str, ClassRows]:
    """The same, for parameters of a child module called ``prefix``."""
    return {f"{prefix}.{name}": value for name, value in rows.items()}
