"""What RoI heads consist of: features of regions, a head for boxes, a head for masks."""

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
    """How features of a region are cut out of a pyramid.

    Args:
        output_size: Height and width of a region's features.
    """

    output_size: PositiveInt = 7

    @abstractmethod
    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> RegionPooling:
        """The module for maps of ``in_channels`` with ``strides`` pixels per cell."""


class RegionPooling(nn.Module, ABC):
    """From a pyramid to features of regions."""

    out_channels: int

    @abstractmethod
    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """RoIs (R, 5: image, x1, y1, x2, y2) -> (R, out_channels, output_size, output_size)."""


@config
class RegionBoxHeadConfig(ABC):
    """A head that classifies regions and refines their boxes."""

    @abstractmethod
    def build(self, in_channels: int, region_size: int, num_classes: int) -> RegionBoxHead:
        """The module for regions of (in_channels, region_size, region_size)."""


class RegionHead(nn.Module, ABC):
    """Predicts something of each region."""

    @abstractmethod
    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by name."""


class RegionBoxHead(RegionHead):
    """From features of regions to classes and boxes.

    The second prediction, the code of the refined box, is known to the head alone; it has one row
    per region.
    """

    loss_cls: ClassificationLoss | SeesawLoss

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> class logits (R, K) and box code (R, ...)."""

    @abstractmethod
    def loss(
        self, logits: Tensor, deltas: Tensor, regions: Tensor, labels: Tensor, target_boxes: Tensor
    ) -> Losses:
        """Losses of sampled regions (R, 4) with labels (R,), C for background, and boxes (R, 4)."""

    @abstractmethod
    def classification_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The classification loss of each region by itself, (R,): how hard it is."""

    @abstractmethod
    def refine(
        self,
        logits: Tensor,
        deltas: Tensor,
        regions: Tensor,
        labels: Tensor | None,
        info: ImageInfo,
    ) -> Tensor:
        """Boxes (R, 4) of one image's regions (R, 4), for the next stage of a cascade.

        A region takes the box of its label (R,); of its likeliest class where that is background,
        or where labels are not known.
        """

    @abstractmethod
    def decode(self, pairs: Pairs, deltas: Tensor, regions: Tensor, info: ImageInfo) -> Candidates:
        """The boxes of pairs of region and class, for one image's regions (R, 4)."""


class RegionMaskHead(RegionHead):
    """A head that predicts masks of regions; what it takes beside their features is its own."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Losses:
        """Losses of mask logits (R, C, m, m) for labels (R,) and targets (R, m, m) of 0 and 1."""
