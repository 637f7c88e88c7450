"""Which adapter reads which V2 type, by the kind of part. Looked up by ``Node.adapt``."""

from __future__ import annotations

from detzoo.mmdet.adapters import (
    backbones,
    datasets,
    dense_heads,
    detectors,
    guided_heads,
    layers,
    necks,
    pipelines,
    recipe,
    roi_heads,
    single_stage_roi_heads,
    training,
)
from detzoo.mmdet.node import Tables

TABLES: Tables = {
    "detector": {
        "FasterRCNN": detectors.two_stage,
        "GridRCNN": detectors.two_stage,
        "MaskRCNN": detectors.two_stage,
        "MaskScoringRCNN": detectors.two_stage,
        "PointRend": detectors.two_stage,
        "RPN": detectors.proposal_only,
        "RetinaNet": detectors.single_stage,
    },
    "backbone": {
        "MobileNetV2": backbones.mobilenet_v2,
        "ResNeXt": backbones.resnext,
        "ResNet": backbones.resnet,
    },
    "neck": {
        "BFP": necks.bfp,
        "FPN": necks.fpn,
        "NASFPN": necks.nas_fpn,
    },
    "dense_head": {
        "GARetinaHead": guided_heads.guided_retina_head,
        "RetinaHead": dense_heads.retina_head,
        "RetinaSepBNHead": dense_heads.retina_sep_norm_head,
        "SABLRetinaHead": guided_heads.sabl_retina_head,
    },
    "proposal_head": {
        "GARPNHead": guided_heads.guided_rpn_head,
        "RPNHead": dense_heads.rpn_head,
    },
    "roi_head": {
        "GridRoIHead": single_stage_roi_heads.grid_roi_head,
        "MaskScoringRoIHead": single_stage_roi_heads.mask_scoring_roi_head,
        "PointRendRoIHead": single_stage_roi_heads.point_rend_roi_head,
        "StandardRoIHead": roi_heads.standard_roi_head,
    },
    "roi_extractor": {
        "SingleRoIExtractor": roi_heads.roi_extractor,
    },
    "shared_head": {
        "ResLayer": roi_heads.shared_stage,
    },
    "box_head": {
        "BBoxHead": roi_heads.box_head,
        "SABLHead": single_stage_roi_heads.sabl_head,
        "Shared2FCBBoxHead": roi_heads.shared_fcs_box_head,
        "Shared4Conv1FCBBoxHead": roi_heads.shared_convs_box_head,
    },
    "mask_head": {
        "FCNMaskHead": roi_heads.mask_head,
    },
    "norm": {
        "BN": layers.batch_norm,
        "GN": layers.group_norm,
        "SyncBN": layers.synchronized_batch_norm,
    },
    "convolution": {
        "Conv2d": layers.plain_convolution,
        "ConvWS": layers.weight_standardized,
        "DCN": layers.deformable,
        "DCNv2": layers.deformable,
    },
    "activation": {
        "LeakyReLU": layers.leaky_relu,
        "ReLU": layers.relu,
        "ReLU6": layers.relu6,
        "SiLU": layers.silu,
        "Swish": layers.silu,
    },
    "priors": {
        "AnchorGenerator": training.anchors,
    },
    "coder": {
        "BucketingBBoxCoder": training.bucket_coder,
        "DeltaXYWHBBoxCoder": training.delta_coder,
    },
    "assigner": {
        "MaxIoUAssigner": training.max_iou_assigner,
    },
    "sampler": {
        "CombinedSampler": training.balanced_sampler,
        "OHEMSampler": training.ohem_sampler,
        "PseudoSampler": training.no_sampler,
        "RandomSampler": training.random_sampler,
    },
    "classification_loss": {
        "CrossEntropyLoss": training.cross_entropy,
        "FocalLoss": training.focal_loss,
    },
    "box_loss": {
        "BalancedL1Loss": training.balanced_l1_loss,
        "BoundedIoULoss": training.bounded_iou_loss,
        "CIoULoss": training.ciou_loss,
        "GIoULoss": training.giou_loss,
        "IoULoss": training.iou_loss,
        "L1Loss": training.l1_loss,
        "SmoothL1Loss": training.smooth_l1_loss,
    },
    "nms": {
        "nms": training.nms,
        "soft_nms": training.soft_nms,
    },
    "dataset": {
        "CityscapesDataset": datasets.cityscapes,
        "ClassBalancedDataset": datasets.class_balanced,
        "CocoDataset": datasets.coco,
        "LVISV1Dataset": datasets.lvis,
        "RepeatDataset": datasets.repeated,
        "VOCDataset": datasets.voc,
        "WIDERFaceDataset": datasets.wider_face,
    },
    "transform": {
        "Collect": pipelines.collect,
        "DefaultFormatBundle": pipelines.format_bundle,
        "Expand": pipelines.expand,
        "ImageToTensor": pipelines.image_to_tensor,
        "InstaBoost": pipelines.instaboost,
        "LoadAnnotations": pipelines.load_annotations,
        "LoadImageFromFile": pipelines.load_image,
        "LoadProposals": pipelines.load_proposals,
        "MinIoURandomCrop": pipelines.min_iou_crop,
        "MultiScaleFlipAug": pipelines.test_views,
        "Normalize": pipelines.normalize,
        "Pad": pipelines.pad,
        "PhotoMetricDistortion": pipelines.photometric_distortion,
        "RandomCrop": pipelines.crop,
        "RandomFlip": pipelines.flip,
        "Resize": pipelines.resize,
        "SegRescale": pipelines.shrink_semantic_map,
        "ToDataContainer": pipelines.to_container,
        "ToTensor": pipelines.to_tensor,
    },
    "optimizer": {
        "AdamW": recipe.adamw,
        "SGD": recipe.sgd,
    },
    "schedule": {
        "cosineannealing": recipe.cosine,
        "poly": recipe.poly,
        "step": recipe.step,
    },
    "hook": {},
}
