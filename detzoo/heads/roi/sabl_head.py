"""Side-aware boundary localization (SABL, https://arxiv.org/abs/1912.04260)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.coders.buckets import BucketCoder
from detzoo.config import Channels, ConfigError, NonNegativeFloat, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionBoxHead, RegionBoxHeadConfig
from detzoo.heads.roi.layers import hidden_layers
from detzoo.heads.roi.regions import num_regions
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.buckets import bucket_losses
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.postprocess.select import Pairs
from detzoo.structures import Candidates, ImageInfo, Losses

NUM_CONVS = 2  # shared by both axes


@config
class SABLHeadConfig(RegionBoxHeadConfig):
    """One fully connected layer for classes; class-agnostic localization of sides by buckets.

    Args:
        fc_channels: Output channels of the fully connected layer.
        coder: Encodes the sides of a box as buckets and offsets within them.
        classification_loss: Loss of the classes.
        bucket_loss_weight: Factor of the loss of the buckets.
        box_loss: Loss of the offsets within the buckets.
    """

    fc_channels: Channels = 1024
    coder: BucketCoder = BucketCoder()
    classification_loss: ClassificationLoss = SoftmaxCrossEntropy()
    bucket_loss_weight: NonNegativeFloat = 1.0
    box_loss: BoxLoss = SmoothL1Loss(beta=0.1)

    def build(self, in_channels: int, region_size: int, num_classes: int) -> SABLHead:
        if self.coder.num_buckets % region_size:
            raise ConfigError(
                f"coder.num_buckets: {self.coder.num_buckets} is not a multiple of the region's "
                f"{region_size} cells"
            )
        return SABLHead(self, in_channels, region_size, num_classes)


class SABLHead(RegionBoxHead):
    """Children ``cls_fcs``, ``fc_cls``; ``reg_pre_convs`` and then per axis ``reg_conv_att_x``,
    ``reg_post_conv_xs``, ``upsample_x`` and their twins of y; ``fc_reg_cls``, ``fc_reg_offset``."""

    def __init__(
        self, config: SABLHeadConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.cls_fcs = hidden_layers(in_channels * region_size**2, config.fc_channels, 1)
        self.loss_cls = config.classification_loss.build(num_classes)
        self.fc_cls = nn.Linear(config.fc_channels, self.loss_cls.num_outputs(num_classes))
        self.reg_pre_convs = nn.Sequential(
            *(ConvModule(in_channels, in_channels, 3, padding=1) for _ in range(NUM_CONVS))
        )
        self.reg_conv_att_x = nn.Conv2d(in_channels, 1, 1)
        self.reg_conv_att_y = nn.Conv2d(in_channels, 1, 1)
        self.reg_post_conv_xs = nn.Sequential(AxisConv(in_channels, (1, 3)))
        self.reg_post_conv_ys = nn.Sequential(AxisConv(in_channels, (3, 1)))
        ratio = config.coder.num_buckets // region_size
        self.upsample_x = nn.ConvTranspose1d(in_channels, in_channels, ratio, stride=ratio)
        self.upsample_y = nn.ConvTranspose1d(in_channels, in_channels, ratio, stride=ratio)
        self.fc_reg_cls = nn.Linear(in_channels, 1)
        self.fc_reg_offset = nn.Linear(in_channels, 1)
        self._initialize()

    def _initialize(self) -> None:
        for upsample in (self.upsample_x, self.upsample_y):
            nn.init.kaiming_normal_(upsample.weight, mode="fan_out", nonlinearity="relu")
        for layer in (self.fc_cls, self.fc_reg_cls, self.reg_conv_att_x, self.reg_conv_att_y):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.normal_(self.fc_reg_offset.weight, std=0.001)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> class logits (R, K) and box code (R, D)."""
        return self._classify(x), self._locate(x)

    def _classify(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.cls_fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_cls(x)

    def _locate(self, x: Tensor) -> Tensor:
        x = self.reg_pre_convs(x)
        across = _attend(x, self.reg_conv_att_x(x), 2)  # (R, C, 1, w)
        down = _attend(x, self.reg_conv_att_y(x), 3)  # (R, C, h, 1)
        across = self.reg_post_conv_xs(across)[:, :, 0]
        down = self.reg_post_conv_ys(down)[..., 0]
        axes = torch.stack([self.upsample_x(across), self.upsample_y(down)], 1)
        buckets = F.relu(axes, inplace=True).transpose(2, 3)  # (R, 2 axes, num_buckets, C)
        code = torch.stack([self.fc_reg_cls(buckets), self.fc_reg_offset(buckets)], 1)[..., 0]
        # The first side of an axis uses the first half of the buckets, the second the last half,
        # from the outside in.
        half = self.config.coder.num_per_side
        sides = torch.stack([code[..., :half], code[..., -half:].flip(-1)], 3)
        return sides.flatten(1)  # kind, axis, side, bucket, as in the coder

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.loss_cls.num_outputs(0))
        return {"fc_cls.weight": rows, "fc_cls.bias": rows}

    def loss(
        self, logits: Tensor, deltas: Tensor, regions: Tensor, labels: Tensor, target_boxes: Tensor
    ) -> Losses:
        config = self.config
        logits, deltas = logits.float(), deltas.float()
        count = num_regions(labels)
        positive = (labels < self.num_classes).nonzero()[:, 0]
        buckets, offsets = bucket_losses(
            config.coder,
            config.box_loss,
            deltas[positive],
            regions[positive],
            target_boxes[positive],
            deltas.new_ones(len(positive)),
        )
        return self.loss_cls.losses(logits, labels, count) | Losses(
            loss_bbox_cls=config.bucket_loss_weight * buckets / (4 * count),
            loss_bbox_reg=offsets / count,
        )

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
        return self.config.coder.decode(regions, deltas.float(), info.size)

    def decode(self, pairs: Pairs, deltas: Tensor, regions: Tensor, info: ImageInfo) -> Candidates:
        """Decodes boxes; scores are class scores times the confidence of the sides."""
        region, label, scores = pairs
        codes = deltas[region].float()
        boxes = self.config.coder.decode(regions[region], codes, info.size)
        sure = self.config.coder.confidence(codes)
        return Candidates(boxes, scores * sure, label, label)


class AxisConv(nn.Module):
    """A convolution along one axis: child ``conv``."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        padding = (size[0] // 2, size[1] // 2)
        self.conv = nn.Conv2d(channels, channels, size, padding=padding)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


def _attend(x: Tensor, logits: Tensor, axis: int) -> Tensor:
    """Mean of x (R, C, h, w) over one axis, weighted by the sigmoid of logits (R, 1, h, w)."""
    weights = logits.sigmoid()
    return (x * (weights / weights.sum(axis, keepdim=True))).sum(axis, keepdim=True)
