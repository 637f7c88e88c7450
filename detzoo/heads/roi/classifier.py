"""Classification of regions whose boxes are predicted by another head."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionBoxHead, RegionBoxHeadConfig
from detzoo.heads.roi.layers import hidden_layers
from detzoo.heads.roi.regions import num_regions
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.postprocess.select import Pairs
from detzoo.structures import Candidates, ImageInfo, Losses


@config
class RegionClassifierConfig(RegionBoxHeadConfig):
    """Fully connected layers, then a classifier.

    Args:
        num_fcs: Number of fully connected layers before the last.
        fc_channels: Output channels of each of them.
        classification_loss: Loss of the classes.
    """

    num_fcs: NonNegativeInt = 2
    fc_channels: Channels = 1024
    classification_loss: ClassificationLoss = SoftmaxCrossEntropy()

    def build(self, in_channels: int, region_size: int, num_classes: int) -> RegionClassifier:
        return RegionClassifier(self, in_channels, region_size, num_classes)


class RegionClassifier(RegionBoxHead):
    """Classifies regions without refining their boxes. Children ``shared_fcs``, ``fc_cls``."""

    def __init__(
        self, config: RegionClassifierConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        width = in_channels * region_size**2
        self.shared_fcs = hidden_layers(width, config.fc_channels, config.num_fcs)
        if config.num_fcs:
            width = config.fc_channels
        self.loss_cls = config.classification_loss.build(num_classes)
        self.fc_cls = nn.Linear(width, self.loss_cls.num_outputs(num_classes))
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> class logits (R, K) and an empty code (R, 0)."""
        x = x.flatten(1)
        for layer in self.shared_fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_cls(x), x[:, :0]

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.loss_cls.num_outputs(0))
        return {"fc_cls.weight": rows, "fc_cls.bias": rows}

    def loss(
        self, logits: Tensor, deltas: Tensor, regions: Tensor, labels: Tensor, target_boxes: Tensor
    ) -> Losses:
        count = num_regions(labels)
        return self.loss_cls.losses(logits.float(), labels, count)

    def classification_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.loss_cls.per_example(logits.float(), labels)

    def refine(
        self,
        logits: Tensor,
        deltas: Tensor,
        regions: Tensor,
        labels: Tensor | None,
        info: ImageInfo,
    ) -> Tensor:
        return regions

    def decode(self, pairs: Pairs, deltas: Tensor, regions: Tensor, info: ImageInfo) -> Candidates:
        region, label, scores = pairs
        return Candidates(regions[region], scores, label, label)
