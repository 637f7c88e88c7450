"""Norms, kinds of convolution, activations, and the weights that a part starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from detzoo.backbones.pretrained import all_pretrained, is_file_name
from detzoo.backbones.timm import SCHEME
from detzoo.layers.activations import Activation
from detzoo.layers.convolution import (
    ConvConfig,
    DeformConvConfig,
    PlainConvConfig,
    WeightStandardizedConvConfig,
)
from detzoo.layers.norm import BatchNormConfig, GroupNormConfig, NormConfig
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("norm", "BN")
def batch_norm(node: Node, fixed_statistics: bool) -> BatchNormConfig:
    return BatchNormConfig(
        trainable=node.take("requires_grad", True),
        fixed_statistics=fixed_statistics,
        eps=float(node.take("eps", 1e-5)),
        momentum=node.take("momentum", 0.1),
    )


@adapts("norm", "SyncBN", "MMSyncBN")
def synchronized_batch_norm(node: Node, fixed_statistics: bool) -> BatchNormConfig:
    return BatchNormConfig(
        trainable=node.take("requires_grad", True),
        fixed_statistics=fixed_statistics,
        synchronized=True,
        eps=float(node.take("eps", 1e-5)),
        momentum=node.take("momentum", 0.1),
    )


@adapts("norm", "GN")
def group_norm(node: Node, fixed_statistics: bool) -> GroupNormConfig:
    node.expect("requires_grad", True, "what group norms are here")
    return GroupNormConfig(groups=node.take("num_groups"), eps=float(node.take("eps", 1e-5)))


@overload
def norm_of(
    node: Node, key: str = ..., *, fixed_statistics: bool = ..., default: NormConfig
) -> NormConfig: ...


@overload
def norm_of(
    node: Node, key: str = ..., *, fixed_statistics: bool = ..., default: None
) -> NormConfig | None: ...


def norm_of(
    node: Node, key: str = "norm_cfg", *, fixed_statistics: bool = False, default: NormConfig | None
) -> NormConfig | None:
    """The norm at ``key``; ``default`` is V2's, where the key is absent (None: no norm)."""
    if key not in node.left:
        node.take(key, None)
        return default
    norm: NormConfig | None = node.optional_part(key, "norm", fixed_statistics)
    if norm is None and default is not None:
        raise node.error(key, "None, but there is no such part without norms")
    return norm


@adapts("convolution", "Conv2d")
def plain_convolution(node: Node) -> PlainConvConfig:
    return PlainConvConfig()


@adapts("convolution", "ConvWS")
def weight_standardized(node: Node) -> WeightStandardizedConvConfig:
    return WeightStandardizedConvConfig()


@adapts("convolution", "DCN", "DCNv2")
def deformable(node: Node) -> DeformConvConfig:
    node.expect("fallback_on_stride", False, "as in all of the zoo")
    groups = node.take("deformable_groups", 1)  # as it was called at first
    return DeformConvConfig(
        groups=node.take("deform_groups", groups), modulated=node.type == "DCNv2"
    )


def convolution_of(node: Node, key: str = "conv_cfg") -> ConvConfig:
    """The kind of convolution at ``key``; plain where there is none."""
    kind: ConvConfig | None = node.optional_part(key, "convolution")
    return PlainConvConfig() if kind is None else kind


@adapts("activation", "ReLU")
def relu(node: Node) -> Activation:
    node.ignore("inplace")
    return "relu"


@adapts("activation", "ReLU6")
def relu6(node: Node) -> Activation:
    return "relu6"


@adapts("activation", "LeakyReLU")
def leaky_relu(node: Node) -> Activation:
    node.expect("negative_slope", 0.1, "the slope of every leaky ReLU here", default=0.01)
    return "leaky_relu"


@adapts("activation", "SiLU", "Swish")
def silu(node: Node) -> Activation:
    return "silu"


def activation_of(node: Node, key: str = "act_cfg", *, default: Activation) -> Activation:
    """The activation at ``key``; ``default`` is V2's, where the key is absent."""
    if key not in node.left:
        node.take(key, None)
        return default
    kind: Activation | None = node.optional_part(key, "activation")
    return "none" if kind is None else kind


def pretrained_of(node: Node) -> str | None:
    """The weights that a backbone starts from: ``init_cfg``, or the older ``pretrained``."""
    old = node.take("pretrained", None)
    if _is_drawn(node.left.get("init_cfg")):
        node.leave("init_cfg", "from scratch, a backbone starts as detzoo initializes it")
    init = node.optional_child("init_cfg")
    if init is None:
        return _known_weights(old, node.at("pretrained"), node)
    if old is not None:
        reason = f"{old!r} contradicts {init.at('checkpoint')}; V2 takes only one of them"
        node.reading.note(node.error("pretrained", reason))
    if init.has("type"):  # PVT's say the checkpoint alone
        init.expect("type", "Pretrained", "how backbones start")
    # Whatever is not the backbone's is left out without being told.
    prefix = init.take("prefix", None)
    if prefix not in (None, "backbone", "backbone."):
        reason = (
            f"{prefix!r} is not 'backbone.', where the weights of a whole classifier or detector "
            "have those of the backbone"
        )
        node.reading.note(init.error("prefix", reason))
    return _known_weights(init.take("checkpoint", None), init.at("checkpoint"), node)


def _is_drawn(init: Any) -> bool:
    """Whether ``init_cfg`` is one or several ways of drawing weights, and names none."""
    ways = init if isinstance(init, list | tuple) else (init,)
    kinds = [one.get("type") if isinstance(one, Mapping) else None for one in ways]
    return bool(kinds) and all(kind in _DRAWN for kind in kinds)


# Ways of initialization that start from no weights.
_DRAWN = ("Constant", "Xavier", "Normal", "TruncNormal", "Uniform", "Kaiming", "Caffe2Xavier")
# Names that mmcv still takes, and what it calls them today.
_RENAMED = {
    f"open-mmlab://{old}": f"open-mmlab://{new}"
    for depth in (50, 101)
    for old, new in (
        (f"resnet{depth}_caffe", f"detectron/resnet{depth}_caffe"),
        (f"resnet{depth}_caffe_bgr", f"detectron2/resnet{depth}_caffe"),
        (f"detectron2/resnet{depth}_caffe_bgr", f"detectron2/resnet{depth}_caffe"),
    )
}


def _known_weights(name: str | None, path: str, node: Node) -> str | None:
    """``name``, where weights are called so. The backbone detects without them."""
    name = None if name is None else _RENAMED.get(name, name)
    if name is None or name in all_pretrained() or is_file_name(name) or name.startswith(SCHEME):
        return name
    reason = f"detzoo knows no weights called {name!r}; give the path of the file"
    node.reading.note(node.reading.error(path, reason))
    return None


def expect_carafe(node: Node) -> None:
    """Takes the settings of CARAFE, which are the same wherever the zoo has it."""
    for key, value in (
        ("up_kernel", 5),
        ("up_group", 1),
        ("encoder_kernel", 3),
        ("encoder_dilation", 1),
        ("compressed_channels", 64),
    ):
        node.expect(key, value, "the setting of every CARAFE of the zoo")
