"""The parts of RoI heads: RoI extractors, box heads and mask heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.config import PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.losses.classification import ClassificationLoss
from detzoo.losses.seesaw import SeesawLoss
from detzoo.postprocess.select import Pairs
from detzoo.structures import Candidates, ImageInfo, Losses


@config
class RegionPoolingConfig(ABC):
    """Extracts features of regions from a pyramid.

    Args:
        output_size: Height and width of a region's features.
    """

    output_size: PositiveInt = 7

    @abstractmethod
    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> RegionPooling:
        """Builds the module for maps of ``in_channels`` with ``strides`` in pixels."""


class RegionPooling(nn.Module, ABC):
    """Extracts features of regions from a pyramid."""

    out_channels: int

    @abstractmethod
    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """RoIs (R, 5: image, x1, y1, x2, y2) -> (R, out_channels, output_size, output_size)."""


@config
class RegionBoxHeadConfig(ABC):
    """A head that classifies regions and refines their boxes."""

    @abstractmethod
    def build(self, in_channels: int, region_size: int, num_classes: int) -> RegionBoxHead:
        """Builds the module for regions of (in_channels, region_size, region_size)."""


class RegionHead(nn.Module, ABC):
    """Base class of heads that make predictions for each region."""

    @abstractmethod
    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by name."""


class RegionBoxHead(RegionHead):
    """Predicts classes and boxes from the features of regions.

    The second prediction, the code of the refined box, is internal to the head; it has one row per
    region.
    """

    loss_cls: ClassificationLoss | SeesawLoss

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> class logits (R, K) and box code (R, ...)."""

    @abstractmethod
    def loss(
        self, logits: Tensor, deltas: Tensor, regions: Tensor, labels: Tensor, target_boxes: Tensor
    ) -> Losses:
        """Computes the losses of sampled regions (R, 4), with labels (R,), C for background, and
        target boxes (R, 4).
        """

    @abstractmethod
    def classification_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The classification loss of each region, (R,), as a measure of hardness."""

    @abstractmethod
    def refine(
        self,
        logits: Tensor,
        deltas: Tensor,
        regions: Tensor,
        labels: Tensor | None,
        info: ImageInfo,
    ) -> Tensor:
        """Refines one image's regions (R, 4) to boxes (R, 4) for the next stage of a cascade.

        A region is refined to the box of its label (R,), or of its most likely class if the label
        is background or labels are unknown.
        """

    @abstractmethod
    def decode(self, pairs: Pairs, deltas: Tensor, regions: Tensor, info: ImageInfo) -> Candidates:
        """Decodes the boxes of pairs of region and class, for one image's regions (R, 4)."""


class RegionMaskHead(RegionHead):
    """A head that predicts masks of regions; subclasses may have inputs in addition to features."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Losses:
        """Computes losses of mask logits (R, C, m, m) for labels (R,) and targets (R, m, m) of 0
        and 1.
        """
