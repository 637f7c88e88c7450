"""Task-aligned one-stage object detection (TOOD, https://arxiv.org/abs/2108.07755).

Both tasks decompose the features of one tower; class scores and boxes are then aligned with each
other, in the network and by the assignment of targets.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.task_aligned import TaskAlignedAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.distance import DistanceCoder
from detzoo.config import Channels, NonNegativeInt, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets, gather_targets
from detzoo.heads.dense.centerness import centerness_target
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import DeformConvConfig, PlainConvConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.scale import Scale
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.losses.generalized_focal import QualityFocalLoss
from detzoo.losses.quality import QualityLoss
from detzoo.ops.boxes import box_centers, inner_distances
from detzoo.ops.deform_conv import deform_conv2d
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.base import PriorGrid
from detzoo.structures import DensePredictions, ImageInfo, Losses, Priors, Targets

DEFORMABLE_GROUPS = 4
# Upper bound of the logarithms of scores, so that those of their complements are finite.
MAX_LOG = -1e-30


@config
class TOODHeadConfig(DenseHeadConfig):
    """TOOD: predicts classes and a box for every anchor, aligned with each other.

    With a :class:`~detzoo.coders.distance.DistanceCoder` it predicts distances from the anchor's
    center, otherwise box deltas.

    Args:
        assigner: Assigns targets to priors in the first epochs.
        aligned_assigner: Assigns targets in later epochs, based on the predictions.
        initial_epochs: Number of first epochs.
        initial_classification_loss: Loss of the classes in the first epochs.
        num_convs: Number of convolutions in the tower.
        deformable_convs: Number of deformable convolutions at the start of the tower.
        channels: Channels of the tower.
        norm: Norm after each convolution of the tower.
    """

    priors: PriorGrid = AnchorGrid(scales=(8.0,), ratios=(1.0,))
    assigner: PriorAssigner = ATSSAssigner()
    aligned_assigner: TaskAlignedAssigner = TaskAlignedAssigner()
    initial_epochs: NonNegativeInt = 4
    coder: BoxCoder = DistanceCoder()
    initial_classification_loss: ClassificationLoss = FocalLoss()
    classification_loss: QualityLoss = QualityFocalLoss()
    box_loss: BoxLoss = GIoULoss(weight=2.0)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
    num_convs: PositiveInt = 6
    deformable_convs: NonNegativeInt = 0
    channels: Channels = 256
    norm: NormConfig = GroupNormConfig()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> TOODHead:
        return TOODHead(self, in_channels, strides, num_classes)


class TOODHead(DenseHead):
    """Its codes are already decoded boxes in input pixels.

    Children ``inter_convs``, ``cls_decomp``, ``reg_decomp``, ``tood_cls``, ``tood_reg``,
    ``cls_prob_module``, ``reg_offset_module`` and, per level, one of ``scales``.
    """

    config: TOODHeadConfig

    def __init__(
        self,
        config: TOODHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.is_aligning = config.initial_epochs == 0
        width, count, norm = config.channels, config.num_convs, config.norm
        deformable = DeformConvConfig(groups=DEFORMABLE_GROUPS, modulated=True)
        kinds = [
            deformable if i < config.deformable_convs else PlainConvConfig() for i in range(count)
        ]
        widths = [in_channels[0], *[width] * (count - 1)]
        self.inter_convs = nn.ModuleList(
            ConvModule(before, width, 3, padding=1, convolution=kind, norm=norm)
            for before, kind in zip(widths, kinds)
        )
        self.cls_decomp = TaskDecomposition(width, count, norm)
        self.reg_decomp = TaskDecomposition(width, count, norm)
        self.tood_cls = nn.Conv2d(width, self.num_outputs, 3, padding=1)
        self.tood_reg = nn.Conv2d(width, 4, 3, padding=1)
        self.cls_prob_module, self.reg_offset_module = (
            nn.Sequential(
                nn.Conv2d(width * count, width // 4, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(width // 4, outputs, 3, padding=1),
            )
            for outputs in (1, 8)
        )
        self.scales = nn.ModuleList(Scale() for _ in strides)
        self.register_buffer("ones", torch.ones(4, 1, 1, 1), persistent=False)
        self._initialize()

    ones: Tensor

    def _initialize(self) -> None:
        initialize_convs(self)
        attentions = (self.cls_decomp.layer_attention, self.reg_decomp.layer_attention)
        for part in (*attentions, self.reg_offset_module):
            for conv in part.modules():
                if isinstance(conv, nn.Conv2d):
                    nn.init.normal_(conv.weight, std=0.001)
        last = self.cls_prob_module[-1]
        assert isinstance(last, nn.Conv2d)
        for conv in (last, self.tood_cls):
            set_prior_probability(conv)

    def enter_epoch(self, epoch: int) -> None:
        self.is_aligning = epoch >= self.config.initial_epochs

    # ----------------------------------------------------------------------------- prediction

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        maps = []
        for conv in self.inter_convs:
            x = conv(x)
            maps.append(x)
        shared = torch.cat(maps, 1)
        summary = F.adaptive_avg_pool2d(shared, 1)
        logits = self.tood_cls(self.cls_decomp(shared, summary))
        logits = geometric_mean(logits.float(), self.cls_prob_module(shared).float())
        codes = self.tood_reg(self.reg_decomp(shared, summary)).float()
        boxes = self._boxes(codes, level)
        return logits, self._sampled(boxes, self.reg_offset_module(shared).float())

    def _boxes(self, codes: Tensor, level: int) -> Tensor:
        """Boxes in pixels (B, 4, H, W) from codes (B, 4, H, W)."""
        coder, stride, size = self.config.coder, self.strides[level], codes.shape[2:]
        if isinstance(coder, DistanceCoder):
            codes = self.scales[level](codes.exp()) * stride
        else:
            codes = self.scales[level](codes)
        grid = (size[0], size[1])
        anchors = self.config.priors.place((grid,), (stride,), codes.device).boxes
        boxes = coder.decode(anchors, codes.flatten(2).transpose(1, 2))  # (B, H * W, 4)
        return boxes.transpose(1, 2).unflatten(2, grid)

    def _sampled(self, boxes: Tensor, offsets: Tensor) -> Tensor:
        """Samples each side of each box at ``offsets`` (B, 4 * 2, H, W) in the map.

        Invalid boxes are replaced by the original ones.
        """
        sampled = deform_conv2d(boxes.contiguous(), offsets, self.ones)
        left, top, right, bottom = sampled.split(1, 1)
        return torch.where((left > right) | (top > bottom), boxes, sampled)

    def decode_boxes(
        self, priors: Priors, index: Tensor, codes: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Returns the boxes, which may extend beyond the image."""
        return codes

    # ------------------------------------------------------------------------------- training

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses: first those of ATSS, later with positives weighted by alignment."""
        config = self.config
        logits, boxes = predictions.cls_logits.flatten(0, 1), predictions.box_deltas
        if self.is_aligning:
            wanted, weights = self._align(predictions, targets, infos)
            count = weights.sum()
            classification = config.classification_loss.rated(
                logits, wanted.labels.flatten(), weights.flatten()
            )
        else:
            wanted = self.assign(predictions, targets, infos)
            distances = inner_distances(box_centers(predictions.priors.boxes), wanted.boxes)
            weights = centerness_target(distances) * wanted.box_weights  # (B, P)
            count = wanted.box_weights.sum()
            classification = config.initial_classification_loss.weighted(
                logits, wanted.labels.flatten()
            )
        box = config.box_loss(boxes.flatten(0, 1), wanted.boxes.flatten(0, 1), weights.flatten())
        classification = (classification * wanted.label_weights.flatten()).sum()
        return Losses(
            loss_cls=classification / average_over_processes(count).clamp(min=1),
            loss_bbox=box / average_over_processes(weights.sum()).clamp(min=1),
        )

    @torch.no_grad()
    def _align(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> tuple[DenseTargets, Tensor]:
        """Assigns targets based on the predictions; also returns the alignment (B, P)."""
        priors = predictions.priors
        assignments, alignments = zip(
            *(
                self.config.aligned_assigner.assign(
                    priors, logits.sigmoid(), boxes, target, self.trainable(priors, info)
                )
                for logits, boxes, target, info in zip(
                    predictions.cls_logits, predictions.box_deltas, targets, infos
                )
            )
        )
        wanted = gather_targets(assignments, targets, priors, self.num_classes)
        return wanted, torch.stack(alignments)

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"tood_cls.weight": ClassRows(), "tood_cls.bias": ClassRows()}


class TaskDecomposition(nn.Module):
    """Task-specific features: the tower's layers, weighted by attention, reduced to one map.

    Children ``layer_attention`` and ``reduction_conv``.
    """

    def __init__(self, channels: int, num_layers: int, norm: NormConfig) -> None:
        super().__init__()
        wide = channels * num_layers
        narrow = wide // (8 * num_layers)
        self.layer_attention = nn.Sequential(
            nn.Conv2d(wide, narrow, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, num_layers, 1),
            nn.Sigmoid(),
        )
        self.reduction_conv = ConvModule(wide, channels, 1, norm=norm)

    def forward(self, layers: Tensor, summary: Tensor) -> Tensor:
        """N layers (B, N * C, H, W) and their means (B, N * C, 1, 1) -> (B, C, H, W)."""
        attention = self.layer_attention(summary)  # (B, N, 1, 1)
        channels = layers.shape[1] // attention.shape[1]
        return self.reduction_conv(layers * attention.repeat_interleave(channels, 1))


def geometric_mean(a: Tensor, b: Tensor) -> Tensor:
    """The logit of the geometric mean of two probabilities, given their logits."""
    log = ((F.logsigmoid(a) + F.logsigmoid(b)) / 2).clamp(max=MAX_LOG)
    return log - (-torch.expm1(log)).log()
