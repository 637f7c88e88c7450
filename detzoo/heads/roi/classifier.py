"""Classification of regions whose boxes another head finds."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionBoxHead, RegionBoxHeadConfig
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.ops.distributed import average_over_processes
from detzoo.structures import Candidates, ImageInfo


@config
class RegionClassifierConfig(RegionBoxHeadConfig):
    """Fully connected layers, then one for classes."""

    num_fcs: int = 2
    fc_channels: int = 1024
    classification_loss: ClassificationLoss = SoftmaxCrossEntropy()

    def build(self, in_channels: int, region_size: int, num_classes: int) -> RegionClassifier:
        return RegionClassifier(self, in_channels, region_size, num_classes)


class RegionClassifier(RegionBoxHead):
    """Boxes stay those of the regions. Children ``shared_fcs``, ``fc_cls``."""

    def __init__(
        self, config: RegionClassifierConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.shared_fcs = nn.ModuleList()
        width = in_channels * region_size**2
        for _ in range(config.num_fcs):
            layer = nn.Linear(width, config.fc_channels)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
            self.shared_fcs.append(layer)
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
    ) -> dict[str, Tensor]:
        count = average_over_processes(labels.new_tensor(max(len(labels), 1)).float())
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

    def decode(
        self, logits: Tensor, deltas: Tensor, regions: Tensor, info: ImageInfo, min_score: float
    ) -> Candidates:
        scores = self.loss_cls.scores(logits.float())
        region, label = (scores > min_score).nonzero(as_tuple=True)
        return Candidates(regions[region], scores[region, label], label, label)
