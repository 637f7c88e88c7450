"""Every head on a GPU that is not there: nothing stays on the host, which never waits."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.export.static import StaticDetector
from detzoo.structures import ImageBatch
from detzoo.zoo.entry import Entry
from tests.detectors.elsewhere import GPU, Copying, build_on_gpu, without_values
from tests.detectors.test_edge_cases import TARGETS
from tests.detectors.zoo_models import images, one_per_head

# What the default run covers: proposals, cascades, masks, queries, heatmaps, points of masks.
QUICK = (
    "yolox_nano_8x8_300e_coco",
    "mask_rcnn_mobilenetv2_fpn",
    "centernet_resnet18_140e_coco",
    "solov2_light_r18_fpn_3x_coco",
    "detr_r50_8x2_150e_coco",
    "queryinst_r50_fpn_1x_coco",
    "point_rend_r50_caffe_fpn_mstrain_1x_coco",
    "yolact_r50_1x8_coco",
    "sabl_retinanet_r50_fpn_1x_coco",
)
DENSE = (SingleStageConfig, ProposalOnlyConfig)
ENTRIES = [
    pytest.param(entry, id=entry.name, marks=() if entry.name in QUICK else pytest.mark.slow)
    for entry in one_per_head()
    if not entry.experiment.model.needs_proposals
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_static_form(entry: Entry) -> None:
    batch, height, width = (images(2).pixels.shape[axis] for axis in (0, 2, 3))
    with without_values(), torch.no_grad():
        static = StaticDetector(build_on_gpu(entry).eval())
        pixels = torch.zeros((batch, 3, height, width), device=GPU)
        sizes = torch.ones((batch, 2), dtype=torch.int64, device=GPU)
        static(pixels, sizes)  # makes constants
        with Copying() as copying:
            found = static(pixels, sizes)
        assert {values.device for values in found if values is not None} == {GPU}
    assert copying.places == []


@pytest.mark.parametrize(
    "entry",
    [p for p in ENTRIES if isinstance(p.values[0].experiment.model, DENSE)],
)
def test_losses(entry: Entry) -> None:
    """Of heads whose number of regions is known to the host, which matches no sets, either."""
    batch, targets = images(2), TARGETS["ordinary"]
    with without_values():
        model = build_on_gpu(entry)
        pixels = torch.zeros(tuple(batch.pixels.shape), device=GPU)
        there = [
            dataclasses.replace(
                target,
                boxes=torch.zeros(tuple(target.boxes.shape), device=GPU),
                labels=torch.zeros(tuple(target.labels.shape), dtype=torch.int64, device=GPU),
                ignored_boxes=torch.zeros(tuple(target.ignored_boxes.shape), device=GPU),
                masks=None,
            )
            for target in targets
        ]
        with Copying() as copying:
            losses = model(ImageBatch(pixels, batch.infos), there)
        assert {value.device for value in losses.values()} == {GPU}
    assert copying.places == []
