"""What releases of MMDetection before 2.28.2 called otherwise, in the words of that one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def modernized(sections: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The ``sections`` of ``config`` with older spellings in the words of 2.28.2."""
    changed = copy.deepcopy(dict(sections))
    model = changed.get("model")
    if isinstance(model, dict):
        # Until 2.4 both stood beside the model.
        for key in ("train_cfg", "test_cfg"):
            if key in config and model.get(key) is None:
                model[key] = copy.deepcopy(config[key])
        _drop_copied_settings(model)
        # As is that of a model which was stripped for inference.
        if model.get("train_cfg") is None and "type" in model:
            model["train_cfg"] = _any_train_cfg(model)
        backbone = model.get("backbone")
        if "pretrained" in model and isinstance(backbone, dict):
            backbone["pretrained"] = model.pop("pretrained")
        _ssd(model)
        _detr(model)
        _swin(backbone)
    return changed


def _any_train_cfg(model: Mapping[str, Any]) -> dict[str, Any]:
    """In the form that a model needs which was stripped for inference."""
    roi_head, test = model.get("roi_head"), model.get("test_cfg")
    if "rpn_head" not in model:
        return {}
    rpn = test.get("rpn") if isinstance(test, Mapping) else None
    stages = roi_head.get("num_stages") if isinstance(roi_head, Mapping) else None
    rcnn: Any = {} if stages is None else [{} for _ in range(stages)]
    return {"rpn": {}, "rpn_proposal": copy.deepcopy(rpn), "rcnn": rcnn}


def _drop_copied_settings(model: dict[str, Any]) -> None:
    """V2 copies the settings of a head into it when it builds one; checkpoints keep the copy."""
    for part in ("bbox_head", "roi_head", "mask_head"):
        head = model.get(part)
        if not isinstance(head, dict):
            continue
        for key in ("train_cfg", "test_cfg"):
            settings = model.get(key)
            copied = (settings, settings.get("rcnn") if isinstance(settings, dict) else None)
            if key in head and (head[key] is None or head[key] in copied):
                del head[key]
        if part == "roi_head" and head.get("pretrained", "") is None:
            del head["pretrained"]


# SSD's levels beyond the backbone's by the size of its images: channels, strides, paddings, and the
# size of the last kernel.
_SSD_LEVELS: Mapping[int, tuple[Any, ...]] = {
    300: ((512, 1024, 512, 256, 256, 256), (2, 2, 1, 1), (1, 1, 0, 0), 3),
    512: ((512, 1024, 512, 256, 256, 256, 256), (2, 2, 2, 2, 1), (1, 1, 1, 1, 1), 4),
}


def _ssd(model: dict[str, Any]) -> None:
    """Until 2.13, SSD's backbone made the levels that are its neck's."""
    backbone = model.get("backbone")
    if not isinstance(backbone, dict) or backbone.get("type") != "SSDVGG" or model.get("neck"):
        return
    levels = _SSD_LEVELS.get(backbone.get("input_size", 0))
    if levels is not None:
        del backbone["input_size"]
        channels, strides, paddings, last = levels
        model["neck"] = {
            "type": "SSDNeck",
            "in_channels": (512, 1024),
            "out_channels": channels,
            "level_strides": strides,
            "level_paddings": paddings,
            "last_kernel_size": last,
            "l2_norm_scale": backbone.pop("l2_norm_scale", 20.0),
        }


# What the authors of Swin Transformers call it in their fork of 2.11.
_SWIN = {"embed_dim": "embed_dims", "ape": "use_abs_pos_embed", "use_checkpoint": "with_cp"}


def _swin(backbone: Any) -> None:
    if not isinstance(backbone, dict) or backbone.get("type") != "SwinTransformer":
        return
    if _SWIN.keys() & backbone.keys():
        backbone.setdefault("drop_path_rate", 0.2)  # theirs
    for old, new in _SWIN.items():
        if old in backbone and new not in backbone:
            backbone[new] = backbone.pop(old)


def _detr(model: dict[str, Any]) -> None:
    """DETR's head, transformer and costs before they were put together from parts."""
    head = model.get("bbox_head")
    if model.get("type") != "DETR" or not isinstance(head, dict):
        return
    if head.get("type") == "TransformerHead":  # until 2.7
        head["type"] = "DETRHead"
        if "num_fcs" in head:
            head["num_reg_fcs"] = head.pop("num_fcs")
    transformer = head.get("transformer")
    if isinstance(transformer, dict) and "num_encoder_layers" in transformer:  # until 2.9
        head["transformer"] = _transformer(transformer)
    train = model.get("train_cfg")
    assigner = train.get("assigner") if isinstance(train, dict) else None
    if isinstance(assigner, dict) and "cls_weight" in assigner:  # until 2.5
        assigner.pop("iou_calculator", None)
        box = {"type": "BBoxL1Cost", "weight": assigner.pop("bbox_weight", 1.0)}
        mode, weight = assigner.pop("iou_mode", "giou"), assigner.pop("iou_weight", 1.0)
        assigner["cls_cost"] = {"type": "ClassificationCost", "weight": assigner.pop("cls_weight")}
        assigner["reg_cost"] = {**box, "box_format": "xywh"}
        assigner["iou_cost"] = {"type": "IoUCost", "iou_mode": mode, "weight": weight}


def _transformer(old: dict[str, Any]) -> dict[str, Any]:
    """``old`` in parts; what is not understood stays in it, and is reported."""
    taken = dict(old)
    dropout = taken.pop("dropout", 0.0)
    attention = {
        "type": "MultiheadAttention",
        "embed_dims": taken.pop("embed_dims", 512),
        "num_heads": taken.pop("num_heads", 8),
        "dropout": dropout,
    }
    layer = {
        "type": "BaseTransformerLayer",
        "attn_cfgs": attention,
        "feedforward_channels": taken.pop("feedforward_channels", 2048),
        "ffn_dropout": dropout,
    }
    order = ("self_attn", "norm", "cross_attn", "norm", "ffn", "norm")
    encoder = {
        "type": "DetrTransformerEncoder",
        "num_layers": taken.pop("num_encoder_layers", 6),
        "transformerlayers": {**layer, "operation_order": ("self_attn", "norm", "ffn", "norm")},
    }
    decoder = {
        "type": "DetrTransformerDecoder",
        "num_layers": taken.pop("num_decoder_layers", 6),
        "return_intermediate": taken.pop("return_intermediate_dec", False),
        "transformerlayers": {
            **layer,
            "type": "DetrTransformerDecoderLayer",
            "operation_order": order,
        },
    }
    usual = {"num_fcs": 2, "pre_norm": False, "norm_cfg": {"type": "LN"}}
    for key, value in usual.items():
        if taken.get(key) == value:
            del taken[key]
    activation = taken.get("act_cfg")
    if isinstance(activation, Mapping) and activation.get("type") == "ReLU":
        del taken["act_cfg"]
    return {**taken, "encoder": encoder, "decoder": decoder}
