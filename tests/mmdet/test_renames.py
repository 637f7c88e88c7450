from __future__ import annotations

import numpy as np
import torch

from detzoo.mmdet.renames import current_names, without_averages
from tests.shared import shared


def renamed(*names: str) -> list[str]:
    found = current_names({name: torch.tensor(i) for i, name in enumerate(names)})
    assert [int(value) for value in found.values()] == list(range(len(names)))
    return list(found)


def test_offsets_of_deformable_convolutions() -> None:
    assert renamed(
        "backbone.layer2.0.conv2.weight",
        "backbone.layer2.0.conv2_offset.weight",
        "backbone.layer2.0.conv2_offset.bias",
        "bbox_head.feature_adaption.conv_offset.weight",
    ) == [
        "backbone.layer2.0.conv2.weight",
        "backbone.layer2.0.conv2.conv_offset.weight",
        "backbone.layer2.0.conv2.conv_offset.bias",
        "bbox_head.feature_adaption.conv_offset.weight",  # is no offset of its neighbour
    ]


def test_fcos_and_fovea() -> None:
    assert renamed(
        "bbox_head.fcos_cls.weight", "bbox_head.fcos_reg.bias", "bbox_head.fcos_centerness.weight"
    ) == [
        "bbox_head.conv_cls.weight",
        "bbox_head.conv_reg.bias",
        "bbox_head.conv_centerness.weight",
    ]
    assert renamed("bbox_head.fovea_cls.weight") == ["bbox_head.conv_cls.weight"]
    assert renamed("bbox_head.atss_cls.weight") == ["bbox_head.atss_cls.weight"]


def test_ssd() -> None:
    assert renamed(
        "backbone.features.0.weight",
        "backbone.extra.0.weight",
        "backbone.extra.3.bias",
        "backbone.l2_norm.weight",
        "bbox_head.cls_convs.0.weight",
        "bbox_head.reg_convs.5.bias",
    ) == [
        "backbone.features.0.weight",
        "neck.extra_layers.0.0.conv.weight",
        "neck.extra_layers.1.1.conv.bias",
        "neck.l2_norm.weight",
        "bbox_head.cls_convs.0.0.weight",
        "bbox_head.reg_convs.5.0.bias",
    ]


def test_detr() -> None:
    layer = "bbox_head.transformer.decoder.layers.0"
    assert renamed(
        "bbox_head.transformer.encoder.layers.0.self_attn.attn.in_proj_weight",
        "bbox_head.transformer.encoder.layers.0.ffn.layers.0.0.weight",
        f"{layer}.self_attn.attn.in_proj_bias",
        f"{layer}.multihead_attn.attn.out_proj.weight",
        f"{layer}.norms.2.weight",
        "bbox_head.transformer.decoder.norm.weight",
        "bbox_head.query_embedding.weight",
    ) == [
        "bbox_head.transformer.encoder.layers.0.attentions.0.attn.in_proj_weight",
        "bbox_head.transformer.encoder.layers.0.ffns.0.layers.0.0.weight",
        f"{layer}.attentions.0.attn.in_proj_bias",
        f"{layer}.attentions.1.attn.out_proj.weight",
        f"{layer}.norms.2.weight",
        "bbox_head.transformer.decoder.post_norm.weight",
        "bbox_head.query_embedding.weight",
    ]


def test_the_names_of_the_last_version_stay() -> None:
    """All the names of all recorded models."""
    references = sorted(shared("parity").glob("*.npz"))
    assert len(references) > 200
    for path in references:
        names = [str(name) for name in np.load(path)["names"]]
        assert list(current_names(dict.fromkeys(names, torch.zeros(0)))) == names, path.name


def test_the_second_set_of_weights_goes() -> None:
    names = ["backbone.conv.weight", "ema_backbone_conv_weight", "ema_other", "bbox_head.ema_x"]
    found = without_averages({name: torch.zeros(1) for name in names})
    assert list(found) == ["backbone.conv.weight", "ema_other", "bbox_head.ema_x"]


def test_a_backbone_of_timm() -> None:
    """MMClassification, from which V2 takes it, calls it after the library."""
    assert renamed("backbone.timm_model.conv1.weight") == ["backbone.body.conv1.weight"]


def test_swin_of_its_authors() -> None:
    """Their fork of MMDetection has their own names; a layer between stages reads otherwise."""
    layer = "backbone.layers.0."
    tensors = {
        f"{layer}blocks.0.attn.relative_position_bias_table": torch.zeros(1),
        f"{layer}blocks.0.mlp.fc1.weight": torch.zeros(1),
        f"{layer}downsample.reduction.weight": torch.arange(8.0).view(1, 8),
        "backbone.norm0.weight": torch.zeros(1),
        "neck.lateral_convs.0.conv.weight": torch.zeros(1),
    }
    found = current_names(tensors)
    stage = "backbone.stages.0."
    assert list(found) == [
        f"{stage}blocks.0.attn.w_msa.relative_position_bias_table",
        f"{stage}blocks.0.ffn.layers.0.0.weight",
        f"{stage}downsample.reduction.weight",
        "backbone.norm0.weight",
        "neck.lateral_convs.0.conv.weight",
    ]
    # Theirs is by column, row and channel, ours by channel, row and column.
    assert found[f"{stage}downsample.reduction.weight"].tolist() == [[0, 4, 2, 6, 1, 5, 3, 7]]
