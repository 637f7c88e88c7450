"""detzoo as ``detzoo test`` and ``detzoo train`` run it."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from benchmarks.side_by_side.side import Side
from benchmarks.side_by_side.task import NUM_CLASSES, Task
from detzoo.benchmark.complexity import count_operations
from detzoo.detectors.base import Detector
from detzoo.evaluate.run import detect_batch
from detzoo.layers.fusion import fuse


class Detzoo(Side):
    toolbox = "detzoo"
    model: Detector

    @classmethod
    def make(cls, task: Task) -> Detzoo:
        model = task.config.build(NUM_CLASSES)
        model.load_state_dict(task.weights)
        return cls(task, model.to(memory_format=torch.channels_last))

    def prepare(self, job: str) -> None:
        super().prepare(job)
        self._detector = self.model if job == "training" else self._fused

    @functools.cached_property
    def _fused(self) -> Detector:
        return fuse(self.model)

    def infer(self) -> int:
        found = detect_batch(self._detector, [self._detector.preprocess(self.task.seen)])
        return sum(map(len, found))

    def count_operations(self, job: str) -> int:
        """The arithmetic in an image or a training step, layer by layer."""
        self.prepare(job)
        # A counter knows torch's own operations, not oneDNN's fused ones.
        self._detector = self.model
        return count_operations(self.step if job == "training" else self.infer)

    def loss(self) -> Tensor:
        return self.model(self.model.preprocess(self.task.batch), self.task.targets).total()
