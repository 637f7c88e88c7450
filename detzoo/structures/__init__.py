"""Typed data passed between the stages. For the shape legend see ``docs/architecture.md``."""

from detzoo.structures.assignment import BACKGROUND, IGNORED, Assignment
from detzoo.structures.detections import Candidates, Detections
from detzoo.structures.image_masks import ImageMasks
from detzoo.structures.images import Batch, ImageBatch, ImageInfo, sizes_of
from detzoo.structures.losses import Losses
from detzoo.structures.masks import BitmapMasks, Masks, PolygonMasks, RoIMasks, TargetMasks
from detzoo.structures.panoptic import VOID, PanopticMap, PanopticPrediction
from detzoo.structures.pixels import Pixels
from detzoo.structures.predictions import DensePredictions, Priors
from detzoo.structures.targets import UNLABELED, Targets, stack_semantic_maps

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "UNLABELED",
    "VOID",
    "Assignment",
    "Batch",
    "BitmapMasks",
    "Candidates",
    "DensePredictions",
    "Detections",
    "ImageBatch",
    "ImageInfo",
    "ImageMasks",
    "Losses",
    "Masks",
    "PanopticMap",
    "PanopticPrediction",
    "Pixels",
    "PolygonMasks",
    "Priors",
    "RoIMasks",
    "TargetMasks",
    "Targets",
    "sizes_of",
    "stack_semantic_maps",
]
