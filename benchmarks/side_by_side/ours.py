"""detzoo as ``detzoo test`` and ``detzoo train`` run it."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.side_by_side.side import Side
from benchmarks.side_by_side.task import NUM_CLASSES, Task
from detzoo.detectors.base import Detector
from detzoo.evaluate.run import see


class Detzoo(Side):
    toolbox = "detzoo"
    model: Detector

    @classmethod
    def make(cls, task: Task) -> Detzoo:
        model = task.config.build(NUM_CLASSES)
        model.load_state_dict(task.weights)
        return cls(task, model.to(memory_format=torch.channels_last))

    def infer(self) -> int:
        (found,) = see(self.model, [self.model.preprocess(self.task.first)])
        return len(found)

    def loss(self) -> Tensor:
        losses = self.model(self.model.preprocess(self.task.batch), self.task.targets)
        return torch.stack([v.sum() for name, v in losses.items() if "loss" in name]).sum()
