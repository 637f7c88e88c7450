"""ConvNeXt, which V2 takes from MMClassification."""

from __future__ import annotations

from detzoo.backbones.convnext import PUBLISHED, ConvNeXtConfig
from detzoo.mmdet.adapters.backbones import starting_from
from detzoo.mmdet.adapters.layers import pretrained_of
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

_SIZES = {name.removeprefix("convnext-"): size for size, name in PUBLISHED.items()}


@adapts("backbone", "mmcls.ConvNeXt")
def convnext(node: Node) -> ConvNeXtConfig:
    arch = node.take("arch", "tiny")
    if arch not in _SIZES:
        raise node.error("arch", f"{arch!r} is none of {', '.join(_SIZES)}")
    for key, value in (
        ("in_channels", 3),
        ("stem_patch_size", 4),
        ("linear_pw_conv", True),
        ("use_grn", False),
    ):
        node.expect(key, value, "as in every published ConvNeXt")
    node.expect("gap_before_final_norm", False, "as maps are returned", default=True)
    for key, name in (("act_cfg", "GELU"), ("norm_cfg", "LN2d")):
        part = node.optional_child(key)
        if part is not None:
            part.expect("type", name, "what a ConvNeXt has")
            part.expect("eps", 1e-6, "what a ConvNeXt has")
    channels, blocks = _SIZES[arch]
    indices = node.take("out_indices", -1)
    indices = indices if isinstance(indices, tuple) else (indices,)
    scale, frozen = node.take("layer_scale_init_value", 1e-6), node.take("frozen_stages", 0)
    backbone = ConvNeXtConfig(
        channels=channels,
        blocks=blocks,
        layer_scale=float(scale),
        stochastic_depth=float(node.take("drop_path_rate", 0.0)),
        out_stages=tuple(index if index >= 0 else len(blocks) + index for index in indices),
        # The stem alone is never frozen there.
        frozen_stages=frozen if frozen > 0 else -1,
        checkpoint_activations=node.take("with_cp", False),
    )
    return starting_from(backbone, pretrained_of(node))
