"""What every head is, by its place in a detector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.postprocess.tta import merge_detections, to_original
from detzoo.structures import Candidates, Detections, ImageInfo, Losses, Targets

# A batch in one augmentation: what a head predicts of it, or its feature maps.
AugmentedPredictions = tuple[Any, Sequence[ImageInfo]]
AugmentedFeatures = tuple[Sequence[Tensor], Sequence[ImageInfo]]


@config
class DetectionHeadConfig(ABC):
    """A head whose output is the final detections: dense heads, heatmaps."""

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DetectionHead:
        """The module for feature maps of ``in_channels`` with ``strides`` pixels per cell."""


class DetectionHead(nn.Module, ABC):
    """From feature maps to predictions; from these to losses, or to candidates and detections."""

    @abstractmethod
    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by name."""

    def enter_epoch(self, epoch: int) -> None:
        """Called in training where an ``epoch`` begins, counted from 0, or is resumed."""

    def enter_final_epochs(self) -> None:
        """Called once where the final epochs of a recipe begin: see ``Experiment.final``."""

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Any:
        """Feature maps, fine to coarse -> predictions, of a type that the head alone knows."""

    @abstractmethod
    def loss(
        self, predictions: Any, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> Losses:
        """Losses of a batch."""

    @abstractmethod
    def decode(self, predictions: Any, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """The candidates of each image in input pixels, before suppression."""

    @abstractmethod
    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        """Suppression and the final choice, image by image."""

    def decode_augmented(self, augmented: Sequence[AugmentedPredictions]) -> list[Candidates]:
        """The candidates of each image from several augmentations of it, in original pixels.

        Those of all augmentations together, for :meth:`select`. A head that compares predictions
        before it decodes them overrides this.
        """
        decoded = [self.decode(predictions, infos) for predictions, infos in augmented]
        return [
            Candidates.join(
                [found[k].to_original(infos[k]) for found, (_, infos) in zip(decoded, augmented)]
            )
            for k in range(len(decoded[0]))
        ]


@config
class ProposalHeadConfig(ABC):
    """A head that proposes regions."""

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int = 1
    ) -> ProposalHead:
        """The module for feature maps of ``in_channels`` with ``strides`` pixels per cell."""


class ProposalHead(nn.Module, ABC):
    """From feature maps to regions that may hold an object."""

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Any:
        """Feature maps, fine to coarse -> predictions, of a type that the head alone knows."""

    @abstractmethod
    def loss(
        self, predictions: Any, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> Losses:
        """Losses of a batch; labels are not looked at."""

    @abstractmethod
    def propose(self, predictions: Any, infos: Sequence[ImageInfo]) -> list[Detections]:
        """Proposals of each image; in training, those that a RoI head trains on. No gradients."""


@config
class RoIHeadConfig(ABC):
    """A head that looks at proposed regions."""

    @property
    def predicts_masks(self) -> bool:
        return False

    @property
    def needs_semantic_maps(self) -> bool:
        """Whether it trains on targets with a ``semantic_map``."""
        return False

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> RoIHead:
        """The module for feature maps of ``in_channels`` with ``strides`` pixels per cell."""

    def from_scratch(self) -> Self:
        """The same head for training without pretrained weights."""
        return self


class RoIHead(nn.Module, ABC):
    """From regions to losses or detections."""

    @abstractmethod
    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by name."""

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        """Modules that start from the backbone's pretrained weights, by the names therein."""
        return ()

    @abstractmethod
    def loss(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Losses on regions drawn from the proposals."""

    @abstractmethod
    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """Detections of each image in input pixels."""

    def predict_augmented(
        self, augmented: Sequence[AugmentedFeatures], proposals: Sequence[Detections]
    ) -> list[Detections]:
        """Detections of each image from several augmentations of it (test-time augmentation).

        Proposals and detections are in original pixels. Here the detections of all augmentations
        go together, without duplicates; detzoo's own heads average what they predict of each
        proposal instead: see ``heads/roi/staged.py``.
        """
        found = []
        for features, infos in augmented:
            own = [image.to_input(info) for image, info in zip(proposals, infos)]
            found.append(to_original(self.predict(features, own, infos), infos))
        return [merge_detections(image) for image in zip(*found)]
