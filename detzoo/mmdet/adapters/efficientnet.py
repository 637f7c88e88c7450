"""EfficientNet, and the backbones of timm."""

from __future__ import annotations

import dataclasses
import typing

from detzoo.backbones.efficientnet import EfficientNetConfig, Variant
from detzoo.backbones.timm import SCHEME, TimmConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.mmdet.adapters.backbones import starting_from
from detzoo.mmdet.adapters.layers import norm_of, pretrained_of
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

# Models of timm that have had another name since its version 0.8.
_RENAMED_BY_TIMM = {
    f"tv_{model}": f"{model}.tv_in1k"
    for model in (
        *("resnet34", "resnet50", "resnet101", "resnet152"),
        *("densenet121", "resnext50_32x4d"),
    )
}


@adapts("backbone", "EfficientNet")
def efficientnet(node: Node) -> EfficientNetConfig:
    arch, known = node.take("arch", "b0"), typing.get_args(Variant)
    if arch not in known:
        raise node.error("arch", f"{arch!r} is none of {', '.join(known)}")
    for key, name in (("conv_cfg", "Conv2dAdaptivePadding"), ("act_cfg", "Swish")):
        part = node.optional_child(key)
        if part is not None:
            part.expect("type", name, "what an EfficientNet has")
    # V2 counts the stem as well.
    stages = tuple(index - 1 for index in node.take("out_indices", (6,)))
    if -1 in stages:
        raise node.error("out_indices", "0 is the stem, whose map detzoo does not return")
    backbone = EfficientNetConfig(
        variant=arch,
        stochastic_depth=float(node.take("drop_path_rate", 0.0)),
        out_stages=stages,
        frozen_stages=node.take("frozen_stages", 0) - 1,
        norm=norm_of(
            node,
            fixed_statistics=node.take("norm_eval", False),
            default=BatchNormConfig(eps=1e-3),
        ),
        checkpoint_activations=node.take("with_cp", False),
    )
    return starting_from(backbone, pretrained_of(node))


@adapts("backbone", "mmcls.TIMMBackbone")
def timm_backbone(node: Node) -> TimmConfig:
    node.expect("features_only", True, "as detectors need maps", default=False)
    node.expect("in_channels", 3, "the channels of an image")
    node.expect("checkpoint_path", "", "as weights are those of timm, or of init_cfg")
    model = node.take("model_name")
    stages, pretrained = node.take("out_indices", None), node.take("pretrained", False)
    backbone = TimmConfig(
        model=_RENAMED_BY_TIMM.get(model, model), out_stages=stages, fixed_statistics=False
    )
    if pretrained:
        node.expect("init_cfg", None, "as the weights are those of timm")
        return dataclasses.replace(backbone, pretrained=f"{SCHEME}{{architecture}}")
    return starting_from(backbone, pretrained_of(node))
