"""Configurations of MMDetection before 2.0: their models, where every part has an equal.

There, the background was the first class, anchors and coders were settings of heads, the heads of
regions stood beside the RPN, and boxes included their last pixel: V2's own legacy parts compute so
(``zoo/legacy.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

# Settings of heads that became parts of their own, anchors and coders.
_OF_HEADS: Final = ("anchor_scales", "anchor_ratios", "anchor_strides", "target_means")
# Parts of a two-stage detector that became those of its RoI head.
_OF_DETECTORS: Final = ("bbox_roi_extractor", "mask_roi_extractor", "shared_head")
# Detectors, and their RoI heads.
_DETECTORS: Final[Mapping[str, str | None]] = {
    "RPN": None,
    "RetinaNet": None,
    "ATSS": None,
    "SingleStageDetector": None,
    "FastRCNN": "StandardRoIHead",
    "FasterRCNN": "StandardRoIHead",
    "MaskRCNN": "StandardRoIHead",
    "CascadeRCNN": "CascadeRoIHead",
}
_DENSE_HEADS: Final = ("RPNHead", "RetinaHead", "SSDHead", "ATSSHead")
_BOX_HEADS: Final = ("SharedFCBBoxHead", "ConvFCBBoxHead", "BBoxHead")
REASON: Final = (
    "is that of MMDetection 1.x ({}), where the background was the first class and heads were laid "
    "out otherwise. Write it for 2.x (its documentation has a page on that), or give a model of "
    "the zoo (those whose names end in _v1 compute as 1.x did); weights of 1.x are read as they "
    "are, with --weights"
)
TO_TRAIN: Final = (
    "is that of MMDetection 1.x ({}), of which detecting is read, and not training; give a model "
    "of the zoo, with these weights (--weights)"
)


def sign_of_version1(model: Any, num_classes: int | None) -> str | None:
    """What shows that ``model`` is one of 1.x, None if nothing does.

    ``num_classes`` is the number of class names of the data, if known.
    """
    if not isinstance(model, Mapping):
        return None
    for key in _OF_DETECTORS:
        if key in model:
            return f"model.{key}"
    for path, head in _heads(model):
        for key in _OF_HEADS:
            if key in head:
                return f"{path}.{key}"
        given = head.get("num_classes")
        # Another number of classes is not unusual, but with weights beside the model itself it is.
        if num_classes is not None and given == num_classes + 1 and "pretrained" in model:
            return f"{path}.num_classes is {given}, for {num_classes} classes"
    return None


def _heads(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in ("rpn_head", "bbox_head"):
        value = model.get(key)
        heads = value if isinstance(value, list | tuple) else (value,)
        yield from ((f"model.{key}", head) for head in heads if isinstance(head, Mapping))


def as_version2(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """``model`` of 1.x in the words of 2.28.2, with its legacy parts.

    None where a detector or a head has no equal. Other parts have the names that they have in 2.x,
    and are read, or refused, as such.
    """
    new: dict[str, Any] = copy.deepcopy(dict(model))
    roi_head = _DETECTORS.get(str(new.get("type")))
    if new.get("type") not in _DETECTORS or not _backbone(new.get("backbone")):
        return None
    if "rpn_head" in new and not _dense_head(new["rpn_head"]):
        return None
    if roi_head is None:
        return new if "rpn_head" in new or _dense_head(new.get("bbox_head")) else None
    extractors = [new.get("bbox_roi_extractor"), new.get("mask_roi_extractor")]
    whole = all(_extractor(one) for one in extractors if one is not None)
    boxes = new.get("bbox_head")
    heads = boxes if isinstance(boxes, list | tuple) else [boxes]
    whole = whole and all(_box_head(head) for head in heads)
    if isinstance(boxes, list | tuple) != (roi_head == "CascadeRoIHead"):
        return None
    masks = new.get("mask_head")
    for head in masks if isinstance(masks, list | tuple) else [masks] if masks else []:
        whole = whole and _without_background(head) and head.get("type") == "FCNMaskHead"
    if not whole:
        return None
    keys = ("bbox_roi_extractor", "bbox_head", "mask_roi_extractor", "mask_head", "shared_head")
    parts = {key: new.pop(key) for key in (*keys, "num_stages") if new.get(key) is not None}
    if roi_head == "CascadeRoIHead":
        # Those of the losses of stages were settings of training.
        settings = new.get("train_cfg")
        weights = settings.pop("stage_loss_weights", None) if isinstance(settings, dict) else None
        parts["stage_loss_weights"] = weights or [1] * len(heads)
    return {**new, "roi_head": {"type": roi_head, **parts}}


def _without_background(head: Any) -> bool:
    """Takes the background from the number of classes; whether there is one."""
    if not isinstance(head, dict) or not isinstance(head.get("num_classes"), int):
        return False
    head["num_classes"] -= 1
    return True


def _backbone(backbone: Any) -> bool:
    if not isinstance(backbone, dict):
        return False
    dcn = backbone.get("dcn")
    if isinstance(dcn, dict) and "type" not in dcn:
        dcn["type"] = "DCNv2" if dcn.pop("modulated", False) else "DCN"
        if "deformable_groups" in dcn:
            dcn["deform_groups"] = dcn.pop("deformable_groups")
    return True


def _dense_head(head: Any) -> bool:
    """Writes the head in the words of 2.x; whether it has an equal there."""
    kind = head.get("type") if isinstance(head, dict) else None
    if kind not in _DENSE_HEADS or not any(key in head for key in _OF_HEADS):
        return False
    if kind != "RPNHead" and not _without_background(head):
        return False
    _coder(head)
    anchors: dict[str, Any] = {"type": "LegacyAnchorGenerator", "center_offset": 0.5}
    names = {"anchor_scales": "scales", "anchor_ratios": "ratios", "anchor_strides": "strides"}
    names |= {"anchor_base_sizes": "base_sizes"}
    if kind == "SSDHead":
        anchors = {"type": "LegacySSDAnchorGenerator", "scale_major": False}
        same = ("input_size", "basesize_ratio_range")
    else:
        same = ("octave_base_scale", "scales_per_octave")
    for old, new in (*names.items(), *((name, name) for name in same)):
        if head.get(old) is not None:
            anchors[new] = head.pop(old)
        head.pop(old, None)
    head["anchor_generator"] = anchors
    return True


def _coder(head: dict[str, Any]) -> None:
    coder = {"type": "LegacyDeltaXYWHBBoxCoder"}
    for key in ("target_means", "target_stds"):
        if key in head:
            coder[key] = head.pop(key)
    head["bbox_coder"] = coder


def _box_head(head: Any) -> bool:
    if not _without_background(head) or head.get("type") not in _BOX_HEADS:
        return False
    _coder(head)
    if head["type"] == "SharedFCBBoxHead":
        head["type"] = "Shared2FCBBoxHead"
        if head.pop("num_fcs", 2) != 2:
            return False
    return True


def _extractor(extractor: Any) -> bool:
    layer = extractor.get("roi_layer") if isinstance(extractor, dict) else None
    if not isinstance(layer, dict):
        return False
    if layer.get("type") == "RoIAlign":
        layer["aligned"] = False
    return True
