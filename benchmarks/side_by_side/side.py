"""What is measured of a toolbox."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from benchmarks.side_by_side.task import Task


class Side(ABC):
    """A toolbox's model with the task's weights. Frozen are the stem and the first stage."""

    toolbox: str

    def __init__(self, task: Task, model: nn.Module) -> None:
        self.task = task
        self.model = model.to(task.device)
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.SGD(self._trained, 1e-9, momentum=0.9)

    @classmethod
    @abstractmethod
    def make(cls, task: Task) -> Side | None:
        """None where the toolbox has no such model. Raises ImportError where it is missing."""

    @property
    def num_trained(self) -> int:
        """How many parameters learn."""
        return sum(parameter.numel() for parameter in self._trained)

    def prepare(self, job: str) -> None:
        """Makes ready for "inference" or "training"; not timed."""
        self.model.train(job == "training")

    @abstractmethod
    def infer(self) -> int:
        """From raw images to boxes and masks in their pixels; how many."""

    @abstractmethod
    def loss(self) -> Tensor:
        """The sum of the losses of the whole raw batch."""

    def step(self) -> None:
        self.loss().backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
