"""One entry of the zoo for every family, and for the kinds of backbone that families vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A family, or a variant, by the ``entry`` that stands for it.

    ``settings`` are changes of the narrowed experiment, by path; ``lr`` is for ``batch`` images.
    """

    name: str
    entry: str
    head: str
    steps: int = 150
    lr: float | None = None
    batch: int = 4
    settings: Mapping[str, Any] = field(default_factory=dict)


ANCHORS = "dense, anchors"
POINTS = "dense, points"
BOXES = "regions"
MASKS = "regions, masks"
CASCADE = "cascade"
CASCADE_MASKS = "cascade, masks"
QUERIES = "queries"
QUERY_MASKS = "queries, masks"
CORNERS = "corners"
CENTERS = "heatmap"
GRID = "mask grid"
YOLO = "yolo"
# Heads whose recipes are long, 36 to 210 epochs of COCO instead of 12: in general, their curve is
# reported without a bar.
SLOW = {QUERIES, QUERY_MASKS, CORNERS, CENTERS}
# Heads whose boxes are those around their masks, which a stray pixel enlarges: in general, masks
# count alone, as in the recipes' own evaluations.
MASKS_ALONE = {GRID}

# These recipes leave anchors out of training that reach over the edge. In an image of 128 pixels no
# anchor of the coarse sizes lies inside: none would learn that it is background, and half of all
# proposals would be of these.
ALL_ANCHORS = {"model.rpn_head.border": None}
# Average precision is for one box per object; a proposal network keeps several.
ONE_PER_OBJECT = {"model.rpn_head.select.suppression.max_iou": 0.3}
# The location branch learns where no anchor belongs, as MMDetection trains it (see
# docs/architecture.md). By heart it knows that too well: it would leave out every object's center.
ALL_LOCATIONS = {"model.bbox_head.min_location_score": 0.0}
ALL_PROPOSED = {"model.rpn_head.min_location_score": 0.0}
# Blocks that start as their shortcuts begin to learn late (the loss of C4's RPN after 40 steps is
# .53, and .21 without). MMDetection's own recipes from scratch turn that off, too.
FROM_SCRATCH = {
    "model.backbone.zero_init": False,
    "model.roi_head.shared_stage.resnet.zero_init": False,
}
# Where every region costs much: half as many sampled, to stay in time.
FEW_REGIONS = {"model.roi_head.sampler.num": 32}
FEW_IN_STAGES = {f"model.roi_head.stages[{stage}].sampler.num": 32 for stage in range(3)}
# Default boxes and levels for images of 128 pixels instead of 300.
_SSD_SIZES = (24.0, 40.0, 56.0, 72.0, 88.0, 104.0, 128.0)
SSD300 = {
    "model.neck.strides": (2, 2, 2, 2),
    "model.neck.paddings": (1, 1, 1, 1),
    "model.bbox_head.priors.sizes": _SSD_SIZES,
    "model.bbox_head.priors.strides": (8, 16, 32, 64, 128, 128),
}
SSDLITE = {
    "model.bbox_head.priors.sizes": _SSD_SIZES,
    "model.bbox_head.priors.strides": (16, 32, 64, 128, 128, 128),
}
YOLACT = {
    "model.bbox_head.priors.image_size": 128,
    "model.bbox_head.priors.cells": (16, 8, 4, 2, 1),
    "model.bbox_head.priors.scales": (2.0,),
}
# Kernels that are predicted learn late with SGD: masks of .73 after as many steps.
SOLOV2 = {"optimizer": {"type": "AdamWConfig", "lr": 1e-3, "weight_decay": 1e-4}}
# For heads whose only map has 32 pixels per cell: images twice as large as the scenes.
_TWICE = ((256, 256),)
ENLARGED = {
    "data.train_transforms[0].sizes": _TWICE,
    "data.test_transforms[0].sizes": _TWICE,
}

# A mask of 32 cells per side has fewer pixels than the published number of points.
FEW_POINTS = {"model.panoptic_head.loss.points.count": 1024}

# The published recipe is only measured by its panoptic maps.
WITH_INSTANCES = {"model.panoptic_head.max_detections": 100}

# The published teacher is too wide for these students: theirs knows nothing.
UNTAUGHT = {"model.teacher_weights": None}

CASES: tuple[Case, ...] = (
    Case(
        "rpn",
        "rpn_r50_fpn_1x_coco",
        "proposals",
        settings=ALL_ANCHORS | ONE_PER_OBJECT,
        batch=8,
        steps=400,
    ),
    Case(
        "cascade_rpn",
        "crpn_faster_rcnn_r50_caffe_fpn_1x_coco",
        BOXES,
        steps=380,
        lr=0.006,
        settings={"max_gradient_norm": 10.0},
    ),
    Case("faster_rcnn", "faster_rcnn_r50_fpn_1x_coco", BOXES),
    Case("mask_rcnn", "mask_rcnn_r50_fpn_1x_coco", MASKS, steps=200),
    Case("retinanet", "retinanet_r50_fpn_1x_coco", ANCHORS, lr=0.04, batch=8, steps=320),
    Case("cascade_rcnn", "cascade_mask_rcnn_r50_fpn_1x_coco", CASCADE_MASKS, steps=240),
    Case("libra_rcnn", "libra_faster_rcnn_r50_fpn_1x_coco", BOXES),
    Case("fcos", "fcos_r50_caffe_fpn_gn-head_1x_coco", POINTS, batch=8, steps=240),
    Case(
        "guided_anchoring",
        "ga_retinanet_r50_fpn_1x_coco",
        ANCHORS,
        lr=0.01,
        batch=8,
        steps=320,
        settings=ALL_LOCATIONS,
    ),
    Case("panoptic_fpn", "panoptic_fpn_r50_fpn_1x_coco", MASKS, steps=240),
    Case("htc", "htc_r50_fpn_1x_coco", CASCADE_MASKS, steps=240),
    Case("scnet", "scnet_r50_fpn_1x_coco", CASCADE_MASKS, steps=240, settings=FEW_IN_STAGES),
    Case("nas_fpn", "retinanet_r50_nasfpn_crop640_50e_coco", ANCHORS, batch=8, steps=240),
    Case("atss", "atss_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("gfl", "gfl_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case(
        "ld",
        "ld_r18_gflv1_r101_fpn_coco_1x",
        ANCHORS,
        batch=8,
        steps=240,
        settings=UNTAUGHT | {"model.bbox_head.distillation_loss.weight": 0.02},
    ),
    Case("lad", "lad_r50_paa_r101_fpn_coco_1x", ANCHORS, batch=8, steps=240, settings=UNTAUGHT),
    Case("vfnet", "vfnet_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("tood", "tood_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("ddod", "ddod_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("detr", "detr_r50_8x2_150e_coco", QUERIES, steps=400, lr=1e-3, batch=8),
    Case(
        "deformable_detr",
        "deformable_detr_twostage_refine_r50_16x2_50e_coco",
        QUERIES,
        steps=300,
        lr=1e-3,
    ),
    Case("sabl", "sabl_faster_rcnn_r50_fpn_1x_coco", BOXES),
    Case("fast_rcnn", "fast_rcnn_r50_fpn_1x_coco", BOXES),
    Case(
        "seesaw_loss",
        "mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1",
        MASKS,
        steps=240,
    ),
    Case("double_heads", "dh_faster_rcnn_r50_fpn_1x_coco", BOXES, settings=FEW_REGIONS),
    Case(
        "yolact",
        "yolact_r50_1x8_coco",
        "dense, masks",
        lr=0.005,
        batch=8,
        steps=320,
        settings=YOLACT,
    ),
    Case("pisa", "pisa_faster_rcnn_r50_fpn_1x_coco", BOXES),
    Case("pisa_ssd", "pisa_ssd300_coco", ANCHORS, lr=2e-3, settings=SSD300, batch=8, steps=240),
    Case("pisa_retinanet", "pisa_retinanet_r50_fpn_1x_coco", ANCHORS, lr=0.04, batch=8, steps=320),
    Case(
        "dyhead",
        "atss_r50_fpn_dyhead_1x_coco",
        ANCHORS,
        batch=8,
        steps=160,
        settings={"model.neck.necks[1].num_blocks": 2},
    ),
    Case("paa", "paa_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("queryinst", "queryinst_r50_fpn_1x_coco", QUERY_MASKS, steps=240, lr=1e-3),
    Case(
        "mask2former",
        "mask2former_r50_lsj_8x2_50e_coco",
        QUERY_MASKS,
        steps=240,
        lr=1e-3,
        settings=FEW_POINTS,
    ),
    Case(
        "maskformer",
        "maskformer_r50_mstrain_16x1_75e_coco",
        QUERY_MASKS,
        steps=400,
        lr=1e-3,
        settings=WITH_INSTANCES,
    ),
    Case("sparse_rcnn", "sparse_rcnn_r50_fpn_1x_coco", QUERIES, steps=240, lr=1e-3),
    Case(
        "ssd",
        "ssdlite_mobilenetv2_scratch_600e_coco",
        ANCHORS,
        settings=SSDLITE,
        batch=8,
        steps=240,
    ),
    Case("yolo", "yolov3_d53_mstrain-416_273e_coco", YOLO, batch=8, steps=240),
    Case("yolox", "yolox_s_8x8_300e_coco", YOLO, batch=8, steps=400),
    Case("centernet", "centernet_resnet18_dcnv2_140e_coco", CENTERS, lr=0.005, batch=8, steps=300),
    Case("cornernet", "cornernet_hourglass104_mstest_8x6_210e_coco", CORNERS, lr=2e-3),
    Case(
        "centripetalnet",
        "centripetalnet_hourglass104_mstest_16x6_210e_coco",
        CORNERS,
        lr=2e-3,
        steps=200,
    ),
    Case("wider_face", "ssd300_wider_face", ANCHORS, lr=2e-3, settings=SSD300, batch=8, steps=240),
    Case("ghm", "retinanet_ghm_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("free_anchor", "retinanet_free_anchor_r50_fpn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("ms_rcnn", "ms_rcnn_r50_fpn_1x_coco", MASKS, steps=300),
    Case(
        "nas_fcos",
        "nas_fcos_nashead_r50_caffe_fpn_gn-head_4x4_1x_coco",
        POINTS,
        lr=0.02,
        steps=200,
    ),
    Case("fsaf", "fsaf_r50_fpn_1x_coco", POINTS, batch=8, steps=240),
    Case("solo", "solo_r50_fpn_1x_coco", GRID, lr=0.05, steps=640),
    Case("solov2", "solov2_light_r18_fpn_3x_coco", GRID, steps=320, settings=SOLOV2),
    Case("foveabox", "fovea_align_r50_fpn_gn-head_4x4_2x_coco", POINTS, batch=8, steps=240),
    Case("grid_rcnn", "grid_rcnn_r50_fpn_gn-head_2x_coco", BOXES),
    Case("carafe", "mask_rcnn_r50_fpn_carafe_1x_coco", MASKS),
    Case("dynamic_rcnn", "dynamic_rcnn_r50_fpn_1x_coco", BOXES),
    Case("groie", "mask_rcnn_r50_fpn_groie_1x_coco", MASKS, steps=240, settings=FEW_REGIONS),
    Case(
        "yolof", "yolof_r50_c5_8x8_1x_coco", ANCHORS, lr=0.01, batch=8, steps=250, settings=ENLARGED
    ),
    Case(
        "detectors",
        "detectors_htc_r50_1x_coco",
        CASCADE_MASKS,
        steps=210,
        settings=ALL_ANCHORS | FEW_IN_STAGES,
    ),
    Case("point_rend", "point_rend_r50_caffe_fpn_mstrain_1x_coco", MASKS),
    Case("dcn", "faster_rcnn_r50_fpn_dconv_c3-c5_1x_coco", BOXES),
    Case("dcnv2", "faster_rcnn_r50_fpn_mdpool_1x_coco", BOXES),
    Case("empirical_attention", "faster_rcnn_r50_fpn_attention_1111_1x_coco", BOXES),
    Case("resnet_strikes_back", "faster_rcnn_r50_fpn_rsb-pretrain_1x_coco", BOXES, lr=1e-3),
    Case("selfsup_pretrain", "mask_rcnn_r50_fpn_mocov2-pretrain_1x_coco", MASKS, steps=200),
    Case("gcnet", "mask_rcnn_r50_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco", MASKS),
    Case("gn", "mask_rcnn_r50_fpn_gn-all_2x_coco", MASKS, steps=320),
    Case("gn+ws", "mask_rcnn_r50_fpn_gn_ws-all_2x_coco", MASKS, steps=480),
    Case("scratch", "faster_rcnn_r50_fpn_gn-all_scratch_6x_coco", BOXES),
    Case("hrnet", "faster_rcnn_hrnetv2p_w18_1x_coco", BOXES),
    Case("regnet", "retinanet_regnetx-800MF_fpn_1x_coco", ANCHORS, lr=0.01, batch=8, steps=320),
    Case("res2net", "faster_rcnn_r2_101_fpn_2x_coco", BOXES),
    Case("resnest", "faster_rcnn_s50_fpn_syncbn-backbone+head_mstrain-range_1x_coco", BOXES),
    Case(
        "rfnext",
        "rfnext_search_mask_rcnn_pvtv2-b0_fpn_1x_coco",
        MASKS,
        lr=1e-3,
        batch=8,
        steps=240,
    ),
    Case("pvt", "retinanet_pvt-t_fpn_1x_coco", ANCHORS, lr=1e-3, batch=8, steps=240),
    Case(
        "fpg",
        "retinanet_r50_fpg-chn128_crop640_50e_coco",
        ANCHORS,
        lr=0.02,
        batch=8,
        steps=240,
        settings={"model.neck.num_pathways": 5},
    ),
    Case("pafpn", "faster_rcnn_r50_pafpn_1x_coco", BOXES),
    Case("swin", "mask_rcnn_swin-t-p4-w7_fpn_1x_coco", MASKS, lr=1e-3),
    Case("convnext", "mask_rcnn_convnext-t_p4_w7_fpn_fp16_ms-crop_3x_coco", MASKS, lr=1e-3),
    Case(
        "efficientnet",
        "retinanet_effb3_fpn_crop896_8x4_1x_coco",
        ANCHORS,
        batch=8,
        steps=320,
        settings={"model.backbone.inner.norm.momentum": 0.1},
    ),
    Case(
        "timm_example",
        "retinanet_timm_tv_resnet50_fpn_1x_coco",
        ANCHORS,
        lr=0.02,
        batch=8,
        steps=320,
        settings={"model.backbone.model": "resnet10t"},
    ),
    Case("albu_example", "mask_rcnn_r50_fpn_albu_1x_coco", MASKS, steps=320),
    Case("reppoints", "reppoints_moment_r50_fpn_gn-neck+head_1x_coco", POINTS, batch=8, steps=240),
    Case("autoassign", "autoassign_r50_fpn_8x2_1x_coco", POINTS, batch=8, steps=240),
    Case("instaboost", "mask_rcnn_r50_fpn_instaboost_4x_coco", MASKS, steps=240),
    Case("pascal_voc", "retinanet_r50_fpn_1x_voc0712", ANCHORS, lr=0.04, batch=8, steps=320),
    Case("cityscapes", "mask_rcnn_r50_fpn_1x_cityscapes", MASKS, steps=240),
    Case("lvis", "mask_rcnn_r50_fpn_sample1e-3_mstrain_1x_lvis_v1", MASKS, steps=240),
    Case("objects365", "faster_rcnn_r50_fpn_16x4_1x_obj365v1", BOXES, lr=0.05, steps=320),
    Case(
        "openimages",
        "faster_rcnn_r50_fpn_32x2_cas_1x_openimages",
        BOXES,
        lr=0.05,
        steps=320,
        settings={"data.balance_classes": True},
    ),
    Case("deepfashion", "mask_rcnn_r50_fpn_15e_deepfashion", MASKS, steps=240),
    Case("legacy_1.x", "faster_rcnn_r50_fpn_1x_coco_v1", BOXES),
    Case(
        "tridentnet",
        "tridentnet_r50_caffe_1x_coco",
        BOXES,
        lr=0.03,
        batch=2,
        steps=500,
        settings=FROM_SCRATCH | {"model.roi_head.sampler.num": 16},
    ),
    Case(
        "strong_baselines",
        "mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_lsj_100e_coco",
        MASKS,
        steps=240,
        lr=0.05,
    ),
    Case(
        "simple_copy_paste",
        "mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_scp_32x2_90k_coco",
        MASKS,
        steps=240,
        lr=0.05,
    ),
    Case("light", "mask_rcnn_mobilenetv2_fpn", MASKS, lr=1e-3),
    # Beside the one of their family: other backbones, necks and heads.
    Case(
        "c4",
        "mask_rcnn_r50_caffe_c4_1x_coco",
        MASKS,
        lr=0.05,
        steps=480,
        settings=ALL_ANCHORS | FEW_REGIONS | FROM_SCRATCH,
    ),
    Case("dc5", "faster_rcnn_r50_caffe_dc5_1x_coco", BOXES, settings=ALL_ANCHORS),
    Case("pvtv2", "retinanet_pvtv2-b0_fpn_1x_coco", ANCHORS, lr=1e-3, batch=8, steps=240),
    Case("yolo_mobilenet", "yolov3_mobilenetv2_mstrain-416_300e_coco", YOLO, batch=8, steps=240),
    Case("decoupled_solo", "decoupled_solo_r50_fpn_1x_coco", GRID, lr=0.05, steps=640),
    Case(
        "ga_faster_rcnn",
        "ga_faster_r50_fpn_1x_coco",
        BOXES,
        lr=0.005,
        steps=240,
        settings=ALL_PROPOSED,
    ),
    Case("sabl_retinanet", "sabl_retinanet_r50_fpn_gn_1x_coco", ANCHORS, batch=8, steps=240),
    Case("deformable_pooling", "faster_rcnn_r50_fpn_dpool_1x_coco", BOXES),
)
