"""Which rows of a parameter belong to which class, to transfer trained heads to other classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassRows:
    """How the rows (first dimension) of a parameter depend on the classes.

    Its rows form ``groups`` blocks. Each has ``leading`` rows that do not depend on the classes,
    then ``classes * width`` rows, class by class, then ``shared * width`` that do not depend on the
    classes either:

    - softmax classifier: ``ClassRows(shared=1)``, with the background after the foreground classes
    - sigmoid classifier of A anchors per cell: ``ClassRows(groups=A)``
    - box regression per class: ``ClassRows(width=4)``
    - mask logits per class: ``ClassRows()``
    - box, confidence and classes of A anchors in one map: ``ClassRows(groups=A, leading=5)``
    - a layer whose input is class scores: ``ClassRows(width=0, leading=outputs,
    inputs=ClassRows())``

    ``inputs`` describes the second dimension, if that depends on the classes. The classes are those
    ``of`` things, of stuff (which only panoptic detectors have), or all: things, then stuff.
    """

    groups: int = 1
    width: int = 1
    shared: int = 0
    leading: int = 0
    inputs: ClassRows | None = None
    of: Literal["things", "stuff", "all"] = "things"

    def count(self, num_classes: int) -> int:
        """The number of rows for ``num_classes`` classes."""
        return self.groups * self._block(num_classes)

    def index(self, classes: Tensor, num_classes: int) -> Tensor:
        """The rows of ``classes`` (K,), and those that do not depend on the classes, in order."""
        shared = torch.arange(num_classes, num_classes + self.shared)
        columns = torch.cat([classes.cpu().long(), shared])
        in_columns = self.leading + columns[:, None] * self.width + torch.arange(self.width)
        in_block = torch.cat([torch.arange(self.leading), in_columns.flatten()])
        starts = torch.arange(self.groups) * self._block(num_classes)
        return (starts[:, None] + in_block).flatten()

    def place(self, classes: Tensor, num_classes: int) -> tuple[Tensor, ...]:
        """The index of the part of the parameter that belongs to ``classes`` (K,)."""
        rows = self.index(classes, num_classes)
        if self.inputs is None:
            return (rows,)
        return rows[:, None], self.inputs.index(classes, num_classes)

    def shape(self, like: tuple[int, ...], num_classes: int) -> tuple[int, ...]:
        """The parameter's shape for ``num_classes`` classes, given its shape ``like`` for another
        number."""
        rows = self.count(num_classes)
        if self.inputs is None:
            return (rows, *like[1:])
        return (rows, self.inputs.count(num_classes), *like[2:])

    def _block(self, num_classes: int) -> int:
        return self.leading + (num_classes + self.shared) * self.width


def prefixed(prefix: str, rows: dict[str, ClassRows]) -> dict[str, ClassRows]:
    """The same rows for the parameters of a child module called ``prefix``."""
    return {f"{prefix}.{name}": value for name, value in rows.items()}
