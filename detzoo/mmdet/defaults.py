"""Parts that V2 adds where a configuration leaves them out: the defaults of its constructors.

Defaults that are plain values are in the adapters, where they are read. Both are held against the
signatures of MMDetection 2.28.2 by ``tests/mmdet/test_defaults.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Settings = Mapping[str, Any]


def _coder(*stds: float) -> Settings:
    return {
        "type": "DeltaXYWHBBoxCoder",
        "clip_border": True,
        "target_means": (0.0, 0.0, 0.0, 0.0),
        "target_stds": stds or (1.0, 1.0, 1.0, 1.0),
    }


def _entropy(uses_sigmoid: bool, weight: float = 1.0, **more: Any) -> Settings:
    return {
        "type": "CrossEntropyLoss",
        "use_sigmoid": uses_sigmoid,
        "loss_weight": weight,
        **more,
    }


def _smooth(beta: float, weight: float = 1.0) -> Settings:
    return {"type": "SmoothL1Loss", "beta": beta, "loss_weight": weight}


_FOCAL: Final = {
    "type": "FocalLoss",
    "use_sigmoid": True,
    "gamma": 2.0,
    "alpha": 0.25,
    "loss_weight": 1.0,
}
_IOU: Final = {"type": "IoULoss", "loss_weight": 1.0}
_ANCHORS: Final = {
    "type": "AnchorGenerator",
    "scales": (8, 16, 32),
    "ratios": (0.5, 1.0, 2.0),
    "strides": (4, 8, 16, 32, 64),
}
_OCTAVES: Final = {
    "type": "AnchorGenerator",
    "octave_base_scale": 4,
    "scales_per_octave": 3,
    "ratios": (0.5, 1.0, 2.0),
    "strides": (8, 16, 32, 64, 128),
}
# Heads on anchors, heads on points, and RoI heads share those of their base class.
_ON_ANCHORS: Final = {
    "anchor_generator": _ANCHORS,
    "bbox_coder": _coder(),
    "loss_cls": _entropy(True),
    "loss_bbox": _smooth(1.0 / 9.0),
}
_RETINA: Final = {**_ON_ANCHORS, "anchor_generator": _OCTAVES}
_ON_POINTS: Final = {"loss_cls": _FOCAL, "loss_bbox": _IOU}
_OF_REGIONS: Final = {
    "bbox_coder": _coder(0.1, 0.1, 0.2, 0.2),
    "loss_cls": _entropy(False),
    "loss_bbox": _smooth(1.0),
}
_CORNERS: Final = {
    "loss_heatmap": {"type": "GaussianFocalLoss", "alpha": 2.0, "gamma": 4.0, "loss_weight": 1},
    "loss_embedding": {
        "type": "AssociativeEmbeddingLoss",
        "pull_weight": 0.25,
        "push_weight": 0.25,
    },
    "loss_offset": _smooth(1.0, 1),
}
_SET: Final = {
    "loss_bbox": {"type": "L1Loss", "loss_weight": 5.0},
    "loss_iou": {"type": "GIoULoss", "loss_weight": 2.0},
    "positional_encoding": {"type": "SinePositionalEncoding", "num_feats": 128, "normalize": True},
}

# By V2 type and key.
DEFAULTS: Final[Mapping[str, Mapping[str, Settings]]] = {
    **dict.fromkeys(
        ("BBoxHead", "ConvFCBBoxHead", "Shared2FCBBoxHead", "Shared4Conv1FCBBoxHead"), _OF_REGIONS
    ),
    **dict.fromkeys(("ATSSHead", "GFLHead", "PAAHead", "RetinaSepBNHead", "YOLOFHead"), _ON_ANCHORS)
    | {"GFLHead": {key: part for key, part in _ON_ANCHORS.items() if key != "bbox_coder"}},
    **dict.fromkeys(("RetinaHead", "FSAFHead", "FreeAnchorRetinaHead"), _RETINA),
    **dict.fromkeys(("FCOSHead", "AutoAssignHead", "FoveaHead"), _ON_POINTS),
    **dict.fromkeys(("CornerHead", "CentripetalHead"), _CORNERS),
    **dict.fromkeys(("DETRHead", "DeformableDETRHead"), _SET),
    "RPNHead": _ON_ANCHORS,
    "RepPointsHead": {
        "loss_cls": _FOCAL,
        "loss_bbox_init": _smooth(1.0 / 9.0, 0.5),
        "loss_bbox_refine": _smooth(1.0 / 9.0),
    },
    "SABLHead": {
        "bbox_coder": {"type": "BucketingBBoxCoder", "num_buckets": 14, "scale_factor": 1.7},
        "loss_cls": _entropy(False),
        "loss_bbox_cls": _entropy(True),
        "loss_bbox_reg": _smooth(0.1),
    },
    "SABLRetinaHead": {
        "approx_anchor_generator": _OCTAVES,
        "square_anchor_generator": {
            "type": "AnchorGenerator",
            "ratios": (1.0,),
            "scales": (4,),
            "strides": (8, 16, 32, 64, 128),
        },
        "bbox_coder": {"type": "BucketingBBoxCoder", "num_buckets": 14, "scale_factor": 3.0},
        "loss_cls": _FOCAL,
        "loss_bbox_cls": _entropy(True, 1.5),
        "loss_bbox_reg": _smooth(1.0 / 9.0, 1.5),
    },
    "CenterNetHead": {
        "loss_center_heatmap": {"type": "GaussianFocalLoss", "loss_weight": 1.0},
        "loss_wh": {"type": "L1Loss", "loss_weight": 0.1},
        "loss_offset": {"type": "L1Loss", "loss_weight": 1.0},
    },
    "SSDHead": {
        "anchor_generator": {
            "type": "SSDAnchorGenerator",
            "scale_major": False,
            "input_size": 300,
            "strides": (8, 16, 32, 64, 100, 300),
            "ratios": ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
            "basesize_ratio_range": (0.1, 0.9),
        },
        "bbox_coder": _coder(),
    },
    "YOLOV3Head": {
        "anchor_generator": {
            "type": "YOLOAnchorGenerator",
            "base_sizes": (
                ((116, 90), (156, 198), (373, 326)),
                ((30, 61), (62, 45), (59, 119)),
                ((10, 13), (16, 30), (33, 23)),
            ),
            "strides": (32, 16, 8),
        },
        "bbox_coder": {"type": "YOLOBBoxCoder"},
        "loss_cls": _entropy(True),
        "loss_conf": _entropy(True),
        "loss_xy": _entropy(True),
        "loss_wh": {"type": "MSELoss", "loss_weight": 1.0},
    },
    "YOLOXHead": {
        "loss_cls": _entropy(True, reduction="sum"),
        "loss_obj": _entropy(True, reduction="sum"),
        "loss_bbox": {
            "type": "IoULoss",
            "mode": "square",
            "eps": 1e-16,
            "reduction": "sum",
            "loss_weight": 5.0,
        },
        "loss_l1": {"type": "L1Loss", "reduction": "sum", "loss_weight": 1.0},
    },
    "FCNMaskHead": {
        "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 1.0}
    },
}
