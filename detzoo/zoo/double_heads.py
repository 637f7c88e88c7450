"""Double-Head R-CNN."""

from __future__ import annotations

from detzoo.heads.roi.double_head import DoubleHeadConfig, DoublePoolingConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn

ENTRIES = (
    Entry(
        "dh_faster_rcnn_r50_fpn_1x_coco",
        faster_rcnn(extractor=DoublePoolingConfig(), box_head=DoubleHeadConfig()),
        box_ap=40.0,
        memory_gb=6.8,
        inference_ms=105.26,
        weights="dh_faster_rcnn_r50_fpn_1x_coco_20200130-586b67df.pth",
    ),
)

FAMILY = Family(
    folder="double_heads",
    title="Double-Head R-CNN",
    paper="https://arxiv.org/abs/1904.06493",
    entries=ENTRIES,
)
