"""Classification and box refinement of regions (Fast R-CNN, https://arxiv.org/abs/1504.08083)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionBoxHead, RegionBoxHeadConfig
from detzoo.heads.roi.layers import hidden_layers
from detzoo.heads.roi.regions import num_regions
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.norm import NormConfig
from detzoo.layers.normalized import NormalizedLinear
from detzoo.losses.boxes import BoxLoss, L1Loss
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.losses.seesaw import SeesawLossConfig
from detzoo.postprocess.select import Pairs
from detzoo.structures import Candidates, ImageInfo, Losses


@config
class BoxPredictorConfig(RegionBoxHeadConfig):
    """One fully connected layer each for the classes and the boxes of regions.

    Args:
        class_agnostic_boxes: Whether the refined box of a region is independent of the class.
        coder: Encodes refined boxes relative to their regions.
        classification_loss: Loss of the classes.
        box_loss: Loss of the refined boxes.
    """

    class_agnostic_boxes: bool = False
    coder: BoxCoder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    classification_loss: ClassificationLoss | SeesawLossConfig = SoftmaxCrossEntropy()
    box_loss: BoxLoss = L1Loss()


@config
class BoxHeadConfig(BoxPredictorConfig):
    """3x3 convolutions, fully connected layers, then one layer each for classes and boxes.

    Args:
        num_shared_convs: Number of 3x3 convolutions.
        conv_channels: Output channels of each convolution.
        convolution: Kind of the convolutions.
        norm: Norm after each convolution; None: a bias.
        num_shared_fcs: Number of fully connected layers; 0: global average pooling.
        fc_channels: Output channels of each fully connected layer.
        normalized_classifier: Whether the classifier uses cosine similarity
            (:class:`NormalizedLinear`).
    """

    num_shared_convs: NonNegativeInt = 0
    conv_channels: Channels = 256
    convolution: ConvConfig = PlainConvConfig()
    norm: NormConfig | None = None
    num_shared_fcs: NonNegativeInt = 2
    fc_channels: Channels = 1024
    normalized_classifier: bool = False

    def build(self, in_channels: int, region_size: int, num_classes: int) -> BoxPredictor:
        return BoxHead(self, in_channels, region_size, num_classes)


class BoxPredictor(RegionBoxHead):
    """Predicts classes and boxes from one or two vectors per region, which subclasses compute.

    Children ``fc_cls``, ``fc_reg``.
    """

    config: BoxPredictorConfig

    def __init__(self, config: BoxPredictorConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.num_codes = 1 if config.class_agnostic_boxes else num_classes

    def add_predictors(
        self, class_width: int, box_width: int, *, normalized_classifier: bool = False
    ) -> None:
        """Adds the output layers, for vectors of these lengths."""
        self.loss_cls = self.config.classification_loss.build(self.num_classes)
        linear = NormalizedLinear if normalized_classifier else nn.Linear
        self.fc_cls = linear(class_width, self.loss_cls.num_outputs(self.num_classes))
        self.fc_reg = nn.Linear(box_width, 4 * self.num_codes)
        for layer, std in ((self.fc_cls, 0.01), (self.fc_reg, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def predict(self, for_classes: Tensor, for_boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (R, D) each -> class logits (R, K) and box deltas (R, num_classes or 1, 4)."""
        return self.fc_cls(for_classes), self.fc_reg(for_boxes).unflatten(1, (self.num_codes, 4))

    def class_parameters(self) -> dict[str, ClassRows]:
        classes = ClassRows(shared=self.loss_cls.num_outputs(0))
        rows = {"fc_cls.weight": classes, "fc_cls.bias": classes}
        rows |= {name: ClassRows(shared=1) for name in self._counters()}
        if not self.config.class_agnostic_boxes:
            boxes = ClassRows(width=4)
            rows |= {"fc_reg.weight": boxes, "fc_reg.bias": boxes}
        return rows

    def loss(
        self, logits: Tensor, deltas: Tensor, regions: Tensor, labels: Tensor, target_boxes: Tensor
    ) -> Losses:
        logits = logits.float()
        count = num_regions(labels)
        predicted, wanted = self.compared(deltas, regions, labels, target_boxes)
        return self.loss_cls.losses(logits, labels, count) | Losses(
            loss_bbox=self.config.box_loss(predicted, wanted) / count,
        )

    def compared(
        self, deltas: Tensor, regions: Tensor, labels: Tensor, target_boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of the box loss for the P positive regions, (P, 4) each.

        They are boxes or deltas, depending on the loss; see :meth:`loss` for the arguments.
        """
        positive = (labels < self.num_classes).nonzero()[:, 0]
        predicted = self._own(deltas, positive, labels[positive]).float()
        references, wanted = regions[positive], target_boxes[positive]
        if self.config.box_loss.on_boxes:
            return self.config.coder.decode(references, predicted), wanted
        return predicted, self.config.coder.encode(references, wanted)

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
        likeliest = self.loss_cls.scores(logits.float()).argmax(1)
        if labels is not None:
            likeliest = torch.where(labels == self.num_classes, likeliest, labels)
        return self.decode_own(deltas, regions, likeliest, info.size)

    def decode_own(
        self,
        deltas: Tensor,
        regions: Tensor,
        labels: Tensor,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """The boxes (R, 4) that regions (R, 4) have if they are of the classes ``labels`` (R,),
        clipped to an image of ``size`` if given."""
        every = torch.arange(len(regions), device=regions.device)
        return self.config.coder.decode(regions, self._own(deltas, every, labels).float(), size)

    def decode(self, pairs: Pairs, deltas: Tensor, regions: Tensor, info: ImageInfo) -> Candidates:
        region, label, scores = pairs
        own = self._own(deltas, region, label).float()
        boxes = self.config.coder.decode(regions[region], own, info.size)
        return Candidates(boxes, scores, label, label)

    def _counters(self) -> list[str]:
        """Buffers of the classification loss with one value per class, and one for background."""
        return [name for name, _ in self.named_buffers() if name.startswith("loss_cls.")]

    def _own(self, deltas: Tensor, region: Tensor, label: Tensor) -> Tensor:
        """Selects from deltas (R, num_classes or 1, 4) those of regions (K,) for labels (K,): (K,
        4).
        """
        return deltas[region, 0 if self.config.class_agnostic_boxes else label]


class BoxHead(BoxPredictor):
    """Children ``shared_convs``, ``shared_fcs``, and those of the base class."""

    def __init__(
        self, config: BoxHeadConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__(config, num_classes)
        self.shared_convs = nn.ModuleList()
        width = in_channels
        for _ in range(config.num_shared_convs):
            self.shared_convs.append(
                ConvModule(
                    width,
                    config.conv_channels,
                    3,
                    padding=1,
                    convolution=config.convolution,
                    norm=config.norm,
                )
            )
            width = config.conv_channels
        self.averages = config.num_shared_fcs == 0
        self.shared_fcs = nn.ModuleList()
        if not self.averages:
            width *= region_size**2
            self.shared_fcs = hidden_layers(width, config.fc_channels, config.num_shared_fcs)
            width = config.fc_channels
        self.add_predictors(width, width, normalized_classifier=config.normalized_classifier)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> class logits (R, K) and box deltas (R, num_classes or 1, 4)."""
        shared = self.shared(x)
        return self.predict(shared, shared)

    def shared(self, x: Tensor) -> Tensor:
        """Computes the features for both predictions: regions (R, C, h, w) -> (R, D)."""
        for conv in self.shared_convs:
            x = conv(x)
        x = x.mean((2, 3)) if self.averages else x.flatten(1)
        for layer in self.shared_fcs:
            x = F.relu(layer(x), inplace=True)
        return x
