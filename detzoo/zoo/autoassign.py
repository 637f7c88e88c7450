"""AutoAssign."""

from __future__ import annotations

from detzoo.backbones.pretrained import DETECTRON
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.autoassign import AutoAssignHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import caffe_resnet, experiment


def autoassign() -> Experiment:
    """AutoAssign on ResNet-50 with levels P3-P7."""
    model = SingleStageConfig(
        backbone=caffe_resnet(50),
        neck=FPNConfig(
            start_level=1,
            extra_levels="on_input",
            relu_between_extras=True,
            initialization="caffe2_xavier",
        ),
        bbox_head=AutoAssignHeadConfig(),
        pixels=DETECTRON,
    )
    return experiment(
        model,
        optimizer=SGDConfig(lr=0.01, norm_weight_decay_scale=0.0),
        schedule=epochs(12, warmup=Warmup(iterations=1000)),
    )


ENTRIES = (
    Entry(
        "autoassign_r50_fpn_8x2_1x_coco",
        autoassign(),
        box_ap=40.4,
        memory_gb=4.08,
        weights="autoassign/auto_assign_r50_fpn_1x_coco/auto_assign_r50_fpn_1x_coco_20210413_115540-5e17991f.pth",
    ),
)

FAMILY = Family(
    folder="autoassign",
    title="AutoAssign",
    paper="https://arxiv.org/abs/2007.03496",
    entries=ENTRIES,
)
