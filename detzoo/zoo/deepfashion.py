"""Mask R-CNN on DeepFashion."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import Pad, Resize
from detzoo.experiment import Experiment
from detzoo.optim.schedules import epochs
from detzoo.zoo.classes import DEEPFASHION
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn

SIZES = ((750, 1101),)


def deepfashion() -> Experiment:
    """Mask R-CNN on portrait images, for fifteen epochs."""
    made = mask_rcnn(
        class_names=DEEPFASHION,
        sizes=SIZES,
        schedule=epochs(15, milestones=(8, 11)),
        workers=1,
        evaluate_every=5,
    )
    data = dataclasses.replace(made.data, test_transforms=(Resize(sizes=SIZES), Pad(divisor=32)))
    return dataclasses.replace(made, data=data)


ENTRIES = (Entry("mask_rcnn_r50_fpn_15e_deepfashion", deepfashion()),)

FAMILY = Family(
    folder="deepfashion",
    title="DeepFashion",
    paper="https://doi.org/10.1109/CVPR.2016.124",
    entries=ENTRIES,
)
