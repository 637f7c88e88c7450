"""RF-Next: receptive fields found by a search.

Each detector is there three times. A search starts from the plain one, and what it has trained when
it ends is the detector with fixed branches: MMDetection measured that one, and published its weights
with the configuration of the search. With a single branch, it was trained anew.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from detzoo.detectors.receptive_fields import ReceptiveFields
from detzoo.experiment import Experiment
from detzoo.optim.optimizers import AdamWConfig
from detzoo.zoo.cascade_rcnn import EPOCHS_20, cascade_mask_rcnn
from detzoo.zoo.convnext import TINY, cascade
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.hrnet import HRFPN, hrnet
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.panoptic_fpn import RES2NET_50, panoptic_fpn
from detzoo.zoo.pvt import pvt_v2
from detzoo.zoo.res2net import RES2NET
from detzoo.zoo.rfnext_dilations import published_dilations

Mode = Literal["search", "fixed_multi_branch", "fixed_single_branch"]


def rf_next(
    plain: Experiment,
    mode: Mode,
    *,
    found: str,
    search_until: int = 12,
    skip: tuple[str, ...] = (),
) -> Experiment:
    """``plain`` with a search, or with the dilations that the published one ``found``."""
    # The last step of a search is the one before it ends.
    dilations = published_dilations(f"{found}/local_search_config_step{search_until - 1}.json")
    assert dilations is not None
    fields = ReceptiveFields(
        dilations=() if mode == "search" else dilations,
        branches=1 if mode == "fixed_single_branch" else 2,
        skip=skip,
        search_until=search_until if mode == "search" else 0,
    )
    return dataclasses.replace(plain, receptive_fields=fields)


def convnext(mode: Mode) -> Experiment:
    return rf_next(cascade(TINY, num_layers=6), mode, found="convnext_cascade_maskrcnn")


def hrnet_w18(mode: Mode) -> Experiment:
    """As the weights are; MMDetection's files of this name build one of width 32."""
    plain = cascade_mask_rcnn(hrnet(18), neck=HRFPN, schedule=EPOCHS_20)
    return rf_next(plain, mode, found="cascade_mask_rcnn_hrnetv2p_w18_20e_coco")


def res2net(mode: Mode) -> Experiment:
    plain = cascade_mask_rcnn(RES2NET, schedule=EPOCHS_20)
    found = "cascade_mask_rcnn_r2_101_fpn_20e_coco"
    return rf_next(plain, mode, found=found, skip=("stem", "layer1"))


def pvt(mode: Mode) -> Experiment:
    backbone = pvt_v2(2, 2, 2, 2, channels_per_head=32)
    plain = mask_rcnn(backbone, optimizer=AdamWConfig(lr=2e-4))
    return rf_next(plain, mode, found="mask_rcnn_pvtv2-b0_fpn_1x_coco", search_until=11)


def panoptic(mode: Mode) -> Experiment:
    return rf_next(
        panoptic_fpn(RES2NET_50, precision="fp16"),
        mode,
        found="panoptic_fpn_r2_50_fpn_fp16_1x_coco",
        search_until=11,
        skip=("stem", "layer1"),
    )


_CONVNEXT = "cascade_mask_rcnn_convnext-t_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco"
_CONVNEXT_WEIGHTS = (
    "cascade_mask_rcnn_convnext_tiny_patch4_window7_mstrain_480-800_giou_4conv1f_adamw_3x_coco_in1k"
)


def _searched(name: str, hash_: str) -> str:
    """Weights of the end of a search, for the entry with fixed branches."""
    return f"rfnext/rfnext_search_{name}/rfnext_search_{name}-{hash_}.pth"


def _single(name: str, hash_: str) -> str:
    return f"rfnext/rfnext_fixed_single_branch_{name}/rfnext_fixed_single_branch_{name}-{hash_}.pth"


ENTRIES = (
    Entry(
        f"rfnext_fixed_multi_branch_{_CONVNEXT}",
        convnext("fixed_multi_branch"),
        box_ap=50.9,
        mask_ap=44.3,
        memory_gb=11.9,
        weights=_searched(_CONVNEXT_WEIGHTS, "f47db42b"),
    ),
    Entry(
        f"rfnext_fixed_single_branch_{_CONVNEXT}",
        convnext("fixed_single_branch"),
        box_ap=50.6,
        mask_ap=44.0,
        memory_gb=9.4,
        weights=_single(_CONVNEXT_WEIGHTS, "71aeb991"),
    ),
    Entry(f"rfnext_search_{_CONVNEXT}", convnext("search"), memory_gb=11.9),
    Entry(
        "rfnext_fixed_multi_branch_cascade_mask_rcnn_hrnetv2p_w18_20e_coco",
        hrnet_w18("fixed_multi_branch"),
        box_ap=43.7,
        mask_ap=38.2,
        memory_gb=12.9,
        weights=_searched("cascade_mask_rcnn_hrnetv2p_w18_20e_coco", "7b9c7885"),
    ),
    Entry(
        "rfnext_fixed_single_branch_cascade_mask_rcnn_hrnetv2p_w18_20e_coco",
        hrnet_w18("fixed_single_branch"),
        box_ap=43.0,
        mask_ap=37.6,
        memory_gb=8.4,
        weights=_single("cascade_mask_rcnn_hrnetv2p_w18_20e_coco", "682f121d"),
    ),
    Entry(
        "rfnext_search_cascade_mask_rcnn_hrnetv2p_w18_20e_coco",
        hrnet_w18("search"),
        memory_gb=12.9,
    ),
    Entry(
        "rfnext_fixed_multi_branch_cascade_mask_rcnn_r2_101_fpn_20e_coco",
        res2net("fixed_multi_branch"),
        box_ap=47.9,
        mask_ap=41.5,
        memory_gb=11.9,
        weights=_searched("cascade_mask_rcnn_r2_101_fpn_20e_coco", "e17510a0"),
    ),
    Entry(
        "rfnext_fixed_single_branch_cascade_mask_rcnn_r2_101_fpn_20e_coco",
        res2net("fixed_single_branch"),
        box_ap=46.9,
        mask_ap=40.7,
        memory_gb=9.3,
        weights=_single("cascade_mask_rcnn_r2_101_fpn_20e_coco", "e22d5257"),
    ),
    Entry("rfnext_search_cascade_mask_rcnn_r2_101_fpn_20e_coco", res2net("search"), memory_gb=11.9),
    Entry(
        "rfnext_fixed_multi_branch_mask_rcnn_pvtv2-b0_fpn_1x_coco",
        pvt("fixed_multi_branch"),
        box_ap=39.3,
        mask_ap=37.1,
        memory_gb=10.3,
        weights=_searched("mask_rcnn_pvtv2-b0_fpn_1x_coco", "dc8fd5de"),
    ),
    Entry(
        "rfnext_fixed_single_branch_mask_rcnn_pvtv2-b0_fpn_1x_coco",
        pvt("fixed_single_branch"),
        box_ap=38.9,
        mask_ap=36.8,
        memory_gb=8.3,
        weights=_single("mask_rcnn_pvtv2-b0_fpn_1x_coco", "7b25d72e"),
    ),
    Entry("rfnext_search_mask_rcnn_pvtv2-b0_fpn_1x_coco", pvt("search"), memory_gb=10.3),
    Entry(
        "rfnext_fixed_multi_branch_panoptic_fpn_r2_50_fpn_fp16_1x_coco",
        panoptic("fixed_multi_branch"),
        pq=44.3,
        memory_gb=4.3,
        weights=_searched("panoptic_fpn_r2_50_fpn_fp16_1x_coco", "34a893a0"),
    ),
    Entry(
        "rfnext_fixed_single_branch_panoptic_fpn_r2_50_fpn_fp16_1x_coco",
        panoptic("fixed_single_branch"),
        pq=44.0,
        memory_gb=3.5,
        weights=_single("panoptic_fpn_r2_50_fpn_fp16_1x_coco", "52181d5b"),
    ),
    Entry("rfnext_search_panoptic_fpn_r2_50_fpn_fp16_1x_coco", panoptic("search"), memory_gb=4.3),
)

FAMILY = Family(
    folder="rfnext",
    title="RF-Next",
    paper="https://arxiv.org/abs/2206.06637",
    entries=ENTRIES,
)
