"""The RoI head of Hybrid Task Cascade (https://arxiv.org/abs/1901.07518)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.heads.base import RoIHead, RoIHeadConfig, View
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionBoxHead, RegionExtractor, RegionMaskHead, RegionPooling
from detzoo.heads.roi.cascade import (
    CascadeStage,
    cascade_candidates,
    refined_boxes,
    stage_class_parameters,
    stage_losses,
)
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.mask_head import (
    MASK_CLASS_ROWS,
    MaskHeadConfig,
    mask_convs,
    mask_loss,
    mask_predictor,
    mask_probabilities,
)
from detzoo.heads.roi.regions import (
    box_losses,
    draw_regions,
    mask_losses,
    positive_rois,
    regions_with_masks,
    sampled_rois,
    with_masks,
)
from detzoo.heads.roi.semantic_head import SemanticHead, SemanticHeadConfig
from detzoo.heads.roi.views import EVERY_SCORE, predict_averaged
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.module_list import ModuleList
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.structures import Candidates, Detections, ImageInfo, Targets, stack_semantic_maps


@config
class HTCRoIHeadConfig(RoIHeadConfig):
    """A cascade of boxes and masks that also learns what every pixel shows.

    With a ``semantic_head`` its features are added to those of each region.
    """

    stages: tuple[CascadeStage, ...]
    extractor: RegionExtractor = RoIExtractor()
    mask_extractor: RegionExtractor = RoIExtractor(output_size=14)
    mask_head: MaskHeadConfig = MaskHeadConfig()
    semantic_head: SemanticHeadConfig | None = None
    semantic_extractor: RoIExtractor = RoIExtractor(output_size=14, num_levels=1)
    select: Select = Select(min_score=0.001, suppression=NMS(max_iou=0.5), max_detections=100)

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("stages: there must be at least one")

    @property
    def predicts_masks(self) -> bool:
        return True

    @property
    def needs_semantic_maps(self) -> bool:
        return self.semantic_head is not None

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> HTCRoIHead:
        return HTCRoIHead(self, in_channels, strides, num_classes)


class HTCMaskHead(RegionMaskHead):
    """A mask head that takes what the one of the stage before has made of the same region.

    Children ``conv_res``, which the first stage lacks, ``convs``, ``upsample``, ``conv_logits``.
    """

    def __init__(
        self, config: MaskHeadConfig, in_channels: int, num_classes: int, *, is_first: bool
    ) -> None:
        super().__init__()
        self.conv_res = None
        if not is_first:
            self.conv_res = ConvModule(
                config.channels,
                in_channels,
                1,
                convolution=config.convolution,
                norm=config.norm,
            )
        self.convs = mask_convs(config, in_channels)
        self.upsample, self.conv_logits = mask_predictor(config, config.channels, num_classes)
        self.loss_weight = config.loss_weight

    def encode(self, x: Tensor, previous: Tensor | None) -> Tensor:
        """Regions (R, C, h, w) and, after the first stage, the previous one -> (R, C, h, w)."""
        if self.conv_res is not None:
            assert previous is not None
            x = x + self.conv_res(previous)
        for conv in self.convs:
            x = conv(x)
        return x

    def predict(self, encoded: Tensor) -> Tensor:
        """(R, C, h, w) -> mask logits (R, num_classes, 2h, 2w)."""
        return self.conv_logits(self.upsample(encoded))

    def class_parameters(self) -> dict[str, ClassRows]:
        return MASK_CLASS_ROWS

    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"loss_mask": self.loss_weight * mask_loss(logits, labels, targets)}


class HTCRoIHead(RoIHead):
    """Children ``bbox_roi_extractor``, ``bbox_head``, ``mask_roi_extractor``, ``mask_head``, lists
    with one entry per stage, ``semantic_roi_extractor`` and ``semantic_head``."""

    def __init__(
        self,
        config: HTCRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.bbox_roi_extractor = ModuleList[RegionPooling]()
        self.bbox_head = ModuleList[RegionBoxHead]()
        self.mask_roi_extractor = ModuleList[RegionPooling]()
        self.mask_head = ModuleList[HTCMaskHead]()
        for number, stage in enumerate(config.stages):
            extractor = config.extractor.build(in_channels, strides)
            self.bbox_roi_extractor.append(extractor)
            channels, size = extractor.out_channels, config.extractor.output_size
            self.bbox_head.append(stage.box_head.build(channels, size, num_classes))
            extractor = config.mask_extractor.build(in_channels, strides)
            self.mask_roi_extractor.append(extractor)
            self.mask_head.append(
                HTCMaskHead(
                    config.mask_head, extractor.out_channels, num_classes, is_first=number == 0
                )
            )
        self.semantic_head: SemanticHead | None = None
        self.semantic_roi_extractor = None
        if config.semantic_head is not None:
            semantic = config.semantic_head
            self.semantic_head = semantic.build(in_channels)
            self.semantic_roi_extractor = config.semantic_extractor.build(
                [semantic.channels], [strides[semantic.fusion_level]]
            )

    def class_parameters(self) -> dict[str, ClassRows]:
        return stage_class_parameters(self.bbox_head, self.mask_head)

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        semantic = None
        if self.semantic_head is not None:
            logits, semantic = self.semantic_head(features)
            maps = stack_semantic_maps(targets)
            losses["loss_semantic_seg"] = self.semantic_head.loss(logits, maps)
        boxes = [image.boxes for image in proposals]
        for number, stage in enumerate(self.config.stages):
            draw = (targets, stage.assigner, stage.sampler, self.num_classes)
            head = self.bbox_head[number]
            sampled = draw_regions(boxes, *draw)
            logits, deltas = head(self.pool(features, semantic, number, sampled_rois(sampled)))
            own = box_losses(head, logits, deltas, sampled, targets)
            # Masks train on the boxes that this stage has just refined.
            boxes = refined_boxes(head, logits, deltas, sampled, infos)
            sampled = regions_with_masks(draw_regions(boxes, *draw), targets)
            pooled = self.pool_for_masks(features, semantic, number, positive_rois(sampled))
            mask_logits = self.mask_head[number].predict(self._encode(pooled, number)[-1])
            own |= mask_losses(self.mask_head[number], mask_logits, sampled, targets)
            losses |= stage_losses(number, own, stage.loss_weight)
        return losses

    def _encode(self, pooled: Tensor, last: int) -> list[Tensor]:
        """What the mask heads up to stage ``last`` make of regions, each with the one before."""
        encoded: list[Tensor] = []
        for number in range(last + 1):
            head = self.mask_head[number]
            encoded.append(head.encode(pooled, encoded[-1] if encoded else None))
        return encoded

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """With RoI masks."""
        semantic = self.semantic_features(features)
        candidates = self.decode(features, semantic, proposals, infos, self.config.select.min_score)
        detections = [self.config.select(image) for image in candidates]
        return self.add_masks(features, semantic, detections)

    def predict_views(
        self, views: Sequence[View], proposals: Sequence[Detections]
    ) -> list[Detections]:
        def decode(
            features: Sequence[Tensor], own: Sequence[Detections], infos: Sequence[ImageInfo]
        ) -> list[Candidates]:
            return self.decode(features, self.semantic_features(features), own, infos, EVERY_SCORE)

        def add_masks(
            features: Sequence[Tensor], detections: Sequence[Detections]
        ) -> list[Detections]:
            return self.add_masks(features, self.semantic_features(features), detections)

        return predict_averaged(views, proposals, decode, self.config.select, add_masks)

    def semantic_features(self, features: Sequence[Tensor]) -> Tensor | None:
        """What the semantic head makes of a pyramid, where there is one."""
        return None if self.semantic_head is None else self.semantic_head(features)[1]

    def decode(
        self,
        features: Sequence[Tensor],
        semantic: Tensor | None,
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
        min_score: float,
    ) -> list[Candidates]:
        """Boxes of each image that score enough, before suppression."""

        def pool(number: int, rois: Tensor) -> Tensor:
            return self.pool(features, semantic, number, rois)

        return cascade_candidates(self.bbox_head, pool, proposals, infos, min_score)

    def add_masks(
        self,
        features: Sequence[Tensor],
        semantic: Tensor | None,
        detections: Sequence[Detections],
    ) -> list[Detections]:
        """The same detections, with masks inside their boxes: the mean of those of all stages."""
        rois = rois_of([image.boxes for image in detections])
        labels = torch.cat([image.labels for image in detections])
        last = len(self.mask_head) - 1
        encoded = self._encode(self.pool_for_masks(features, semantic, last, rois), last)
        probabilities = [
            mask_probabilities(head.predict(x), labels) for head, x in zip(self.mask_head, encoded)
        ]
        mean = torch.stack(probabilities).mean(0)
        return with_masks(detections, mean, self.config.mask_head.threshold)

    def pool(
        self, features: Sequence[Tensor], semantic: Tensor | None, number: int, rois: Tensor
    ) -> Tensor:
        """What the box head of a stage sees of RoIs (R, 5)."""
        return self._fuse(self.bbox_roi_extractor[number](features, rois), semantic, rois)

    def pool_for_masks(
        self, features: Sequence[Tensor], semantic: Tensor | None, number: int, rois: Tensor
    ) -> Tensor:
        """What the mask head of a stage sees of RoIs (R, 5)."""
        return self._fuse(self.mask_roi_extractor[number](features, rois), semantic, rois)

    def _fuse(self, pooled: Tensor, semantic: Tensor | None, rois: Tensor) -> Tensor:
        """Regions (R, C, h, w) plus the same regions of the semantic features."""
        if self.semantic_roi_extractor is None:
            return pooled
        added = self.semantic_roi_extractor([semantic], rois)
        return pooled + F.adaptive_avg_pool2d(added, pooled.shape[2])
