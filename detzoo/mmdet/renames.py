"""Names of tensors that changed during MMDetection 2.x, put into those of its last version.

The rules are told apart by the names themselves; each leaves the names of 2.28.2 as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from detzoo.backbones.other_names import from_swin


def current_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` under the names of MMDetection 2.28.2."""
    tensors = _swin(tensors)
    rules = [_offset_convolution(tensors), _timm, _predictor, _branched]
    if "backbone.l2_norm.weight" in tensors:
        rules.append(_ssd)
    if any(".multihead_attn." in name for name in tensors):
        rules.append(_detr)
    renamed = {}
    for name, value in tensors.items():
        for rule in rules:
            name = rule(name)
        renamed[name] = value
    return renamed


def without_averages(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` without the second set of weights that an EMA hook keeps, ``ema_...``.

    The hook exchanges the two at the end of each epoch, before the checkpoint is written: what lies
    under the plain names is the average.
    """
    seconds = {f"ema_{name.replace('.', '_')}" for name in tensors}
    return {name: value for name, value in tensors.items() if name not in seconds}


def _offset_convolution(tensors: Mapping[str, Tensor]) -> Callable[[str], str]:
    """Deformable convolutions hold the one that gives their offsets: it was beside them."""

    def rename(name: str) -> str:
        found = re.fullmatch(r"(.+)_offset\.(weight|bias)", name)
        if found is None or f"{found[1]}.weight" not in tensors:
            return name
        return f"{found[1]}.conv_offset.{found[2]}"

    return rename


def _swin(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors of Swin Transformers have their own names in their fork."""
    prefix = "backbone."
    inside = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    converted = from_swin(inside)
    if converted is None:
        return dict(tensors)
    others = {name: value for name, value in tensors.items() if not name.startswith(prefix)}
    return {**{f"{prefix}{name}": value for name, value in converted.items()}, **others}


def _timm(name: str) -> str:
    """MMClassification calls a model of timm after its library."""
    return re.sub(r"^backbone\.timm_model\.", "backbone.body.", name)


def _predictor(name: str) -> str:
    """FCOS and FoveaBox named their last layers after themselves."""
    return re.sub(r"^bbox_head\.(?:fcos|fovea)_(cls|reg|centerness)\.", r"bbox_head.conv_\1.", name)


def _branched(name: str) -> str:
    """mmcv's search for receptive fields wraps convolutions, which keep their names here."""
    return re.sub(r"\.op_layer\.(weight|bias)$", r".\1", name)


def _ssd(name: str) -> str:
    """SSD's extra layers were part of the backbone, and its predictors bare convolutions."""
    extra = re.fullmatch(r"backbone\.extra\.(\d+)\.(weight|bias)", name)
    if extra:
        pair, second = divmod(int(extra[1]), 2)
        return f"neck.extra_layers.{pair}.{second}.conv.{extra[2]}"
    name = name.replace("backbone.l2_norm.", "neck.l2_norm.")
    return re.sub(r"^(bbox_head\.(?:cls|reg)_convs\.\d+)\.(weight|bias)$", r"\1.0.\2", name)


def _detr(name: str) -> str:
    """DETR's transformer before it was put together from mmcv's parts."""
    if not name.startswith("bbox_head.transformer."):
        return name
    name = name.replace(".self_attn.", ".attentions.0.")
    name = name.replace(".multihead_attn.", ".attentions.1.")
    name = name.replace(".ffn.", ".ffns.0.")
    return name.replace(".decoder.norm.", ".decoder.post_norm.")
