"""Detectors that learn from another one, their teacher (knowledge distillation,
https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from detzoo.config import config
from detzoo.detectors.single_stage import SingleStage, SingleStageConfig
from detzoo.errors import ConfigError
from detzoo.heads.base import DistilledHead, DistilledHeadConfig
from detzoo.structures import ImageBatch, Losses, Targets


@config
class DistilledConfig(SingleStageConfig):
    """A detector whose head also learns from what a trained detector predicts of the same images.

    The teacher is needed for training alone: it is no part of the detector's weights.

    Args:
        bbox_head: The detection head.
        teacher: The teacher; None: the detector can only detect.
        teacher_weights: The teacher's trained weights: the name of an entry of the zoo, or the path
            or address of a checkpoint; None: it knows nothing.
    """

    bbox_head: DistilledHeadConfig
    teacher: SingleStageConfig | None = None
    teacher_weights: str | None = None

    def build(self, num_classes: int) -> Distilled:
        return Distilled(self, num_classes)


class Distilled(SingleStage):
    """``teacher`` is no child: its parameters are neither trained nor saved."""

    config: DistilledConfig
    bbox_head: DistilledHead

    def __init__(self, config: DistilledConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        self._teacher = _Unregistered()

    @property
    def teacher(self) -> SingleStage | None:
        """The teacher in evaluation, None until it is given one."""
        return self._teacher.module

    def learn_from(self, teacher: SingleStage) -> None:
        """Takes ``teacher``, in evaluation, onto its own device."""
        self._teacher.module = teacher.eval().requires_grad_(False).to(self.device)

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        if self.teacher is None:
            raise ConfigError(
                "model.teacher: this detector learns from a teacher, and has none. Give it one by "
                "`learn_from`, as training by detzoo does, or train the same model without."
            )
        teacher = self.teacher
        with torch.no_grad():
            taught = teacher.bbox_head(teacher.extract_features(images.pixels))
        predictions = self.bbox_head(features)
        return self.bbox_head.distill(
            predictions, targets, images.infos, teacher=teacher.bbox_head, taught=taught
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What moves the detector moves its teacher."""
        if self.teacher is not None:
            self.teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)


class _Unregistered:
    """Holds a module without making it a child. Copies, which are made to detect, hold none."""

    def __init__(self) -> None:
        self.module: SingleStage | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _Unregistered:
        return _Unregistered()
