"""Swin Transformers."""

from __future__ import annotations

from detzoo.backbones.swin import SwinConfig
from detzoo.mmdet.adapters.backbones import starting_from
from detzoo.mmdet.adapters.layers import pretrained_of
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("backbone", "SwinTransformer")
def swin(node: Node) -> SwinConfig:
    node.ignore("convert_weights")
    for key, value in (
        ("in_channels", 3),
        ("patch_size", 4),
        ("strides", (4, 2, 2, 2)),
        ("patch_norm", True),
        ("qk_scale", None),
    ):
        node.expect(key, value, "as in every published Swin Transformer")
    for key, name in (("act_cfg", "GELU"), ("norm_cfg", "LN")):
        part = node.optional_child(key)
        if part is not None:
            part.expect("type", name, "what a Swin Transformer has")
    image_size = node.take("pretrain_img_size", 224)
    backbone = SwinConfig(
        channels=node.take("embed_dims", 96),
        blocks=node.take("depths", (2, 2, 6, 2)),
        num_heads=node.take("num_heads", (3, 6, 12, 24)),
        window_size=node.take("window_size", 7),
        hidden_ratio=float(node.take("mlp_ratio", 4)),
        qkv_bias=node.take("qkv_bias", True),
        # Without such embeddings, V2 does nothing with the size.
        position_embedding=image_size if node.take("use_abs_pos_embed", False) else None,
        dropout=float(node.take("drop_rate", 0.0)),
        attention_dropout=float(node.take("attn_drop_rate", 0.0)),
        stochastic_depth=float(node.take("drop_path_rate", 0.1)),
        out_stages=node.take("out_indices", (0, 1, 2, 3)),
        frozen_stages=node.take("frozen_stages", -1),
        checkpoint_activations=node.take("with_cp", False),
    )
    return starting_from(backbone, pretrained_of(node))
