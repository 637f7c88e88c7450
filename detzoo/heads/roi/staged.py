"""The skeleton of RoI heads: box stages, and branches with further predictions per detection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import NonNegativeFloat, config
from detzoo.heads.base import AugmentedFeatures, RoIHead, RoIHeadConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.roi.augmented import average_candidates, average_detections, every_pair
from detzoo.heads.roi.base import (
    RegionBoxHead,
    RegionBoxHeadConfig,
    RegionHead,
    RegionPoolingConfig,
)
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.regions import LabeledRegions, SampledRegions, label_regions, sampled_rois
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Pairs, Select
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Assignment, Candidates, Detections, ImageInfo, Losses, Targets


@config
class CascadeStage:
    """One box stage, and the regions that it is trained on.

    Args:
        box_head: Classifies regions and refines their boxes.
        assigner: Assigns targets to regions.
        sampler: Samples the regions that are trained on.
        loss_weight: Factor of all losses of the stage, including those of its masks.
    """

    box_head: RegionBoxHeadConfig
    assigner: Assigner = MaxIoUAssigner(
        positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5, match_low_quality=False
    )
    sampler: Sampler = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)
    loss_weight: NonNegativeFloat = 1.0


@config
class StagedRoIHeadConfig(RoIHeadConfig):
    """A head that refines proposals in one or several stages.

    Args:
        extractor: Extracts RoI features for the box heads.
        select: Selects the final detections from the last stage's boxes.
    """

    extractor: RegionPoolingConfig = PyramidRoIAlignConfig()
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5), max_detections=100)


@dataclass(frozen=True)
class ImageMaps:
    """The feature maps that RoI features are extracted from: the pyramid's ``levels``, fine to
    coarse.

    A head with a semantic branch adds its ``semantic`` features (B, C, H, W) and its
    ``semantic_logits`` (B, K, H, W).
    """

    levels: Sequence[Tensor]
    semantic: Tensor | None = None
    semantic_logits: Tensor | None = None


@dataclass(frozen=True)
class StageRegions:
    """The regions that a stage is trained on: those of each image, assigned and then ``sampled``.

    Concatenated over the sampled regions of all images: RoI features ``pooled`` (R, C, h, w), class
    ``logits`` (R, K) and box code ``deltas`` (R, ...).
    """

    labeled: list[LabeledRegions]
    sampled: list[SampledRegions]
    pooled: Tensor
    logits: Tensor
    deltas: Tensor

    def examples(self, targets: Sequence[Targets]) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (R, 4), labels (R,) and target boxes (R, 4) of the sampled regions."""
        wanted = [one.target_boxes(own) for one, own in zip(self.sampled, targets)]
        boxes, labels = zip(*((image.boxes, image.labels) for image in self.sampled))
        return torch.cat(boxes), torch.cat(labels), torch.cat(wanted)


class StagedRoIHead(RoIHead):
    """Each stage classifies regions and refines them for the next; the last one's are detections.
    Branches make further predictions for each detection, such as its mask.

    A family defines its box heads (``box_head``, ``pool``) and overrides the steps in which it
    differs. A branch is a pair of methods: ``branch_losses`` and ``predict_branches``.
    """

    config: StagedRoIHeadConfig

    def __init__(
        self, config: StagedRoIHeadConfig, stages: Sequence[CascadeStage], num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.stages = tuple(stages)
        self.num_classes = num_classes

    @abstractmethod
    def box_head(self, number: int) -> RegionBoxHead:
        """The box head of a stage."""

    @abstractmethod
    def pool(self, maps: ImageMaps, number: int, rois: Tensor) -> Tensor:
        """Extracts features (R, C, h, w) of RoIs (R, 5) for the box head of a stage."""

    def image_maps(self, features: Sequence[Tensor]) -> ImageMaps:
        """Computes the maps that RoI features are extracted from."""
        return ImageMaps(features)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows: dict[str, ClassRows] = {}
        for name, module in self.named_modules():
            if isinstance(module, RegionHead):
                rows |= prefixed(name, module.class_parameters())
        return rows

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        maps = self.image_maps(features)
        losses = self.image_losses(maps, targets)
        boxes = [image.boxes for image in proposals]
        for number in range(len(self.stages)):
            labeled = self.label(number, boxes, targets)
            sampled = self.sample(maps, number, labeled)
            pooled = self.pool(maps, number, sampled_rois(sampled))
            logits, deltas = self.box_head(number)(pooled)
            regions = StageRegions(labeled, sampled, pooled, logits, deltas)
            own = self.box_losses(number, regions, targets)
            own |= self.branch_losses(maps, number, regions, targets, infos)
            losses |= self.losses_of_stage(number, own)
            if number + 1 < len(self.stages):
                boxes = self.refined(number, regions, infos)
        return losses

    def image_losses(self, maps: ImageMaps, targets: Sequence[Targets]) -> Losses:
        """Computes losses of whole images, independent of regions."""
        return Losses()

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses of the branches for a stage's regions."""
        return Losses()

    def losses_of_stage(self, number: int, losses: Losses) -> Losses:
        """Returns a stage's losses with their weights and the names under which they are logged."""
        return losses

    @torch.no_grad()
    def label(
        self, number: int, boxes: Sequence[Tensor], targets: Sequence[Targets]
    ) -> list[LabeledRegions]:
        """Assigns targets to the boxes (P, 4) of each image, from which a stage samples."""
        adds_targets = self.stages[number].sampler.adds_targets
        return [
            label_regions(
                own,
                target,
                self.assign(number, own, target),
                self.num_classes,
                adds_targets=adds_targets,
            )
            for own, target in zip(boxes, targets)
        ]

    def assign(self, number: int, boxes: Tensor, targets: Targets) -> Assignment:
        """Assigns targets to the boxes (P, 4) of one image in a stage."""
        return self.stages[number].assigner.assign(boxes, targets)

    @torch.no_grad()
    def sample(
        self, maps: ImageMaps, number: int, labeled: Sequence[LabeledRegions]
    ) -> list[SampledRegions]:
        """Samples the regions of each image that a stage trains on."""
        sampler, sampled = self.stages[number].sampler, []
        for image, regions in enumerate(labeled):
            losses = None
            if sampler.needs_losses:
                boxes = regions.boxes
                rois = torch.cat([boxes.new_full((len(boxes), 1), float(image)), boxes], 1)
                head = self.box_head(number)
                logits, _ = head(self.pool(maps, number, rois))
                losses = head.classification_losses(logits, regions.labels)
            sampled.append(regions.sampled(sampler.sample(regions.assignment, losses)))
        return sampled

    def box_losses(self, number: int, regions: StageRegions, targets: Sequence[Targets]) -> Losses:
        """Computes the losses of a stage's classes and boxes."""
        head = self.box_head(number)
        return head.loss(regions.logits, regions.deltas, *regions.examples(targets))

    @torch.no_grad()
    def refined(
        self, number: int, regions: StageRegions, infos: Sequence[ImageInfo]
    ) -> list[Tensor]:
        """The proposals of the next stage: the refined regions of this one.

        Ground-truth boxes are left out: each stage adds them itself.
        """
        counts = [len(image.boxes) for image in regions.sampled]
        columns = zip(
            regions.logits.split(counts), regions.deltas.split(counts), regions.sampled, infos
        )
        head = self.box_head(number)
        return [
            head.refine(logits, deltas, image.boxes, image.labels, info)[~image.is_target]
            for logits, deltas, image, info in columns
        ]

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        maps, select = self.image_maps(features), self.config.select
        candidates = self.decode(maps, proposals, infos, select.pairs)
        return self.predict_branches(maps, [select(image) for image in candidates])

    def predict_augmented(
        self, augmented: Sequence[AugmentedFeatures], proposals: Sequence[Detections]
    ) -> list[Detections]:
        """Averages boxes and scores of each proposal over the augmentations, and after NMS the
        predictions of branches for each detection.
        """
        select = self.config.select
        seen = [(self.image_maps(features), infos) for features, infos in augmented]
        infos_of_images = list(zip(*(infos for _, infos in seen)))
        decoded = [
            self.decode(maps, _to_input(proposals, infos), infos, every_pair)
            for maps, infos in seen
        ]
        detections = []
        for same, infos in zip(zip(*decoded), infos_of_images):
            mean = average_candidates(same, infos)
            detections.append(select(mean[mean.scores > select.min_score]))
        closer = [self.predict_branches(maps, _to_input(detections, infos)) for maps, infos in seen]
        return [
            average_detections(same, infos) for same, infos in zip(zip(*closer), infos_of_images)
        ]

    def decode(
        self,
        maps: ImageMaps,
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
        choose: Callable[[Tensor], Pairs],
    ) -> list[Candidates]:
        """Decodes the boxes of each image before NMS, for the pairs of region and class that
        ``choose`` selects from the scores (R, C).

        Boxes are those of the last stage; scores are computed from the mean of all stages' logits.
        """
        boxes = [image.boxes for image in proposals]
        counts = [len(own) for own in boxes]
        all_logits = []
        for number in range(len(self.stages)):
            head = self.box_head(number)
            logits, deltas = head(self.pool(maps, number, rois_of(boxes)))
            all_logits.append(logits)
            if number + 1 < len(self.stages):
                columns = zip(logits.split(counts), deltas.split(counts), boxes, infos)
                boxes = [head.refine(a, b, own, None, info) for a, b, own, info in columns]
        scores = head.loss_cls.scores(torch.stack(all_logits).mean(0).float()).split(counts)
        select, out = self.config.select, []
        for image, (own, info) in enumerate(zip(boxes, infos)):
            pairs = choose(select.of_regions(scores[image], proposals[image]))
            out.append(head.decode(pairs, deltas.split(counts)[image], own, info))
        return out

    def predict_branches(
        self, maps: ImageMaps, detections: Sequence[Detections]
    ) -> list[Detections]:
        """Adds the predictions of the branches to the detections of each image."""
        return list(detections)


def _to_input(regions: Sequence[Detections], infos: Sequence[ImageInfo]) -> list[Detections]:
    return [image.to_input(info) for image, info in zip(regions, infos)]
