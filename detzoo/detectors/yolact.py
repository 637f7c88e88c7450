"""YOLACT (https://arxiv.org/abs/1904.02689)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.dense.yolact import YOLACTHeadConfig
from detzoo.heads.prototypes import PrototypeMasksConfig, SemanticMapsConfig
from detzoo.structures import Detections, ImageBatch, Losses, Targets


@config
class YOLACTConfig(DetectorConfig):
    """A dense detector with masks that are combinations of prototypes.

    Args:
        bbox_head: Predicts classes, boxes and mask coefficients.
        mask_head: Predicts the prototypes, and assembles masks from them.
        segm_head: Predicts semantic maps, in training only.
    """

    bbox_head: YOLACTHeadConfig = YOLACTHeadConfig()
    mask_head: PrototypeMasksConfig = PrototypeMasksConfig()
    segm_head: SemanticMapsConfig = SemanticMapsConfig()

    @property
    def predicts_masks(self) -> bool:
        return True

    @property
    def masks_cover_input(self) -> bool:
        return True

    def build(self, num_classes: int) -> YOLACT:
        return YOLACT(self, num_classes)


class YOLACT(Detector):
    """Children ``bbox_head``, ``mask_head``, ``segm_head``."""

    config: YOLACTConfig

    def __init__(self, config: YOLACTConfig, num_classes: int) -> None:
        super().__init__(config)
        channels, strides = self.feature_channels, self.feature_strides
        self.bbox_head = config.bbox_head.build(channels, strides, num_classes)
        self.segm_head = config.segm_head.build(channels[0], num_classes)
        self.mask_head = config.mask_head.build(channels[0])

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("bbox_head", self.bbox_head.class_parameters()) | prefixed(
            "segm_head", self.segm_head.class_parameters()
        )

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        predictions = self.bbox_head(features)
        assert predictions.coefficients is not None
        assigned = self.bbox_head.assign(predictions, targets, images.infos)
        losses = self.bbox_head.losses(predictions, assigned)
        losses |= self.segm_head.loss(self.segm_head(features[0]), targets)
        return losses | self.mask_head.loss(
            self.mask_head(features[0]),
            predictions.coefficients,
            assigned.index,
            targets,
            images.infos,
        )

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        predictions, prototypes = self.bbox_head(features), self.mask_head(features[0])
        assert predictions.coefficients is not None
        size = (images.pixels.shape[2], images.pixels.shape[3])
        found = []
        for image, info in enumerate(images.infos):
            candidates, prior = self.bbox_head.candidates(predictions, image, info)
            chosen, scores = self.bbox_head.config.select.choose(candidates)
            boxes, coefficients = (
                candidates.boxes[chosen],
                predictions.coefficients[image, prior[chosen]],
            )
            masks = self.mask_head.masks(prototypes[image], coefficients, boxes, size)
            found.append(Detections(boxes, scores, candidates.labels[chosen], masks))
        return found
