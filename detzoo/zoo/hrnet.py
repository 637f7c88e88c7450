"""High-resolution networks."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.hrnet import HRNetConfig
from detzoo.backbones.pretrained import PYCLS
from detzoo.experiment import Experiment
from detzoo.necks.hrfpn import HRFPNConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.cascade_rcnn import EPOCHS_20, cascade_mask_rcnn, cascade_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.fcos import TWO_SIZES_2X, constant_warmup, fcos
from detzoo.zoo.htc import htc
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import Recipe, resnext

HRFPN = HRFPNConfig()
EPOCHS_28 = epochs(28, milestones=(24, 27))


def hrnet(width: int) -> HRNetConfig:
    """HRNetV2 with its authors' weights."""
    return HRNetConfig(width=width, pretrained="open-mmlab://msra/{architecture}")


def hrnet_fcos(width: int, **recipe: Unpack[Recipe]) -> Experiment:
    """FCOS on strides 8 to 128, with a different pixel normalization than that of the weights."""
    recipe.setdefault("images_per_device", 4)
    recipe.setdefault("workers", 4)
    return fcos(hrnet(width), neck=HRFPNConfig(stride=2), pixels=PYCLS, **recipe)


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_hrnetv2p_w18_20e_coco",
        cascade_mask_rcnn(hrnet(18), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=41.6,
        mask_ap=36.4,
        memory_gb=8.5,
        inference_ms=117.65,
        weights="cascade_mask_rcnn_hrnetv2p_w18_20e_coco_20200210-b543cd2b.pth",
    ),
    Entry(
        "cascade_mask_rcnn_hrnetv2p_w32_20e_coco",
        cascade_mask_rcnn(hrnet(32), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=44.3,
        mask_ap=38.6,
        inference_ms=120.48,
        weights="cascade_mask_rcnn_hrnetv2p_w32_20e_coco_20200512_154043-39d9cf7b.pth",
    ),
    Entry(
        "cascade_mask_rcnn_hrnetv2p_w40_20e_coco",
        cascade_mask_rcnn(hrnet(40), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=45.1,
        mask_ap=39.3,
        memory_gb=12.5,
        weights="cascade_mask_rcnn_hrnetv2p_w40_20e_coco_20200527_204922-969c4610.pth",
    ),
    Entry(
        "cascade_rcnn_hrnetv2p_w18_20e_coco",
        cascade_rcnn(hrnet(18), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=41.2,
        memory_gb=7.0,
        inference_ms=90.91,
        weights="cascade_rcnn_hrnetv2p_w18_20e_coco_20200210-434be9d7.pth",
    ),
    Entry(
        "cascade_rcnn_hrnetv2p_w32_20e_coco",
        cascade_rcnn(hrnet(32), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=43.3,
        memory_gb=9.4,
        inference_ms=90.91,
        weights="cascade_rcnn_hrnetv2p_w32_20e_coco_20200208-928455a4.pth",
    ),
    Entry(
        "cascade_rcnn_hrnetv2p_w40_20e_coco",
        cascade_rcnn(hrnet(40), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=43.8,
        memory_gb=10.8,
        weights="cascade_rcnn_hrnetv2p_w40_20e_coco_20200512_161112-75e47b04.pth",
    ),
    Entry(
        "faster_rcnn_hrnetv2p_w18_1x_coco",
        faster_rcnn(hrnet(18), neck=HRFPN),
        box_ap=36.9,
        memory_gb=6.6,
        inference_ms=74.63,
        weights="faster_rcnn_hrnetv2p_w18_1x_coco_20200130-56651a6d.pth",
    ),
    Entry(
        "faster_rcnn_hrnetv2p_w18_2x_coco",
        faster_rcnn(hrnet(18), neck=HRFPN, schedule=epochs(24)),
        box_ap=38.9,
        memory_gb=6.6,
        inference_ms=74.63,
        weights="faster_rcnn_hrnetv2p_w18_2x_coco_20200702_085731-a4ec0611.pth",
    ),
    Entry(
        "faster_rcnn_hrnetv2p_w32_1x_coco",
        faster_rcnn(hrnet(32), neck=HRFPN),
        box_ap=40.2,
        memory_gb=9.0,
        inference_ms=80.65,
        weights="faster_rcnn_hrnetv2p_w32_1x_coco_20200130-6e286425.pth",
    ),
    Entry(
        "faster_rcnn_hrnetv2p_w32_2x_coco",
        faster_rcnn(hrnet(32), neck=HRFPN, schedule=epochs(24)),
        box_ap=41.4,
        memory_gb=9.0,
        inference_ms=80.65,
        weights="faster_rcnn_hrnetv2p_w32_2x_coco_20200529_015927-976a9c15.pth",
    ),
    Entry(
        "faster_rcnn_hrnetv2p_w40_1x_coco",
        faster_rcnn(hrnet(40), neck=HRFPN),
        box_ap=41.2,
        memory_gb=10.4,
        inference_ms=95.24,
        weights="faster_rcnn_hrnetv2p_w40_1x_coco_20200210-95c1f5ce.pth",
    ),
    Entry(
        "faster_rcnn_hrnetv2p_w40_2x_coco",
        faster_rcnn(hrnet(40), neck=HRFPN, schedule=epochs(24)),
        box_ap=42.1,
        memory_gb=10.4,
        inference_ms=95.24,
        weights="faster_rcnn_hrnetv2p_w40_2x_coco_20200512_161033-0f236ef4.pth",
    ),
    Entry(
        "fcos_hrnetv2p_w18_gn-head_4x4_1x_coco",
        hrnet_fcos(18),
        box_ap=35.3,
        memory_gb=13.0,
        inference_ms=77.52,
        weights="fcos_hrnetv2p_w18_gn-head_4x4_1x_coco_20201212_100710-4ad151de.pth",
    ),
    Entry(
        "fcos_hrnetv2p_w18_gn-head_4x4_2x_coco",
        hrnet_fcos(18, schedule=constant_warmup(24)),
        box_ap=38.2,
        memory_gb=13.0,
        inference_ms=77.52,
        weights="fcos_hrnetv2p_w18_gn-head_4x4_2x_coco_20201212_101110-5c575fa5.pth",
    ),
    Entry(
        "fcos_hrnetv2p_w18_gn-head_mstrain_640-800_4x4_2x_coco",
        hrnet_fcos(18, **TWO_SIZES_2X),
        box_ap=38.3,
        memory_gb=13.0,
        inference_ms=77.52,
        weights="fcos_hrnetv2p_w18_gn-head_mstrain_640-800_4x4_2x_coco_20201212_111651-441e9d9f.pth",
    ),
    Entry(
        "fcos_hrnetv2p_w32_gn-head_4x4_1x_coco",
        hrnet_fcos(32),
        box_ap=39.5,
        memory_gb=17.5,
        inference_ms=77.52,
        weights="fcos_hrnetv2p_w32_gn-head_4x4_1x_coco_20201211_134730-cb8055c0.pth",
    ),
    Entry(
        "fcos_hrnetv2p_w32_gn-head_4x4_2x_coco",
        hrnet_fcos(32, schedule=constant_warmup(24)),
        box_ap=40.8,
        memory_gb=17.5,
        inference_ms=77.52,
        weights="fcos_hrnetv2p_w32_gn-head_4x4_2x_coco_20201212_112133-77b6b9bb.pth",
    ),
    Entry(
        "fcos_hrnetv2p_w32_gn-head_mstrain_640-800_4x4_2x_coco",
        hrnet_fcos(32, **TWO_SIZES_2X),
        box_ap=41.9,
        memory_gb=17.5,
        inference_ms=80.65,
        weights="fcos_hrnetv2p_w32_gn-head_mstrain_640-800_4x4_2x_coco_20201212_090846-b6f2b49f.pth",
    ),
    Entry(
        "fcos_hrnetv2p_w40_gn-head_mstrain_640-800_4x4_2x_coco",
        hrnet_fcos(40, **TWO_SIZES_2X),
        box_ap=42.7,
        memory_gb=20.3,
        inference_ms=92.59,
        weights="fcos_hrnetv2p_w40_gn-head_mstrain_640-800_4x4_2x_coco_20201212_124752-f22d2ce5.pth",
    ),
    Entry(
        "htc_hrnetv2p_w18_20e_coco",
        htc(hrnet(18), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=42.8,
        mask_ap=37.9,
        memory_gb=10.8,
        inference_ms=212.77,
        weights="htc_hrnetv2p_w18_20e_coco_20200210-b266988c.pth",
    ),
    Entry(
        "htc_hrnetv2p_w32_20e_coco",
        htc(hrnet(32), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=45.4,
        mask_ap=39.9,
        memory_gb=13.1,
        inference_ms=204.08,
        weights="htc_hrnetv2p_w32_20e_coco_20200207-7639fa12.pth",
    ),
    Entry(
        "htc_hrnetv2p_w40_20e_coco",
        htc(hrnet(40), neck=HRFPN, schedule=EPOCHS_20),
        box_ap=46.4,
        mask_ap=40.8,
        memory_gb=14.6,
        weights="htc_hrnetv2p_w40_20e_coco_20200529_183411-417c4d5b.pth",
    ),
    Entry(
        "htc_hrnetv2p_w40_28e_coco",
        htc(hrnet(40), neck=HRFPN, schedule=EPOCHS_28),
    ),
    Entry(
        "htc_x101_64x4d_fpn_16x1_28e_coco",
        htc(resnext(64, 4), schedule=EPOCHS_28, images_per_device=1, workers=1),
    ),
    Entry(
        "mask_rcnn_hrnetv2p_w18_1x_coco",
        mask_rcnn(hrnet(18), neck=HRFPN),
        box_ap=37.7,
        mask_ap=34.2,
        memory_gb=7.0,
        inference_ms=85.47,
        weights="mask_rcnn_hrnetv2p_w18_1x_coco_20200205-1c3d78ed.pth",
    ),
    Entry(
        "mask_rcnn_hrnetv2p_w18_2x_coco",
        mask_rcnn(hrnet(18), neck=HRFPN, schedule=epochs(24)),
        box_ap=39.8,
        mask_ap=36.0,
        memory_gb=7.0,
        inference_ms=85.47,
        weights="mask_rcnn_hrnetv2p_w18_2x_coco_20200212-b3c825b1.pth",
    ),
    Entry(
        "mask_rcnn_hrnetv2p_w32_1x_coco",
        mask_rcnn(hrnet(32), neck=HRFPN),
        box_ap=41.2,
        mask_ap=37.1,
        memory_gb=9.4,
        inference_ms=88.5,
        weights="mask_rcnn_hrnetv2p_w32_1x_coco_20200207-b29f616e.pth",
    ),
    Entry(
        "mask_rcnn_hrnetv2p_w32_2x_coco",
        mask_rcnn(hrnet(32), neck=HRFPN, schedule=epochs(24)),
        box_ap=42.5,
        mask_ap=37.8,
        memory_gb=9.4,
        inference_ms=88.5,
        weights="mask_rcnn_hrnetv2p_w32_2x_coco_20200213-45b75b4d.pth",
    ),
    Entry(
        "mask_rcnn_hrnetv2p_w40_1x_coco",
        mask_rcnn(hrnet(40), neck=HRFPN),
        box_ap=42.1,
        mask_ap=37.5,
        memory_gb=10.9,
        weights="mask_rcnn_hrnetv2p_w40_1x_coco_20200511_015646-66738b35.pth",
    ),
    Entry(
        "mask_rcnn_hrnetv2p_w40_2x_coco",
        mask_rcnn(hrnet(40), neck=HRFPN, schedule=epochs(24)),
        box_ap=42.8,
        mask_ap=38.2,
        memory_gb=10.9,
        weights="mask_rcnn_hrnetv2p_w40_2x_coco_20200512_163732-aed5e4ab.pth",
    ),
)

FAMILY = Family(
    folder="hrnet",
    title="HRNet",
    paper="https://arxiv.org/abs/1904.04514",
    entries=ENTRIES,
)
