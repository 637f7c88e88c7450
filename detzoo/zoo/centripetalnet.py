"""CentripetalNet."""

from __future__ import annotations

from detzoo.heads.heatmap.centripetal import CentripetalHeadConfig
from detzoo.zoo.cornernet import hourglass
from detzoo.zoo.entry import Entry, Family

ENTRIES = (
    Entry(
        "centripetalnet_hourglass104_mstest_16x6_210e_coco",
        hourglass(CentripetalHeadConfig(), images_per_device=6, devices=16, milestone=190),
        box_ap=44.8,
        memory_gb=16.7,
        inference_ms=270.27,
        weights="centripetalnet_hourglass104_mstest_16x6_210e_coco_20200915_204804-3ccc61e5.pth",
    ),
)

FAMILY = Family(
    folder="centripetalnet",
    title="CentripetalNet",
    paper="https://arxiv.org/abs/2003.09119",
    entries=ENTRIES,
)
