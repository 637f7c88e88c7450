"""Detectors that MMDetection 3.x puts together otherwise, in the parts of 2.28.2.

What is not understood stays in place, and is reported by the adapters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor

Settings = dict[str, Any]


def rebuild(model: Settings) -> None:
    """Changes ``model`` to what 2.28.2 calls the same."""
    change = _CHANGES.get(str(model.get("type")))
    if change is not None and isinstance(model.get("bbox_head"), dict):
        change(model)
    stages = _stages_of_proposals(model)
    for stage in stages:
        stage.setdefault("sampling", stage is stages[-1])


def _stages_of_proposals(model: Settings) -> list[Settings]:
    """Those of a cascade RPN, of which 3.x knows that only the last one samples."""
    rpn = model.get("rpn_head")
    stages = rpn.get("stages") if isinstance(rpn, dict) else None
    return [one for one in stages if isinstance(one, dict)] if isinstance(stages, list) else []


def _centernet(model: Settings) -> None:
    for part in (model.get("neck"), model["bbox_head"]):
        for key in ("in_channels", "feat_channels"):
            if isinstance(part, dict) and key in part:
                part[key.removesuffix("s")] = part.pop(key)


def _yolact(model: Settings) -> None:
    """The semantic branch has become a part of the masks'."""
    masks = model.get("mask_head")
    if isinstance(masks, dict) and masks.pop("with_seg_branch", True):
        loss = masks.pop("loss_segm", {"type": "CrossEntropyLoss", "use_sigmoid": True})
        width = {key: masks[key] for key in ("num_classes", "in_channels") if key in masks}
        model["segm_head"] = {"type": "YOLACTSegmHead", **width, "loss_segm": loss}
    test = model.get("test_cfg")
    if isinstance(test, dict):  # where V2 has it written into its code
        for key in ("mask_thr", "mask_thr_binary"):
            if test.get(key) == 0.5:
                del test[key]


def _detr(model: Settings) -> None:
    """The transformer has become a part of the detector, and the projection before it a neck."""
    neck, head = model.get("neck"), model["bbox_head"]
    if isinstance(neck, dict) and neck.get("norm_cfg", "") is None:
        del model["neck"]
        head["in_channels"] = (neck.get("in_channels") or [2048])[-1]
    _move_transformer(model, "Transformer", "DetrTransformerDecoder", "MultiheadAttention")


def _deformable_detr(model: Settings) -> None:
    head = model["bbox_head"]
    kind = "MultiScaleDeformableAttention"
    _move_transformer(model, "DeformableDetrTransformer", "DeformableDetrTransformerDecoder", kind)
    transformer = head["transformer"]
    if "num_feature_levels" in model:
        transformer["num_feature_levels"] = model.pop("num_feature_levels")
    for key in ("as_two_stage", "with_box_refine"):
        if key in model:
            head[key] = model.pop(key)
    if head.get("as_two_stage"):
        transformer["as_two_stage"] = True
        transformer["two_stage_num_proposals"] = head.get("num_query", 100)


def _move_transformer(model: Settings, kind: str, decoder: str, attention: str) -> None:
    head = model["bbox_head"]
    head.pop("embed_dims", None)
    if "num_queries" in model:
        head["num_query"] = model.pop("num_queries")
    if isinstance(model.get("positional_encoding"), dict):
        places = model.pop("positional_encoding")
        head["positional_encoding"] = {"type": "SinePositionalEncoding", **places}
    stacks = {}
    for name, own in (("encoder", "DetrTransformerEncoder"), ("decoder", decoder)):
        stack = model.pop(name, None)
        if isinstance(stack, dict):
            stacks[name] = _stack(stack, own, attention)
    head["transformer"] = {"type": kind, **stacks}


def _stack(stack: Settings, kind: str, attention: str) -> Settings:
    """An encoder or a decoder: equal layers, each of attentions and a feed-forward step."""
    layer = stack.pop("layer_cfg", {})
    feed = dict(layer.pop("ffn_cfg", {}))
    has_both = "cross_attn_cfg" in layer
    kinds = ("MultiheadAttention", attention) if has_both else (attention,)
    attentions = []
    for key, own in zip(("self_attn_cfg", "cross_attn_cfg"), kinds):
        settings = dict(layer.pop(key, {}))
        settings.pop("batch_first", None)  # how tensors are laid out
        attentions.append({"type": own, **settings})
    steps = ("self_attn", "norm", "cross_attn", "norm") if has_both else ("self_attn", "norm")
    transformer_layer = {
        "type": "DetrTransformerDecoderLayer" if has_both else "BaseTransformerLayer",
        "attn_cfgs": attentions,
        "feedforward_channels": feed.pop("feedforward_channels", 1024),
        "ffn_dropout": feed.pop("ffn_drop", 0.0),
        "operation_order": (*steps, "ffn", "norm"),
        **layer,
    }
    width = attentions[0].get("embed_dims", 256)
    usual = {"embed_dims": width, "num_fcs": 2, "act_cfg": {"type": "ReLU", "inplace": True}}
    transformer_layer |= {key: v for key, v in feed.items() if usual.get(key) != v}
    # The norm after a decoder is there in any case, or in no case.
    stack.pop("post_norm_cfg", None)
    return {"type": kind, **stack, "transformerlayers": transformer_layer}


_CHANGES: Final[Mapping[str, Callable[[Settings], None]]] = {
    "CenterNet": _centernet,
    "YOLACT": _yolact,
    "DETR": _detr,
    "DeformableDETR": _deformable_detr,
}


# Beginnings of names, and what stands for them in 2.28.2.
_RENAMED: Final = (
    (r"mask_head\.segm_branch\.", "segm_head."),
    (r"query_embedding\.", "bbox_head.query_embedding."),
    (r"level_embed$", "bbox_head.transformer.level_embeds"),
    (r"memory_trans_fc\.", "bbox_head.transformer.enc_output."),
    (r"memory_trans_norm\.", "bbox_head.transformer.enc_output_norm."),
    (r"pos_trans_fc\.", "bbox_head.transformer.pos_trans."),
    (r"pos_trans_norm\.", "bbox_head.transformer.pos_trans_norm."),
    (r"reference_points_fc\.", "bbox_head.transformer.reference_points."),
    (r"(encoder|decoder)\.", r"bbox_head.transformer.\1."),
)


def names_of_version2(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` of a detector of 3.x under the names of 2.28.2."""
    has_transformer = "encoder.layers.0.ffn.layers.1.weight" in tensors
    # DETR's projection has no norm; the necks of other detectors stay necks.
    is_detr = has_transformer and "level_embed" not in tensors
    renamed = {}
    for name, value in tensors.items():
        if has_transformer:
            name = re.sub(r"^((?:en|de)coder\.layers\.\d+)\.self_attn\.", r"\1.attentions.0.", name)
            name = re.sub(r"^(decoder\.layers\.\d+)\.cross_attn\.", r"\1.attentions.1.", name)
            name = re.sub(r"^((?:en|de)coder\.layers\.\d+)\.ffn\.", r"\1.ffns.0.", name)
        if is_detr:
            name = name.replace("neck.convs.0.conv.", "bbox_head.input_proj.")
        if has_transformer or "segm_branch" in name:
            for start, other in _RENAMED:
                name = re.sub(f"^{start}", other, name)
        renamed[name] = value
    return renamed
