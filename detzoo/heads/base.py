"""The interfaces of heads: detection heads, proposal heads and RoI heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import Self

from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.postprocess.tta import merge_detections, to_original
from detzoo.structures import Candidates, Detections, ImageInfo, Losses, Targets

# A batch in one augmentation: its predictions or feature maps, and its image infos.
AugmentedPredictions = tuple[Any, Sequence[ImageInfo]]
AugmentedFeatures = tuple[Sequence[Tensor], Sequence[ImageInfo]]


@config
class DetectionHeadConfig(ABC):
    """A head whose output is the final detections: dense heads, heatmaps."""

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DetectionHead:
        """Builds the module for feature maps of ``in_channels`` with ``strides`` in pixels."""


class DetectionHead(nn.Module, ABC):
    """Turns feature maps into predictions, and these into losses, or candidates and detections."""

    @abstractmethod
    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by name."""

    def enter_epoch(self, epoch: int) -> None:
        """Called in training when an ``epoch``, counted from 0, starts or is resumed."""

    def enter_final_epochs(self) -> None:
        """Called once at the start of a recipe's final epochs: see ``Experiment.final``."""

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Any:
        """Feature maps, fine to coarse -> predictions, of a type internal to the head."""

    @abstractmethod
    def loss(
        self, predictions: Any, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> Losses:
        """Computes the losses of a batch."""

    @abstractmethod
    def decode(self, predictions: Any, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """Decodes the candidates of each image in input pixels, before NMS."""

    @abstractmethod
    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        """Applies NMS and the final selection to each image."""

    def decode_augmented(self, augmented: Sequence[AugmentedPredictions]) -> list[Candidates]:
        """Decodes the candidates of each image from several augmentations, in original pixels.

        Here the candidates of all augmentations are joined for :meth:`select`. A head that combines
        predictions before decoding overrides this.
        """
        decoded = [self.decode(predictions, infos) for predictions, infos in augmented]
        return [
            Candidates.join(
                [found[k].to_original(infos[k]) for found, (_, infos) in zip(decoded, augmented)]
            )
            for k in range(len(decoded[0]))
        ]


@config
class DistilledHeadConfig(DetectionHeadConfig):
    """A head that learns from a teacher."""

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DistilledHead:
        """See :meth:`DetectionHeadConfig.build`."""


class DistilledHead(DetectionHead):
    """A head that trains with what the head of a ``teacher`` has predicted of the same images.

    ``teacher_knows_classes`` says whether it must know the classes of the data.
    """

    teacher_knows_classes: ClassVar[bool] = False

    @abstractmethod
    def distill(
        self,
        predictions: Any,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
        *,
        teacher: DetectionHead,
        taught: Any,
    ) -> Losses:
        """Losses of a batch; ``taught`` is what ``teacher`` predicts of it."""


@config
class ProposalHeadConfig(ABC):
    """A head that proposes regions."""

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int = 1
    ) -> ProposalHead:
        """Builds the module for feature maps of ``in_channels`` with ``strides`` in pixels."""


class ProposalHead(nn.Module, ABC):
    """Turns feature maps into region proposals."""

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Any:
        """Feature maps, fine to coarse -> predictions, of a type internal to the head."""

    def predict(self, features: Sequence[Tensor], infos: Sequence[ImageInfo]) -> Any:
        """The predictions that ``loss`` and ``propose`` take; some depend on the images' sizes."""
        return self(features)

    @abstractmethod
    def loss(
        self, predictions: Any, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> Losses:
        """Computes the losses of a batch; labels are not used."""

    @abstractmethod
    def propose(self, predictions: Any, infos: Sequence[ImageInfo]) -> list[Detections]:
        """Returns the proposals of each image, in training for a RoI head; without gradients."""


@config
class RoIHeadConfig(ABC):
    """A head that classifies and refines proposed regions."""

    @property
    def predicts_masks(self) -> bool:
        return False

    @property
    def needs_semantic_maps(self) -> bool:
        """Whether training requires targets with a ``semantic_map``."""
        return False

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> RoIHead:
        """Builds the module for feature maps of ``in_channels`` with ``strides`` in pixels."""

    def from_scratch(self) -> Self:
        """Returns the same head for training without pretrained weights."""
        return self


class RoIHead(nn.Module, ABC):
    """Turns proposals into losses or detections."""

    @abstractmethod
    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by name."""

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        """Modules initialized with the backbone's pretrained weights, by their names in these."""
        return ()

    @abstractmethod
    def loss(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses on regions sampled from the proposals."""

    @abstractmethod
    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """Returns the detections of each image in input pixels."""

    def predict_augmented(
        self, augmented: Sequence[AugmentedFeatures], proposals: Sequence[Detections]
    ) -> list[Detections]:
        """Returns the detections of each image from several augmentations (test-time augmentation).

        Proposals and detections are in original pixels. Here the detections of all augmentations
        are merged by NMS; detzoo's own heads average the predictions of each proposal instead: see
        ``heads/roi/staged.py``.
        """
        found = []
        for features, infos in augmented:
            own = [image.to_input(info) for image, info in zip(proposals, infos)]
            found.append(to_original(self.predict(features, own, infos), infos))
        return [merge_detections(image) for image in zip(*found)]
