"""Face detectors."""

from __future__ import annotations

from detzoo.data.transforms import Expand, Flip, MinIoUCrop, PhotometricDistortion, Resize
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.ssd import MEAN_BGR, ssd

ENTRIES = (
    Entry(
        "ssd300_wider_face",
        ssd(
            class_names=classes.WIDER_FACE,
            train_transforms=(
                PhotometricDistortion(),
                Expand(fill=MEAN_BGR),
                MinIoUCrop(),
                Resize(sizes=((300, 300),), keep_ratio=False),
                Flip(),
            ),
            images_per_device=60,
            workers=2,
            repeats=2,
            min_object_size=17.0,
            metric="voc",
            optimizer=SGDConfig(lr=0.012, weight_decay=5e-4),
            schedule=epochs(24, milestones=(16, 20), warmup=Warmup(iterations=1000)),
            reference_batch=60,
            max_gradient_norm=35.0,
        ),
    ),
)

FAMILY = Family(
    folder="wider_face",
    title="WIDER FACE",
    paper="https://arxiv.org/abs/1511.06523",
    entries=ENTRIES,
)
