"""Detectors of corners: their references hold outputs of the head, and what decoding makes of given
maps, since their random weights pair no corners."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from detzoo.detectors.base import Detector
from detzoo.detectors.single_stage import SingleStage
from detzoo.heads.heatmap.corner_base import CornerMaps, CornerPair, CornerPairHead
from detzoo.structures import ImageInfo
from tests.parity import inputs
from tests.parity import model as our
from tests.parity.compare import Finding, compare_detections, compare_features
from tests.parity.reference import Reference


def check_corners(
    model: Detector, features: tuple[Tensor, ...], reference: Reference
) -> list[Finding]:
    """The outputs of the last stack, and the detections that the planted corners make."""
    assert isinstance(model, SingleStage)
    head = model.bbox_head
    assert isinstance(head, CornerPairHead)
    summary = our.summarise(_outputs(head(features)[-1]))
    (candidates,) = head.decode([_planted(head)], (ImageInfo.of(inputs.IMAGE_SHAPE),))
    (detections,) = head.select([candidates])
    return [
        compare_features("head outputs", summary, reference["head_outputs"]),
        compare_detections(
            "planted corners", our.detection_rows(detections), reference["decoded_corner_maps"]
        ),
    ]


def _outputs(pair: CornerPair) -> tuple[Tensor, ...]:
    """In MMDetection's order: heatmaps, then for CornerNet tags and offsets, for CentripetalNet
    offsets, guides and tags; of either, the top left corner first."""
    start, end = pair.top_left, pair.bottom_right
    heats, offsets, tags = (start.heat, end.heat), (start.offset, end.offset), (start.tag, end.tag)
    if start.guide is None or end.guide is None:
        return (*heats, *tags, *offsets)
    return (*heats, *offsets, start.guide, end.guide, *tags)


def _planted(head: CornerPairHead) -> CornerPair:
    maps: dict[str, np.ndarray] = inputs.corner_maps(head.num_classes)
    tag = "centripetal_shift" if hasattr(head, "tl_centripetal_shift") else "emb"

    def of(corner: str) -> CornerMaps:
        heat, offset, tags = (
            torch.from_numpy(maps[f"{corner}_{name}"]) for name in ("heat", "off", tag)
        )
        return CornerMaps(heat, offset, tags)

    return CornerPair(of("tl"), of("br"))
