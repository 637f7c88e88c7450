"""FSAF (https://arxiv.org/abs/1903.00621): each target selects the level that fits it best.

The layers are those of RetinaNet with one square anchor per cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.center_region import CenterRegionAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.tblr import TBLRCoder
from detzoo.config import config
from detzoo.heads.dense.base import DenseTargets, gather_targets
from detzoo.heads.dense.retina import RetinaLayers, RetinaLayersConfig
from detzoo.losses.boxes import BoxLoss, IoULoss
from detzoo.losses.classification import FocalLoss
from detzoo.losses.scoring import Scoring
from detzoo.ops.distributed import average_over_processes
from detzoo.priors.anchors import AnchorGrid, inside_image
from detzoo.priors.base import PriorGrid
from detzoo.structures import BACKGROUND, DensePredictions, ImageInfo, Losses, Priors, Targets

# Loss of a level on which a target has no anchor, so that it is not selected.
NO_ANCHOR = 1e6


@config
class FSAFHeadConfig(RetinaLayersConfig):
    """FSAF: predicts non-negative distances from the center of anchors as large as their cell.

    Args:
        assigner: Assigns targets to the central cells of their boxes, on every level.
        classification_loss: Loss of the classes.
        box_loss: Loss of the boxes of positive priors.
    """

    priors: PriorGrid = AnchorGrid(scales=(1.0,), ratios=(1.0,))
    assigner: CenterRegionAssigner = CenterRegionAssigner()
    coder: BoxCoder = TBLRCoder()
    classification_loss: FocalLoss = FocalLoss()
    box_loss: BoxLoss = IoULoss()

    @property
    def scoring(self) -> Scoring:
        return self.classification_loss

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> FSAFHead:
        return FSAFHead(self, in_channels, strides, num_classes)


class FSAFHead(RetinaLayers):
    """Trains each target on the level with the smallest loss, among those where it has anchors."""

    config: FSAFHeadConfig

    def __init__(
        self,
        config: FSAFHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, in_channels, strides, num_classes)
        # Initial boxes are twice as large as anchors; at 0 there would be no gradient.
        assert self.retina_reg.bias is not None
        nn.init.constant_(self.retina_reg.bias, 0.25)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        logits, distances = super().forward_level(x, level)
        return logits, F.relu(distances)

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        config, priors = self.config, predictions.priors
        wanted, is_trained = self._assign(priors, targets, infos)
        logits = predictions.cls_logits.float()
        classification = config.classification_loss.weighted_per_class(
            logits.flatten(0, 1), wanted.labels.flatten()
        ).view_as(logits)
        classification = classification * is_trained
        codes = predictions.box_deltas.float().clamp(min=1e-4)
        boxes = config.coder.decode(priors.boxes, codes)
        box = config.box_loss.weighted(boxes.flatten(0, 1), wanted.boxes.flatten(0, 1))
        box = box.view_as(wanted.box_weights) * wanted.box_weights

        with torch.no_grad():
            total = classification.sum(-1) + box
            is_positive = torch.stack(
                [
                    on_best_level(total[image], wanted.index[image], len(target), priors)
                    for image, target in enumerate(targets)
                ]
            )
            # Anchors on other levels are not penalized for predicting the class, either.
            is_unselected = (wanted.index >= 0) & ~is_positive
            own = F.one_hot(wanted.labels, self.num_classes + 1)[..., : self.num_classes].bool()
            counts = ~(own & is_unselected[..., None])
            num_positives = average_over_processes(is_positive.sum().float())
            num_negatives = average_over_processes(
                (wanted.index == BACKGROUND).sum(1).clamp(min=1).sum().float()
            )
            divisor = torch.where(num_positives > 0, num_positives, num_negatives)
            hits = (logits.argmax(-1) == wanted.labels) & is_positive
        return Losses(
            loss_cls=(classification * counts).sum() / divisor,
            loss_bbox=(box * is_positive).sum() / divisor,
            metrics={
                "num_pos": num_positives / len(targets),
                "pos_recall": 100 * hits.sum() / is_positive.sum().clamp(min=1),
            },
        )

    @torch.no_grad()
    def _assign(
        self, priors: Priors, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> tuple[DenseTargets, Tensor]:
        """Assigns targets on all levels, and returns which classes each prior is trained on (B, P,
        C).
        """
        regions = [
            self.config.assigner.assign_regions(
                priors, target, inside_image(priors, info, None), self.num_classes
            )
            for target, info in zip(targets, infos)
        ]
        wanted = gather_targets([r.assignment for r in regions], targets, priors, self.num_classes)
        spared = torch.stack([region.spared for region in regions])
        return wanted, wanted.label_weights[..., None] * ~spared


def on_best_level(loss: Tensor, index: Tensor, num_targets: int, priors: Priors) -> Tensor:
    """(P,) whether each prior is positive on the level with its target's smallest mean ``loss``
    (P,).

    ``index`` (P,) is each prior's target, negative if it has none.
    """
    if num_targets == 0:
        return torch.zeros_like(index, dtype=torch.bool)
    positive = index >= 0
    group = priors.level * num_targets + index.clamp(min=0)
    num_groups = len(priors.level_sizes) * num_targets
    sums = loss.new_zeros(num_groups).scatter_add(0, group, loss * positive)
    counts = loss.new_zeros(num_groups).scatter_add(0, group, positive.to(loss))
    means = torch.where(counts > 0, sums / counts.clamp(min=1), NO_ANCHOR)
    best = means.view(-1, num_targets).argmin(0)  # (N,) levels
    return positive & (best[index.clamp(min=0)] == priors.level)
