"""Label assignment distillation (https://arxiv.org/abs/2108.10520): a teacher's costs decide what a
student learns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.heads.base import DetectionHead, DistilledHead, DistilledHeadConfig
from detzoo.heads.dense.base import DenseTargets
from detzoo.heads.dense.paa import PAAHead, PAAHeadConfig
from detzoo.structures import DensePredictions, ImageInfo, Losses, Targets


@config
class LADHeadConfig(PAAHeadConfig, DistilledHeadConfig):
    """PAA whose positive anchors are those with the smallest losses of the teacher."""

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> LADHead:
        return LADHead(self, in_channels, strides, num_classes)


class LADHead(PAAHead, DistilledHead):
    """As a teacher it serves, too: it assigns by its own losses."""

    config: LADHeadConfig
    teacher_knows_classes = True

    def distill(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
        *,
        teacher: DetectionHead,
        taught: DensePredictions,
    ) -> Losses:
        assert isinstance(teacher, PAAHead), "the teacher of a LADHead assigns as PAA does"
        return self.losses(predictions, teacher.assign(taught, targets, infos))

    def box_weights(self, iou: Tensor, targets: DenseTargets) -> Tensor:
        return targets.box_weights
