"""The RoI head of Hybrid Task Cascade (https://arxiv.org/abs/1901.07518)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionMaskHead, RegionPoolingConfig
from detzoo.heads.roi.cascade import CascadeRoIHead, CascadeRoIHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import (
    MASK_CLASS_ROWS,
    MaskHeadConfig,
    mask_convs,
    mask_loss,
    mask_predictor,
)
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.heads.roi.staged import ImageMaps, StageRegions
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.structures import ImageInfo, Losses, Targets, stack_semantic_maps


@config
class HTCRoIHeadConfig(CascadeRoIHeadConfig):
    """A cascade of boxes and masks with a semantic segmentation branch.

    Args:
        semantic_head: Predicts semantic maps; its features are added to those of each region.
        semantic_extractor: Extracts RoI features from the semantic features.
    """

    mask_extractor: RegionPoolingConfig = PyramidRoIAlignConfig(output_size=14)
    mask_head: MaskHeadConfig = MaskHeadConfig()
    semantic_head: SemanticHeadConfig | None = None
    semantic_extractor: PyramidRoIAlignConfig = PyramidRoIAlignConfig(output_size=14, num_levels=1)
    select: Select = Select(min_score=0.001, suppression=NMS(max_iou=0.5), max_detections=100)

    @property
    def needs_semantic_maps(self) -> bool:
        return self.semantic_head is not None

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> HTCRoIHead:
        return HTCRoIHead(self, in_channels, strides, num_classes)

    def build_mask_head(self, number: int, in_channels: int, num_classes: int) -> HTCMaskHead:
        return HTCMaskHead(self.mask_head, in_channels, num_classes, is_first=number == 0)


class HTCMaskHead(RegionMaskHead):
    """A mask head with the features of the previous stage's mask head as an additional input.

    Children ``conv_res`` (not in the first stage), ``convs``, ``upsample``, ``conv_logits``.
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
        self.config = config

    def encode(self, x: Tensor, previous: Tensor | None) -> Tensor:
        """Regions (R, C, h, w) and the previous encoding, except in the first stage -> (R, C, h,
        w).
        """
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
        return {} if self.config.class_agnostic else MASK_CLASS_ROWS

    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Losses:
        return Losses(loss_mask=self.config.loss_weight * mask_loss(logits, labels, targets))


class HTCRoIHead(CascadeRoIHead):
    """Children ``semantic_head`` and ``semantic_roi_extractor``, and those of the base class."""

    config: HTCRoIHeadConfig

    def __init__(
        self,
        config: HTCRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, in_channels, strides, num_classes)
        self.semantic_head = self.semantic_roi_extractor = None
        if config.semantic_head is not None:
            semantic = config.semantic_head
            self.semantic_head = semantic.build(in_channels)
            self.semantic_roi_extractor = config.semantic_extractor.build(
                [semantic.channels], [strides[semantic.fusion_level]]
            )

    def image_maps(self, features: Sequence[Tensor]) -> ImageMaps:
        if self.semantic_head is None:
            return ImageMaps(features)
        logits, semantic = self.semantic_head(features)
        return ImageMaps(features, semantic, logits)

    def pool(self, maps: ImageMaps, number: int, rois: Tensor) -> Tensor:
        return self._with_semantic(super().pool(maps, number, rois), maps, rois)

    def _with_semantic(self, pooled: Tensor, maps: ImageMaps, rois: Tensor) -> Tensor:
        """Adds semantic RoI features to the features of regions (R, C, h, w)."""
        if self.semantic_roi_extractor is None:
            return pooled
        added = self.semantic_roi_extractor([maps.semantic], rois)
        return pooled + F.adaptive_avg_pool2d(added, pooled.shape[2])

    def image_losses(self, maps: ImageMaps, targets: Sequence[Targets]) -> Losses:
        if self.semantic_head is None:
            return Losses()
        assert maps.semantic_logits is not None
        wanted = stack_semantic_maps(targets)
        return Losses(loss_semantic_seg=self.semantic_head.loss(maps.semantic_logits, wanted))

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the mask losses on the boxes refined by this stage."""
        labeled = self.label(number, self.refined(number, regions, infos), targets)
        regions = dataclasses.replace(regions, sampled=self.sample(maps, number, labeled))
        return super().branch_losses(maps, number, regions, targets, infos)

    def mask_logits(self, maps: ImageMaps, rois: Tensor, numbers: Sequence[int]) -> list[Tensor]:
        """Computes mask logits; each mask head receives the encoding of the previous one."""
        last = numbers[-1]
        pooled = self._with_semantic(self.mask_roi_extractor[last](maps.levels, rois), maps, rois)
        logits = []
        encoded = None
        for number in range(last + 1):
            head = self.mask_head[number]
            assert isinstance(head, HTCMaskHead)
            encoded = head.encode(pooled, encoded)
            if number in numbers:
                logits.append(head.predict(encoded))
        return logits
