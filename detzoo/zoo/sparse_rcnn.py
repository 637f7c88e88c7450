"""Sparse R-CNN."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.sparse import SparseConfig
from detzoo.experiment import Experiment
from detzoo.heads.query.learned_proposals import LearnedProposalsConfig
from detzoo.heads.query.sparse_roi import SparseRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import AdamWConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.detr import with_crops
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, experiment, resnet

ELEVEN_SIZES_3X: Recipe = {
    "sizes": tuple((1333, short) for short in range(480, 801, 32)),
    "schedule": epochs(36, milestones=(27, 33)),
}


def sparse_rcnn(
    backbone: ResNetConfig = resnet(50), *, num_proposals: int = 100, **recipe: Unpack[Recipe]
) -> Experiment:
    """Sparse R-CNN with FPN levels P2-P5 and six stages; as many detections as proposals."""
    model = SparseConfig(
        backbone=backbone,
        neck=FPNConfig(num_outputs=4, extra_levels="on_input"),
        rpn_head=LearnedProposalsConfig(num_proposals=num_proposals),
        roi_head=SparseRoIHeadConfig(
            mask_extractor=None, mask_head=None, max_detections=num_proposals
        ),
    )
    recipe.setdefault("optimizer", AdamWConfig(lr=2.5e-5, weight_decay=1e-4))
    recipe.setdefault("max_gradient_norm", 1.0)
    return experiment(model, **recipe)


def sparse_rcnn_with_crops(backbone: ResNetConfig = resnet(50)) -> Experiment:
    """Sparse R-CNN with 300 proposals and DETR's transforms."""
    return with_crops(sparse_rcnn(backbone, num_proposals=300, **ELEVEN_SIZES_3X))


ENTRIES = (
    Entry(
        "sparse_rcnn_r101_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
        sparse_rcnn_with_crops(resnet(101)),
        box_ap=46.2,
        weights="sparse_rcnn_r101_fpn_300_proposals_crop_mstrain_480-800_3x_coco_20201223_023452-c23c3564.pth",
    ),
    Entry(
        "sparse_rcnn_r101_fpn_mstrain_480-800_3x_coco",
        sparse_rcnn(resnet(101), **ELEVEN_SIZES_3X),
        box_ap=44.2,
        weights="sparse_rcnn_r101_fpn_mstrain_480-800_3x_coco_20201223_121552-6c46c9d6.pth",
    ),
    Entry(
        "sparse_rcnn_r50_fpn_1x_coco",
        sparse_rcnn(),
        box_ap=37.9,
        weights="sparse_rcnn_r50_fpn_1x_coco_20201222_214453-dc79b137.pth",
    ),
    Entry(
        "sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
        sparse_rcnn_with_crops(),
        box_ap=45.0,
        weights="sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco_20201223_024605-9fe92701.pth",
    ),
    Entry(
        "sparse_rcnn_r50_fpn_mstrain_480-800_3x_coco",
        sparse_rcnn(**ELEVEN_SIZES_3X),
        box_ap=42.8,
        weights="sparse_rcnn_r50_fpn_mstrain_480-800_3x_coco_20201218_154234-7bc5c054.pth",
    ),
)

FAMILY = Family(
    folder="sparse_rcnn",
    title="Sparse R-CNN",
    paper="https://arxiv.org/abs/2011.12450",
    entries=ENTRIES,
)
