"""Simple copy-paste."""

from __future__ import annotations

import dataclasses

from detzoo.data.sample import Transform
from detzoo.data.transforms import CopyPaste, Pad
from detzoo.experiment import Experiment
from detzoo.optim.schedules import Schedule, Warmup, iterations
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import resnet
from detzoo.zoo.strong_baselines import SIZE, SYNCHRONIZED, jittered, normed_mask_rcnn

# The rate falls where 90, 95 and 97.5 % of the run are over.
ITERATIONS_90K = iterations(
    90_000, milestones=(81_000, 85_500, 87_750), warmup=Warmup(iterations=500, ratio=0.067)
)
ITERATIONS_270K = iterations(
    270_000, milestones=(243_000, 256_500, 263_250), warmup=Warmup(iterations=1000, ratio=0.001)
)
TRANSFORMS = jittered((0.8, 1.25))
# Black before it is normalized, since objects of one image may lie on the padding of another.
BLACK = Pad(size=SIZE, fill=(0.0, 0.0, 0.0))
WITH_PASTE: tuple[Transform, ...] = (*TRANSFORMS[:-1], BLACK, CopyPaste(max_objects=99))


def copy_paste(schedule: Schedule, transforms: tuple[Transform, ...]) -> Experiment:
    """Mask R-CNN on standard scale jittering, 64 images at a time."""
    backbone = dataclasses.replace(resnet(50), frozen_stages=-1, norm=SYNCHRONIZED)
    return normed_mask_rcnn(
        backbone,
        transforms,
        schedule=schedule,
        evaluate_every=6000,
        checkpoint_every=6000,
        reference_batch=64,
    )


ENTRIES = (
    Entry(
        "mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_32x2_270k_coco",
        copy_paste(ITERATIONS_270K, TRANSFORMS),
        box_ap=43.5,
        mask_ap=39.1,
        memory_gb=7.2,
        weights="mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_32x2_270k_coco_20220324_182940-33a100c5.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_32x2_90k_coco",
        copy_paste(ITERATIONS_90K, TRANSFORMS),
        box_ap=43.3,
        mask_ap=39.0,
        memory_gb=7.2,
        weights="mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_32x2_90k_coco_20220316_181409-f79c84c5.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_scp_32x2_270k_coco",
        copy_paste(ITERATIONS_270K, WITH_PASTE),
        box_ap=45.1,
        mask_ap=40.3,
        memory_gb=7.2,
        weights="mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_scp_32x2_270k_coco_20220324_201229-80ee90b7.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_scp_32x2_90k_coco",
        copy_paste(ITERATIONS_90K, WITH_PASTE),
        box_ap=43.8,
        mask_ap=39.2,
        memory_gb=7.2,
        weights="mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_scp_32x2_90k_coco_20220316_181307-6bc5726f.pth",
    ),
)

FAMILY = Family(
    folder="simple_copy_paste",
    title="Simple copy-paste",
    paper="https://arxiv.org/abs/2012.07177",
    entries=ENTRIES,
)
