"""The base of all detectors: preprocessing, and a forward pass that trains or detects."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Self

from detzoo.backbones.base import Backbone, BackboneConfig, PretrainedModules
from detzoo.backbones.input_channels import COLORS, change_input_channels
from detzoo.backbones.pretrained import pixels_of
from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.necks.base import Neck, NeckConfig
from detzoo.postprocess.tta import merge_detections, to_original
from detzoo.structures import (
    Batch,
    Detections,
    ImageBatch,
    Losses,
    PanopticPrediction,
    Pixels,
    Targets,
)
from detzoo.structures.images import Size


@config
class DetectorConfig(ABC):
    """A detector: a backbone, optionally a neck, and the heads of the subclass.

    Args:
        backbone: The backbone.
        neck: The neck; None: the heads use the backbone's feature maps.
        pixels: Pixel normalization; None: that of the pretrained weights. Its number of values is
            the number of channels of the images, to which the first convolution adapts.
    """

    backbone: BackboneConfig
    neck: NeckConfig | None = None
    pixels: Pixels | None = None

    @property
    def input_pixels(self) -> Pixels:
        """The pixel normalization in effect."""
        return self.pixels or pixels_of(self.backbone)

    @property
    def is_class_agnostic(self) -> bool:
        """Whether the detector locates objects without classifying them."""
        return False

    @property
    def predicts_masks(self) -> bool:
        return False

    @property
    def masks_cover_input(self) -> bool:
        """Whether masks are predicted over the whole input (``ImageMasks``), not in boxes; boxes in
        original pixels are those around them."""
        return False

    @property
    def needs_proposals(self) -> bool:
        """Whether the detector requires precomputed regions (``ImageBatch.proposals``)."""
        return False

    @property
    def needs_semantic_maps(self) -> bool:
        """Whether training requires targets with a ``semantic_map``."""
        return False

    def from_scratch(self) -> Self:
        """Returns the same detector for training without pretrained weights: nothing is frozen."""
        neck = None if self.neck is None else self.neck.from_scratch()
        return dataclasses.replace(self, backbone=self.backbone.from_scratch(), neck=neck)

    @property
    def predicts_panoptic(self) -> bool:
        """Whether detections have a ``panoptic`` prediction of the whole image."""
        return False

    @abstractmethod
    def build(self, num_classes: int) -> Detector:
        """Builds the module with initialized parameters."""


@config
class PanopticConfig(DetectorConfig):
    """A detector that can also segment stuff: classes without instances, such as grass or sky."""

    @abstractmethod
    def build(self, num_classes: int, num_stuff: int = 0) -> Detector:
        """Builds the module for ``num_classes`` classes of things and ``num_stuff`` of stuff, whose
        labels follow those of things."""

    @abstractmethod
    def segments_of(
        self, tensors: Sequence[Tensor], size: Size, num_things: int
    ) -> PanopticPrediction:
        """The prediction of an image of a panoptic detector, given its
        :attr:`~detzoo.structures.PanopticPrediction.tensors`, over an input of ``size``."""


class Detector(nn.Module, ABC):
    """Base class of detectors: contains backbone and neck, and preprocesses batches."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = config.backbone.build()
        pixels = config.input_pixels
        if pixels.channels != COLORS:
            change_input_channels(self.backbone, pixels.channels)
        source: Backbone | Neck = self.backbone
        self.neck = None
        if config.neck is not None:
            source = self.neck = config.neck.build(source.out_channels, source.out_strides)
        self.feature_channels, self.feature_strides = source.out_channels, source.out_strides
        self._normalize_by(pixels)

    def _normalize_by(self, pixels: Pixels) -> None:
        """Registers the buffers that :meth:`preprocess` uses."""
        # Images are decoded as BGR.
        self.swaps_channels = pixels.order == "rgb" and pixels.channels >= COLORS
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (pixels.mean, pixels.std))
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_std", std, persistent=False)
        self.padding = pixels.padding

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def pretrained_modules(self) -> PretrainedModules:
        """The modules initialized with pretrained backbone weights, by the backbone's names."""
        return (self.backbone, *(() if self.neck is None else self.neck.pretrained_modules()))

    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by full name.

        A class-agnostic detector has none.
        """
        return {}

    def enter_epoch(self, epoch: int) -> None:
        """Called in training when an ``epoch``, counted from 0, starts or is resumed."""

    def enter_final_epochs(self) -> None:
        """Called once at the start of a recipe's final epochs: see ``Experiment.final``."""

    def preprocess(self, batch: Batch) -> ImageBatch:
        """Normalizes raw pixels on this detector's device: (B, H, W, C) -> (B, C, H, W).

        C is 3 (BGR), unless the configuration's ``pixels`` specify another number.
        """
        raw = batch.pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        if self.swaps_channels:
            raw = torch.cat([raw[:, :COLORS].flip(1), raw[:, COLORS:]], 1)
        pixels = (raw - self.pixel_mean) / self.pixel_std
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        # Padding is zero after normalization, unless the recipe specifies a raw value.
        fill: Tensor | float = 0.0
        if self.padding is not None:
            fill = (self.padding - self.pixel_mean) / self.pixel_std
        for image, info in zip(pixels, batch.infos):
            height, width = info.size
            image[:, height:] = fill
            image[:, :height, width:] = fill
        proposals = tuple(
            info.to_input(boxes[:, :4].to(self.device, non_blocking=True))
            for boxes, info in zip(batch.proposals, batch.infos)
        )
        return ImageBatch(pixels, batch.infos, proposals)

    def extract_features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> feature maps (B, C, H_l, W_l), fine to coarse."""
        features = self.backbone(pixels)
        return features if self.neck is None else self.neck(features)

    def detect_augmented(self, augmented: Sequence[ImageBatch]) -> list[Detections]:
        """Detects with test-time augmentation: detections per image, in original pixels, masks
        pasted.

        Here, the detections of all augmentations are merged by one NMS; detectors that can merge
        earlier override this.
        """
        found = [
            to_original(self.detect(self.extract_features(batch.pixels), batch), batch.infos)
            for batch in augmented
        ]
        return [merge_detections(image) for image in zip(*found)]

    def forward(
        self, images: ImageBatch, targets: Sequence[Targets] | None = None
    ) -> Losses | list[Detections]:
        """Returns losses if targets are given, otherwise detections in input pixels."""
        features = self.extract_features(images.pixels)
        if targets is None:
            return self.detect(features, images)
        return Losses.of(self.losses(features, images, targets))

    @abstractmethod
    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Mapping[str, Tensor]:
        """Computes the training losses."""

    @abstractmethod
    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        """Returns the detections of each image in input pixels."""
