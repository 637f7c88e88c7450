"""The names in the zoo without importing it, from the generated ``models.json``, and those to begin
with."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detzoo.errors import UserError

Row = dict[str, Any]
FILE = Path(__file__).parent / "zoo" / "models.json"

# Those to choose from at first, by purpose: of docs/choose_model.md, and of `detzoo models`.
CHOICE = {
    "Small, for CPUs and other small machines": (
        "retinanet_mobilenetv2_fpn",
        "mask_rcnn_mobilenetv2_fpn",
        "ssdlite_mobilenetv2_scratch_600e_coco",
        "yolox_nano_8x8_300e_coco",
        "yolox_tiny_8x8_300e_coco",
        "yolox_s_8x8_300e_coco",
    ),
    "Boxes": (
        "faster_rcnn_r50_fpn_1x_coco",
        "retinanet_r50_fpn_1x_coco",
        "fcos_r50_caffe_fpn_gn-head_1x_coco",
        "atss_r50_fpn_1x_coco",
        "gfl_r50_fpn_mstrain_2x_coco",
        "tood_r50_fpn_mstrain_2x_coco",
        "yolox_l_8x8_300e_coco",
        "cascade_rcnn_r101_fpn_20e_coco",
        "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
        "detectors_cascade_rcnn_r50_1x_coco",
    ),
    "Boxes, without NMS": (
        "detr_r50_8x2_150e_coco",
        "deformable_detr_twostage_refine_r50_16x2_50e_coco",
        "sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
    ),
    "Masks": (
        "mask_rcnn_r50_fpn_1x_coco",
        "mask_rcnn_r50_fpn_mstrain-poly_3x_coco",
        "cascade_mask_rcnn_r50_fpn_mstrain_3x_coco",
        "mask_rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco",
        "solov2_r50_fpn_3x_coco",
        "yolact_r50_1x8_coco",
        "htc_x101_64x4d_fpn_16x1_20e_coco",
        "queryinst_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
    ),
}


@functools.cache
def zoo_rows() -> dict[str, Row]:
    """The listed facts of each entry, by name."""
    return {row["name"]: row for row in json.loads(FILE.read_text(encoding="utf-8"))}


def unknown_name(name: str, known: Iterable[str]) -> UserError:
    """Returns an error that suggests the closest of the ``known`` names."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    hint = f"the closest names are {', '.join(near)}" if near else "no name is similar"
    return UserError(f"no model is called {name!r}: {hint}. `detzoo models --all` lists them.")
