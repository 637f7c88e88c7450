"""Path aggregation networks."""

from __future__ import annotations

from detzoo.necks.pafpn import PAFPNConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn

ENTRIES = (
    Entry(
        "faster_rcnn_r50_pafpn_1x_coco",
        faster_rcnn(neck=PAFPNConfig()),
        box_ap=37.5,
        memory_gb=4.0,
        inference_ms=58.14,
        weights="faster_rcnn_r50_pafpn_1x_coco_bbox_mAP-0.375_20200503_105836-b7b4b9bd.pth",
    ),
)

FAMILY = Family(
    folder="pafpn",
    title="PAFPN",
    paper="https://arxiv.org/abs/1803.01534",
    entries=ENTRIES,
)
