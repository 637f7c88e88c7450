"""GRoIE: RoI features from all levels."""

from __future__ import annotations

from detzoo.heads.roi.all_levels import AllLevelsPoolingConfig
from detzoo.heads.roi.grid import GridRoIHeadConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.gcnet import synchronized, with_context
from detzoo.zoo.grid_rcnn import grid_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet

EXTRACTOR = AllLevelsPoolingConfig()
GRID_HEAD = GridRoIHeadConfig(
    extractor=EXTRACTOR, grid_extractor=AllLevelsPoolingConfig(output_size=14)
)

ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_groie_1x_coco",
        faster_rcnn(extractor=EXTRACTOR),
        box_ap=38.3,
        weights="faster_rcnn_r50_fpn_groie_1x_coco_20200604_211715-66ee9516.pth",
    ),
    Entry(
        "grid_rcnn_r50_fpn_gn-head_groie_1x_coco",
        grid_rcnn(roi_head=GRID_HEAD, schedule=epochs(12)),
        box_ap=39.1,
        weights="grid_rcnn_r50_fpn_gn-head_groie_1x_coco_20200605_202059-4b75d86f.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_syncbn-backbone_r4_gcb_c3-c5_groie_1x_coco",
        mask_rcnn(with_context(synchronized(resnet(101)), ratio=1 / 4), extractor=EXTRACTOR),
        box_ap=42.6,
        mask_ap=38.7,
        weights="mask_rcnn_r101_fpn_syncbn-backbone_r4_gcb_c3-c5_groie_1x_coco_20200607_224507-8daae01c.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_groie_1x_coco",
        mask_rcnn(extractor=EXTRACTOR),
        box_ap=39.0,
        mask_ap=36.0,
        weights="mask_rcnn_r50_fpn_groie_1x_coco_20200604_211715-50d90c74.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-backbone_r4_gcb_c3-c5_groie_1x_coco",
        mask_rcnn(with_context(synchronized(resnet(50)), ratio=1 / 4), extractor=EXTRACTOR),
        box_ap=41.0,
        mask_ap=37.8,
        weights="mask_rcnn_r50_fpn_syncbn-backbone_r4_gcb_c3-c5_groie_1x_coco_20200604_211715-42eb79e1.pth",
    ),
)

FAMILY = Family(
    folder="groie",
    title="GRoIE",
    paper="https://arxiv.org/abs/2004.13665",
    entries=ENTRIES,
)
