"""Classification and box refinement of regions (Fast R-CNN, https://arxiv.org/abs/1504.08083)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.coders.delta import DeltaCoder
from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.losses.boxes import BoxLoss, L1Loss
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.ops.boxes import clip_boxes
from detzoo.ops.distributed import average_over_processes
from detzoo.structures import Candidates, ImageInfo


@config
class BoxHeadConfig:
    """``num_shared_fcs`` fully connected layers, then one layer each for classes and boxes.

    Without fully connected layers the features are averaged over the region first.
    """

    num_shared_fcs: int = 2
    fc_channels: int = 1024
    coder: DeltaCoder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    classification_loss: ClassificationLoss = SoftmaxCrossEntropy()
    box_loss: BoxLoss = L1Loss()

    def build(self, in_channels: int, region_size: int, num_classes: int) -> BoxHead:
        """The module for regions of (in_channels, region_size, region_size)."""
        return BoxHead(self, in_channels, region_size, num_classes)


class BoxHead(nn.Module):
    """Children ``shared_fcs``, ``fc_cls``, ``fc_reg``."""

    def __init__(
        self, config: BoxHeadConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.averages = config.num_shared_fcs == 0
        width = in_channels if self.averages else in_channels * region_size**2
        layers = []
        for _ in range(config.num_shared_fcs):
            layers.append(nn.Linear(width, config.fc_channels))
            width = config.fc_channels
        self.shared_fcs = nn.ModuleList(layers)
        self.num_outputs = config.classification_loss.num_outputs(num_classes)
        self.fc_cls = nn.Linear(width, self.num_outputs)
        self.fc_reg = nn.Linear(width, 4 * num_classes)
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer, std in ((self.fc_cls, 0.01), (self.fc_reg, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> class logits (R, K) and box deltas (R, num_classes, 4)."""
        x = x.mean((2, 3)) if self.averages else x.flatten(1)
        for layer in self.shared_fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_cls(x), self.fc_reg(x).unflatten(1, (self.num_classes, 4))

    def class_parameters(self) -> dict[str, ClassRows]:
        classes = ClassRows(shared=self.config.classification_loss.num_outputs(0))
        boxes = ClassRows(width=4)
        return {
            "fc_cls.weight": classes,
            "fc_cls.bias": classes,
            "fc_reg.weight": boxes,
            "fc_reg.bias": boxes,
        }

    def loss(
        self,
        logits: Tensor,
        deltas: Tensor,
        regions: Tensor,
        labels: Tensor,
        target_boxes: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of sampled regions (R, 4) with labels (R,), C for background, and boxes (R, 4)."""
        config = self.config
        logits, deltas = logits.float(), deltas.float()
        count = average_over_processes(labels.new_tensor(max(len(labels), 1)).float())
        weights = torch.ones_like(labels, dtype=logits.dtype)
        positive = (labels < self.num_classes).nonzero()[:, 0]
        predicted = deltas[positive, labels[positive]]
        references, wanted = regions[positive], target_boxes[positive]
        if config.box_loss.on_boxes:
            predicted = config.coder.decode(references, predicted)
        else:
            wanted = config.coder.encode(references, wanted)
        return {
            "loss_cls": config.classification_loss(logits, labels, weights) / count,
            "acc": 100 * (logits.argmax(1) == labels).sum() / max(len(labels), 1),
            "loss_bbox": config.box_loss(predicted, wanted, weights[positive]) / count,
        }

    def decode(
        self, logits: Tensor, deltas: Tensor, regions: Tensor, info: ImageInfo, min_score: float
    ) -> Candidates:
        """Boxes of one image's regions (R, 4), one per region and class that scores enough."""
        scores = self.config.classification_loss.scores(logits.float())
        region, label = (scores > min_score).nonzero(as_tuple=True)
        boxes = self.config.coder.decode(regions[region], deltas[region, label].float())
        return Candidates(clip_boxes(boxes, info.size), scores[region, label], label, label)
