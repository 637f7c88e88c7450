"""The RoI head of SCNet (https://arxiv.org/abs/2012.10150): a cascade of boxes, and masks of its
final boxes, in training as in inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import NonEmpty, config
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.roi.base import RegionPooling, RegionPoolingConfig
from detzoo.heads.roi.box_head import BoxHead, BoxHeadConfig
from detzoo.heads.roi.context_head import ContextHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig, mask_probabilities
from detzoo.heads.roi.regions import mask_losses, positive_rois, regions_with_masks, with_masks
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.heads.roi.staged import (
    CascadeStage,
    ImageMaps,
    StagedRoIHead,
    StagedRoIHeadConfig,
    StageRegions,
)
from detzoo.layers.module_list import ModuleList
from detzoo.ops.roi_align import rois_of
from detzoo.structures import Detections, ImageInfo, Losses, Targets, stack_semantic_maps


@config
class SCNetRoIHeadConfig(StagedRoIHeadConfig):
    """A cascade of boxes and one mask head, with semantic features, global context, and features
    relayed from the last box head.

    Args:
        stages: The stages; each is trained on the refined boxes of the previous one.
        mask_extractor: Extracts RoI features for the mask head.
        mask_head: Predicts masks.
        semantic_head: Predicts semantic maps; its features are added to those of each region.
        semantic_extractor: Extracts RoI features from the semantic features.
        context_head: Predicts the classes in the image; its features are added to those of each
            region.
    """

    stages: NonEmpty[CascadeStage]
    mask_extractor: RegionPoolingConfig = PyramidRoIAlignConfig(output_size=14)
    mask_head: MaskHeadConfig = MaskHeadConfig(num_convs=12, residual=True)
    semantic_head: SemanticHeadConfig = SemanticHeadConfig(residual=True)
    semantic_extractor: PyramidRoIAlignConfig = PyramidRoIAlignConfig(output_size=14, num_levels=1)
    context_head: ContextHeadConfig = ContextHeadConfig()

    @property
    def predicts_masks(self) -> bool:
        return True

    @property
    def needs_semantic_maps(self) -> bool:
        return True

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> SCNetRoIHead:
        return SCNetRoIHead(self, in_channels, strides, num_classes)


@dataclass(frozen=True)
class SCNetMaps(ImageMaps):
    """Maps with the global ``context`` (B, C, 1, 1) of each image, and logits (B, num_classes) of
    its classes.
    """

    context: Tensor | None = None
    class_logits: Tensor | None = None


class SCNetRoIHead(StagedRoIHead):
    """Children ``bbox_roi_extractor`` and ``bbox_head``, lists with one entry per stage,
    ``mask_roi_extractor``, ``mask_head``, ``semantic_head``, ``semantic_roi_extractor``,
    ``glbctx_head`` and ``feat_relay_head``."""

    config: SCNetRoIHeadConfig

    def __init__(
        self,
        config: SCNetRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, config.stages, num_classes)
        self.bbox_roi_extractor = ModuleList[RegionPooling](
            config.extractor.build(in_channels, strides) for _ in config.stages
        )
        channels, size = self.bbox_roi_extractor[0].out_channels, config.extractor.output_size
        heads = [stage.box_head.build(channels, size, num_classes) for stage in config.stages]
        self.bbox_head = ModuleList[BoxHead](_relaying(head) for head in heads)
        self.mask_roi_extractor = config.mask_extractor.build(in_channels, strides)
        width = self.mask_roi_extractor.out_channels
        self.mask_head = config.mask_head.build(width, num_classes)
        semantic = config.semantic_head
        self.semantic_head = semantic.build(in_channels)
        self.semantic_roi_extractor = config.semantic_extractor.build(
            [semantic.channels], [strides[semantic.fusion_level]]
        )
        self.glbctx_head = config.context_head.build(in_channels, num_classes)
        last = heads[-1].config
        assert isinstance(last, BoxHeadConfig)
        self.feat_relay_head = FeatureRelay(
            last.fc_channels, width, size, config.mask_extractor.output_size
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        context = prefixed("glbctx_head", self.glbctx_head.class_parameters())
        return super().class_parameters() | context

    def box_head(self, number: int) -> BoxHead:
        return self.bbox_head[number]

    def image_maps(self, features: Sequence[Tensor]) -> SCNetMaps:
        logits, semantic = self.semantic_head(features)
        class_logits, context = self.glbctx_head(features)
        return SCNetMaps(features, semantic, logits, context, class_logits)

    def pool(self, maps: ImageMaps, number: int, rois: Tensor) -> Tensor:
        return self._fused(self.bbox_roi_extractor[number](maps.levels, rois), maps, rois)

    def _fused(self, pooled: Tensor, maps: ImageMaps, rois: Tensor) -> Tensor:
        """Adds semantic features and global context to the features of regions (R, C, h, w)."""
        assert isinstance(maps, SCNetMaps)
        assert maps.context is not None
        semantic = self.semantic_roi_extractor([maps.semantic], rois)
        pooled = pooled + F.adaptive_avg_pool2d(semantic, pooled.shape[2])
        return pooled + maps.context[rois[:, 0].long()]

    # ------------------------------------------------------------------------------- training

    def image_losses(self, maps: ImageMaps, targets: Sequence[Targets]) -> Losses:
        assert isinstance(maps, SCNetMaps)
        assert maps.semantic_logits is not None
        assert maps.class_logits is not None
        wanted = stack_semantic_maps(targets)
        return Losses(
            loss_semantic_seg=self.semantic_head.loss(maps.semantic_logits, wanted),
            loss_glbctx=self.glbctx_head.loss(maps.class_logits, targets),
        )

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the mask losses on the regions of the last stage."""
        if number + 1 < len(self.stages):
            return Losses()
        sampled = regions_with_masks(regions.sampled, targets)
        is_positive = torch.cat([image.is_positive for image in sampled])
        relayed = self.box_head(number).shared(regions.pooled[is_positive])
        logits = self._mask_logits(maps, positive_rois(sampled), relayed)
        return mask_losses(self.mask_head, logits, sampled, targets)

    def losses_of_stage(self, number: int, losses: Losses) -> Losses:
        """Weights mask losses like all stages together, and names them without a stage."""
        boxes = {name: value for name, value in losses.items() if name != "loss_mask"}
        boxes_of_stage = Losses(boxes, metrics=losses.metrics)
        counted = boxes_of_stage.weighted(self.stages[number].loss_weight).prefixed(f"s{number}.")
        if "loss_mask" in losses:
            total = sum(stage.loss_weight for stage in self.stages)
            counted["loss_mask"] = total * losses["loss_mask"]
        return counted

    # ------------------------------------------------------------------------------ inference

    def predict_branches(
        self, maps: ImageMaps, detections: Sequence[Detections]
    ) -> list[Detections]:
        """Adds RoI masks."""
        rois = rois_of([image.boxes for image in detections])
        labels = torch.cat([image.labels for image in detections])
        last = len(self.stages) - 1
        relayed = self.box_head(last).shared(self.pool(maps, last, rois))
        probabilities = mask_probabilities(self._mask_logits(maps, rois, relayed), labels)
        return with_masks(detections, probabilities, self.config.mask_head.threshold)

    def _mask_logits(self, maps: ImageMaps, rois: Tensor, relayed: Tensor) -> Tensor:
        """Mask logits (R, C, m, m) of RoIs (R, 5), with the last box head's features ``relayed``
        (R, D).
        """
        pooled = self._fused(self.mask_roi_extractor(maps.levels, rois), maps, rois)
        return self.mask_head(pooled + self.feat_relay_head(relayed))


class FeatureRelay(nn.Module):
    """Converts the vector of a region to a map: (R, D) -> (R, C, m, m); child ``fc``."""

    def __init__(self, in_features: int, channels: int, size: int, out_size: int) -> None:
        super().__init__()
        self.size, self.out_size = size, out_size
        self.fc = nn.Linear(in_features, channels * size**2)
        nn.init.kaiming_normal_(self.fc.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x).unflatten(1, (-1, self.size, self.size))
        size = (self.out_size, self.out_size)
        return F.interpolate(x, size, mode="bilinear", align_corners=True)


def _relaying(head: nn.Module) -> BoxHead:
    """Checks that the box head can relay its features, and returns it."""
    assert isinstance(head, BoxHead), "SCNet relays the features of a BoxHead"
    return head
