"""The skeleton of heads that predict a class and a mask for each cell of a grid (SOLO,
https://arxiv.org/abs/1912.04488)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, ConfigError, NonNegativeFloat, PositiveInt, UnitFloat, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.mask_grid.targets import claims, learned_masks, owners, shrink
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.losses.dice import DiceLoss
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.matrix_nms import MaskSelect
from detzoo.structures import Detections, ImageInfo, ImageMasks, Losses, Targets

# Initial probability of all classes, and of all pixels of a mask.
PRIOR_PROBABILITY = 0.01

MaskMaps = TypeVar("MaskMaps")


@config
class MaskGridHeadConfig(ABC):
    """SOLO: each level divides the image into a square grid of cells, and detects objects of a
    range of sizes.

    Args:
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        grids: Number of cells per side, for each level.
        scale_ranges: Smallest and largest square root of the box area, in pixels, for each level.
        center_fraction: Fraction of a box's sides, around the mask's center, within which cells are
            positive.
        norm: Norm after each convolution of the towers.
        classification_loss: Loss of the classes.
        mask_loss: Loss of the masks.
        select: Selects the final detections.
    """

    num_convs: PositiveInt = 7
    channels: Channels = 256
    grids: tuple[PositiveInt, ...] = (40, 36, 24, 16, 12)
    scale_ranges: tuple[tuple[NonNegativeFloat, NonNegativeFloat], ...] = (
        (1.0, 96.0),
        (48.0, 192.0),
        (96.0, 384.0),
        (192.0, 768.0),
        (384.0, 2048.0),
    )
    center_fraction: UnitFloat = 0.2
    norm: NormConfig = GroupNormConfig(groups=32)
    classification_loss: ClassificationLoss = FocalLoss()
    mask_loss: DiceLoss = DiceLoss(weight=3.0)
    select: MaskSelect = MaskSelect()

    def __post_init__(self) -> None:
        if len(self.grids) < 3:
            raise ConfigError(f"grids: {self.grids} has fewer than three elements")
        if len(self.scale_ranges) != len(self.grids):
            raise ConfigError(
                f"scale_ranges: {len(self.scale_ranges)} ranges for {len(self.grids)} grids"
            )

    @property
    def convolutions(self) -> tuple[ConvConfig, ...]:
        """The kind of each convolution of a tower."""
        return (PlainConvConfig(),) * self.num_convs

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> MaskGridHead: ...


@dataclass(frozen=True)
class MaskGridPredictions(Generic[MaskMaps]):
    """Class logits (B, K, G, G) per level, and the maps that masks are computed from, of a type
    internal to the head.

    ``mask_sizes`` (height, width) are those of the masks, at the head's ``mask_strides``.
    """

    cls_logits: list[Tensor]
    mask_maps: list[MaskMaps]
    mask_sizes: list[tuple[int, int]]


class MaskGridHead(nn.Module, ABC, Generic[MaskMaps]):
    """Children ``cls_convs`` and ``conv_cls``; a family adds the layers of its masks.

    Masks are computed only for cells that need one: those with an object in training, those with a
    sufficient score in inference. ``shares_cells`` determines whether a cell that is assigned to
    several objects is trained on the masks of all of them, or only on that of its owner.
    """

    shares_cells = False

    def __init__(
        self,
        config: MaskGridHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        if len(strides) != len(config.grids):
            raise ConfigError(
                f"model.mask_head.grids: {len(config.grids)} values for the neck's {len(strides)} "
                "maps"
            )
        self.config = config
        # The first map is resized to the size of the second, the last to that of the previous one.
        self.strides = (strides[1], *strides[1:-1], strides[-2])
        self.mask_strides = tuple(stride // 2 for stride in self.strides)
        self.num_classes = num_classes
        num_outputs = config.classification_loss.num_outputs(num_classes)
        self.cls_convs = tower(in_channels[0], config)
        self.conv_cls = nn.Conv2d(config.channels, num_outputs, 3, padding=1)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.classification_loss.num_outputs(0))
        return {"conv_cls.weight": rows, "conv_cls.bias": rows}

    @abstractmethod
    def maps(self, x: Tensor, level: int) -> MaskMaps:
        """Computes the maps for the masks of a level from its features (B, C, h, w)."""

    @abstractmethod
    def masks(
        self, maps: MaskMaps, level: int, image: int, cells: Tensor, size: tuple[int, int] | None
    ) -> Tensor:
        """Computes the mask probabilities of ``cells`` (N,) of one image, resized to ``size``
        unless it is None -> (N, height, width).
        """

    def forward(self, features: Sequence[Tensor]) -> MaskGridPredictions[MaskMaps]:
        logits, maps, sizes = [], [], []
        for level, (x, grid) in enumerate(zip(_resized(features), self.config.grids)):
            cells = F.interpolate(x, (grid, grid), mode="bilinear")
            logits.append(self.conv_cls(self.cls_convs(cells)))
            maps.append(self.maps(x, level))
            sizes.append((2 * x.shape[2], 2 * x.shape[3]))
        return MaskGridPredictions(logits, maps, sizes)

    # ------------------------------------------------------------------------------ training

    def loss(
        self, predictions: MaskGridPredictions[MaskMaps], targets: Sequence[Targets]
    ) -> Losses:
        """Dice loss of the masks of positive cells, and classification loss of all cells."""
        config, sizes, strides = self.config, predictions.mask_sizes, self.mask_strides
        input_size = (sizes[0][0] * strides[0], sizes[0][1] * strides[0])
        cell_owners, learned, shrunken = [], [], []
        for target in targets:
            assert target.masks is not None, "a mask head trains on targets with masks"
            masks = target.masks.to_bitmaps().to(target.boxes.device)
            bitmaps = masks.bitmaps
            objects = (target.boxes, bitmaps, input_size)
            rule = (config.center_fraction, masks.is_missing)
            claimed = [
                claims(*objects, grid, scales, *rule)
                for grid, scales in zip(config.grids, config.scale_ranges)
            ]
            cell_owners.append([owners(level) for level in claimed])
            learned.append(
                [
                    self._learned(level, owner, target)
                    for level, owner in zip(claimed, cell_owners[-1])
                ]
            )
            shrunken.append([shrink(bitmaps, s, size) for s, size in zip(strides, sizes)])
        mask_losses: list[Tensor] = []
        cls_losses: list[Tensor] = []
        for image, pairs_of_levels in enumerate(learned_masks(learned)):
            for level, (objects_of_cells, cells) in enumerate(pairs_of_levels):
                wanted = shrunken[image][level][objects_of_cells]
                maps = predictions.mask_maps[level]
                predicted = self.masks(maps, level, image, cells, size=None)
                mask_losses.append(config.mask_loss.weighted(predicted, wanted))
                owner = cell_owners[image][level].flatten()
                cls_losses.append(
                    self._cls_loss(predictions.cls_logits[level][image], owner, targets[image])
                )
        num_masks = sum(level.any(0).sum() for levels in learned for level in levels)
        num_positive = sum((level >= 0).sum() for levels in cell_owners for level in levels)
        assert isinstance(num_masks, Tensor)
        assert isinstance(num_positive, Tensor)
        counts = torch.stack([num_masks, num_positive])
        mask_count, positive_count = average_over_processes(counts.float())
        mask_loss = torch.cat(mask_losses).sum()
        return Losses(
            loss_mask=mask_loss / mask_count.clamp(min=1),
            loss_cls=torch.stack(cls_losses).sum() / (positive_count + 1),
        )

    def _learned(self, claimed: Tensor, owner: Tensor, targets: Targets) -> Tensor:
        """Which cells are trained on the mask of each object, (N, G, G), given those assigned to
        it.

        Cells of an object without an annotated mask are trained on its class only.
        """
        objects = torch.arange(len(claimed), device=claimed.device)
        has_mask = targets.index_of_masks(objects) >= 0
        learned = claimed & has_mask[:, None, None]
        return learned if self.shares_cells else learned & (owner == objects[:, None, None])

    def _cls_loss(self, logits: Tensor, owner: Tensor, targets: Targets) -> Tensor:
        """The summed classification loss of logits (K, G, G), given the ``owner`` (G * G,) of each
        cell.
        """
        labels = torch.full_like(owner, self.num_classes)
        if len(targets):
            labels = torch.where(owner >= 0, targets.labels[owner.clamp(min=0)], labels)
        weights = torch.ones_like(labels, dtype=torch.float32)
        return self.config.classification_loss(logits.flatten(1).T.float(), labels, weights)

    # ----------------------------------------------------------------------------- inference

    def detect(
        self, predictions: MaskGridPredictions[MaskMaps], infos: Sequence[ImageInfo]
    ) -> list[Detections]:
        """Detects masks over the whole image, and their boxes."""
        return [self._detect(predictions, image, info) for image, info in enumerate(infos)]

    def _detect(
        self, predictions: MaskGridPredictions[MaskMaps], image: int, info: ImageInfo
    ) -> Detections:
        select, size = self.config.select, predictions.mask_sizes[0]
        probabilities, covered, mask_numbers, scores, labels = [], [], [], [], []
        start = 0
        for level, (maps, stride) in enumerate(zip(predictions.mask_maps, self.strides)):
            pairs = select.pairs(self._peaks(predictions.cls_logits[level][image]))
            masks = self.masks(maps, level, image, pairs.cells, size)
            inside = masks > select.mask_threshold
            area = inside.sum((1, 2), dtype=torch.float32)  # of integers, runtimes are slow
            # The mean probability inside the mask rescores the class.
            maskness = (masks * inside).sum((1, 2)) / area.clamp(min=1)
            rescored = pairs._replace(scores=pairs.scores * maskness[pairs.mask])
            kept = select.keep(rescored, (area > stride)[pairs.mask])
            mask_numbers.append(kept.mask + start)
            scores.append(kept.scores)
            labels.append(kept.labels)
            probabilities.append(masks)
            covered.append(inside)
            start += len(masks)
        all_masks, number = torch.cat(probabilities), torch.cat(mask_numbers)
        all_labels = torch.cat(labels)
        chosen, score = select(torch.cat(covered), number, torch.cat(scores), all_labels)
        pixels = self.mask_strides[0]
        input_size = (size[0] * pixels, size[1] * pixels)
        found = ImageMasks(all_masks[number[chosen]], input_size, select.mask_threshold)
        return Detections(found.boxes(info.size), score, all_labels[chosen], found)

    def _peaks(self, logits: Tensor) -> Tensor:
        """Scores of cells (K, G, G) -> (G * G, K), set to zero unless they are maximal in the 2x2
        window that ends at the cell."""
        scores = self.config.classification_loss.scores(logits.float().movedim(0, -1))
        scores = scores.movedim(-1, 0)
        best = F.max_pool2d(scores[None], 2, stride=1, padding=1)[0, :, :-1, :-1]
        return (scores * (best == scores)).flatten(1).T


def tower(in_channels: int, config: MaskGridHeadConfig) -> nn.Sequential:
    """Builds a stack of ``num_convs`` convolutions."""
    widths = [in_channels, *[config.channels] * (config.num_convs - 1)]
    return nn.Sequential(
        *(
            ConvModule(width, config.channels, 3, padding=1, convolution=kind, norm=config.norm)
            for width, kind in zip(widths, config.convolutions)
        )
    )


def coordinates(x: Tensor) -> Tensor:
    """(B, 2, h, w) the column and row of each cell of x (B, C, h, w), from -1 to 1 (CoordConv)."""
    height, width = x.shape[2:]
    # linspace() would fix its length in an exported program.
    row, column = (
        2 * torch.arange(cells, device=x.device) / cast(int, torch.sym_max(cells - 1, 1)) - 1
        for cells in (height, width)
    )
    planes = torch.stack([column.expand(height, -1), row[:, None].expand(-1, width)])
    return planes.to(x.dtype).expand(len(x), -1, -1, -1)


def initialize(head: nn.Module, predictors: Sequence[nn.Module]) -> None:
    """Initializes small weights, and ``predictors`` of probabilities to low values."""
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in predictors:
        nn.init.constant_(layer.get_parameter("bias"), -math.log(1 / PRIOR_PROBABILITY - 1))


def _resized(features: Sequence[Tensor]) -> list[Tensor]:
    first, last = (
        F.interpolate(x, neighbor.shape[2:], mode="bilinear")
        for x, neighbor in ((features[0], features[1]), (features[-1], features[-2]))
    )
    return [first, *features[1:-1], last]
