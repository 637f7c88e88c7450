"""MaskFormer and Mask2Former."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detzoo.assigners.mask_hungarian import MaskHungarianAssigner
from detzoo.detectors.mask_former import MaskFormerConfig
from detzoo.heads.query.deformable_pixel_decoder import DeformablePixelDecoderConfig
from detzoo.heads.query.detr import TransformerConfig
from detzoo.heads.query.mask2former import Mask2FormerHeadConfig, MaskedDecoderConfig
from detzoo.heads.query.mask_set_loss import MaskSetLoss, Points
from detzoo.heads.query.maskformer import MaskFormerHeadConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.losses.masks import MaskCrossEntropy, MaskDiceLoss, MaskFocalLoss, MaskLoss
from detzoo.mmdet.adapters.detectors import trunk_of
from detzoo.mmdet.adapters.layers import activation_of, norm_of
from detzoo.mmdet.adapters.query_heads import sine_positions
from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.postprocess.query_panoptic import QueryFusion
from detzoo.structures import Pixels


@dataclass(frozen=True)
class _Known:
    """What the head is told; ``train`` is None in a configuration stripped for inference."""

    features: Features
    num_things: int
    num_stuff: int
    train: Node | None
    test: Node


@adapts("detector", "MaskFormer", "Mask2Former")
def mask_former(node: Node, num_classes: int, pixels: Pixels) -> MaskFormerConfig:
    trunk, features = trunk_of(node, pixels)
    node.expect("init_cfg", None, "as only backbones start from weights")
    fusion = node.child("panoptic_fusion_head")
    fusion.expect("type", "MaskFormerFusionHead", "how masks are fused")
    fusion.expect("num_things_classes", num_classes, "the number of things", default=80)
    fusion.expect("loss_panoptic", None, "as fusing is not trained")
    fusion.expect("init_cfg", None, "as fusing has no weights")
    num_stuff = fusion.take("num_stuff_classes", 53)
    train, test = node.optional_child("train_cfg"), node.child("test_cfg")
    known = _Known(features, num_classes, num_stuff, train, test)
    return MaskFormerConfig(**trunk, panoptic_head=node.part("panoptic_head", "mask_head", known))


@adapts("mask_head", "MaskFormerHead")
def maskformer_head(node: Node, known: _Known) -> MaskFormerHeadConfig:
    decoder = _decoder(node, ("self_attn", "norm", "cross_attn", "norm", "ffn", "norm"))
    pixels = node.child("pixel_decoder")
    encoder_layers = 0
    if pixels.type == "TransformerEncoderPixelDecoder":
        kind = "MultiheadAttention"
        encoder = _layers(pixels.child("encoder"), "DetrTransformerEncoder", kind, _ENCODER)
        encoder_layers = encoder.pop("count")
        if {**decoder, "count": None} != {**encoder, "count": None}:
            raise pixels.error("encoder", "has other widths or dropout than the decoder")
        sine_positions(pixels, decoder["channels"])
        node.expect(
            "enforce_decoder_input_project",
            False,
            "as the decoder is as wide as the encoder",
            default=False,
        )
    else:
        pixels.expect("type", "PixelDecoder", "the pixel decoder of this head")
        node.expect(
            "enforce_decoder_input_project", True, "as the last map is projected", default=False
        )
    count = decoder.pop("count")
    transformer = TransformerConfig(**decoder, encoder_layers=encoder_layers, decoder_layers=count)
    return MaskFormerHeadConfig(
        transformer=transformer,
        norm=_norm(pixels),
        loss=_loss(node, known, None),
        **_common(node, known, decoder["channels"]),
    )


@adapts("mask_head", "Mask2FormerHead")
def mask2former_head(node: Node, known: _Known) -> Mask2FormerHeadConfig:
    decoder = _decoder(node, ("cross_attn", "norm", "self_attn", "norm", "ffn", "norm"))
    pixels = node.child("pixel_decoder")
    pixels.expect("type", "MSDeformAttnPixelDecoder", "the pixel decoder of this head")
    num_levels = node.take("num_transformer_feat_level", 3)
    pixels.expect("num_outs", num_levels, "the maps that queries attend to", default=3)
    encoder = pixels.child("encoder")
    kind = "MultiScaleDeformableAttention"
    layers = _layers(encoder, "DetrTransformerEncoder", kind, _ENCODER, num_levels)
    if layers["channels"] != decoder.pop("channels"):
        raise pixels.error("encoder", "is not as wide as the decoder")
    sine_positions(pixels, layers["channels"])
    # Where points lie in the image does not depend on them, but V2 asks.
    node.expect("strides", known.features.strides, "those of the maps", default=(4, 8, 16, 32))
    pixels.expect("strides", known.features.strides, "those of the maps", default=(4, 8, 16, 32))
    node.expect("enforce_decoder_input_project", False, "as all are equally wide", default=False)
    points = Points()
    if known.train is not None:
        points = Points(
            count=known.train.take("num_points", 12544),
            oversampling=float(known.train.take("oversample_ratio", 3.0)),
            uncertain_part=float(known.train.take("importance_sample_ratio", 0.75)),
        )
    channels = layers["channels"]
    return Mask2FormerHeadConfig(
        pixel_decoder=DeformablePixelDecoderConfig(
            num_levels=num_levels,
            norm=_norm(pixels),
            encoder_layers=layers.pop("count"),
            **layers,
        ),
        decoder=MaskedDecoderConfig(decoder_layers=decoder.pop("count"), **decoder),
        loss=_loss(node, known, points),
        **_common(node, known, channels),
    )


def _common(node: Node, known: _Known, channels: int) -> dict[str, Any]:
    """What both heads say."""
    node.expect("in_channels", known.features.channels, "the channels of the maps")
    for key in ("feat_channels", "out_channels"):
        node.expect(key, channels, "as all of the head is equally wide")
    for key, count in (
        ("num_things_classes", known.num_things),
        ("num_stuff_classes", known.num_stuff),
    ):
        usual = 80 if "things" in key else 53
        node.expect(key, count, "what panoptic_fusion_head says", default=usual)
    test = known.test
    test.expect("semantic_on", False, "as V2 has no semantic maps here", default=False)
    limit = test.take("max_per_image", 100)
    return {
        "num_queries": node.take("num_queries", 100),
        "positions": sine_positions(node, channels),
        "max_detections": limit if test.take("instance_on", False) else 0,
        "fusion": _fusion(test, known.num_stuff),
    }


def _fusion(test: Node, num_stuff: int) -> QueryFusion | None:
    """What ``test_cfg`` says of panoptic maps. Without stuff, V2 makes them for nothing."""
    fusion = QueryFusion(
        min_score=float(test.take("object_mask_thr", 0.8)),
        min_visible=float(test.take("iou_thr", 0.8)),
        inside_only=test.take("filter_low_score", False),
    )
    is_on = test.take("panoptic_on", True)
    if num_stuff == 0:
        return None
    if not is_on:
        raise test.error("panoptic_on", f"False, but there are {num_stuff} classes of stuff")
    return fusion


# -------------------------------------------------------------------------------- transformers

_ENCODER = ("self_attn", "norm", "ffn", "norm")


def _decoder(node: Node, order: tuple[str, ...]) -> dict[str, Any]:
    decoder = node.child("transformer_decoder")
    decoder.expect(
        "return_intermediate", True, "as every layer is trained on its answers", default=False
    )
    return _layers(decoder, "DetrTransformerDecoder", "MultiheadAttention", order)


def _layers(
    node: Node, kind: str, attention: str, order: tuple[str, ...], levels: int = 1
) -> dict[str, Any]:
    """A stack of equal layers: their ``count``, and the fields of a configuration."""
    node.expect("type", kind, "the stack of this head")
    node.expect("init_cfg", None, "as only backbones start from weights")
    layer = node.child("transformerlayers")
    is_decoder = kind == "DetrTransformerDecoder"
    name = "DetrTransformerDecoderLayer" if is_decoder else "BaseTransformerLayer"
    layer.expect("type", name, "the layer of this stack")
    layer.expect("operation_order", order, "the order of the steps")
    layer.expect("batch_first", False, "what the head hands over", default=False)
    layer.expect("init_cfg", None, "as only backbones start from weights")
    norm = layer.optional_child("norm_cfg")
    if norm is not None:
        norm.expect("type", "LN", "the norm of transformers")
    hidden = layer.child("ffn_cfgs")
    given = layer.take("feedforward_channels", None)
    channels = hidden.take("feedforward_channels", 1024)
    # V2 asks decoders for it beside ffn_cfgs, which has the say.
    if given not in (None, channels):
        layer.reading.note(
            layer.error("feedforward_channels", f"{given} is not {channels}, as in ffn_cfgs")
        )
    own = layer.child("attn_cfgs")
    own.expect("type", attention, "the attention of this layer")
    dropout = float(hidden.take("ffn_drop", 0.0))
    fields: dict[str, Any] = {
        "count": node.take("num_layers"),
        "channels": own.take("embed_dims", 256),
        "num_heads": own.take("num_heads", 8),
        "feedforward_channels": channels,
        "dropout": dropout,
    }
    own.expect("batch_first", False, "what the head hands over", default=False)
    own.expect("init_cfg", None, "as only backbones start from weights")
    if attention == "MultiheadAttention":
        for key in ("attn_drop", "proj_drop"):
            own.expect(key, dropout, "the dropout of the whole layer", default=0.0)
        own.expect("dropout_layer", None, "as proj_drop is enough")
    else:
        own.ignore("im2col_step")
        own.expect("norm_cfg", None, "as attention has no norm")
        own.expect("dropout", dropout, "the dropout of the whole layer", default=0.1)
        own.expect("num_levels", levels, "the maps that queries attend to", default=4)
        fields["num_points"] = own.take("num_points", 4)
    if hidden.has("type"):
        hidden.expect("type", "FFN", "the feed-forward part of a layer")
    hidden.expect("embed_dims", fields["channels"], "the width of the layer", default=256)
    hidden.expect("num_fcs", 2, "the layers of a feed-forward step")
    hidden.expect("dropout_layer", None, "as ffn_drop is enough")
    hidden.expect("add_identity", True, "as each step has a shortcut", default=True)
    if activation_of(hidden, default="relu") != "relu":
        raise hidden.error("act_cfg", "is not ReLU, the activation of these layers")
    return fields


def _norm(pixels: Node) -> NormConfig:
    """The norm of a pixel decoder, and what all of them say."""
    pixels.expect("init_cfg", None, "as only backbones start from weights")
    if activation_of(pixels, default="relu") != "relu":
        raise pixels.error("act_cfg", "is not ReLU, the activation of pixel decoders")
    return norm_of(pixels, default=GroupNormConfig(groups=32))


# -------------------------------------------------------------------------------------- losses


def _loss(node: Node, known: _Known, points: Points | None) -> MaskSetLoss:
    classes, background = _classification(node.child("loss_cls"), known)
    assigner = MaskHungarianAssigner()
    if known.train is not None:
        assigner = known.train.part("assigner", "mask_assigner")
        sampler = known.train.child("sampler")
        sampler.expect("type", "MaskPseudoSampler", "as all queries are trained")
    return MaskSetLoss(
        assigner=assigner,
        classification_loss=classes,
        background_weight=background,
        mask_loss=_mask_loss(node.child("loss_mask")),
        dice_loss=_dice_loss(node.child("loss_dice")),
        points=points,
    )


def _classification(node: Node, known: _Known) -> tuple[ClassificationLoss, float]:
    """The loss of classes, and the weight of background."""
    node.expect("type", "CrossEntropyLoss", "the loss of the classes of queries")
    node.expect("use_sigmoid", False, "as background is a class of its own", default=False)
    node.expect("reduction", "mean", "as losses are averages", default="mean")
    weights = node.take("class_weight")
    count = known.num_things + known.num_stuff
    if not isinstance(weights, tuple) or weights[:-1] != (1.0,) * count:
        reason = f"is not 1.0 for each of {count} classes, then the weight of background"
        raise node.error("class_weight", reason)
    loss = SoftmaxCrossEntropy(weight=float(node.take("loss_weight", 1.0)))
    return loss, float(weights[-1])


def _mask_loss(node: Node) -> MaskLoss:
    node.expect("reduction", "mean", "as losses are averages", default="mean")
    weight = float(node.take("loss_weight", 1.0))
    is_entropy = node.type == "CrossEntropyLoss"
    reason = "as pixels are in the mask or not"
    node.expect("use_sigmoid", True, reason, default=not is_entropy)
    if is_entropy:
        return MaskCrossEntropy(weight=weight)
    node.expect("type", "FocalLoss", "one of the losses of masks")
    gamma, alpha = float(node.take("gamma", 2.0)), float(node.take("alpha", 0.25))
    return MaskFocalLoss(weight=weight, gamma=gamma, alpha=alpha)


def _dice_loss(node: Node) -> MaskLoss:
    node.expect("type", "DiceLoss", "the loss of overlaps")
    for key in ("use_sigmoid", "activate"):
        node.expect(key, True, "as masks are logits", default=True)
    node.expect("naive_dice", True, "as masks are compared in plain sums", default=False)
    node.expect("reduction", "mean", "as losses are averages", default="mean")
    weight = float(node.take("loss_weight", 1.0))
    return MaskDiceLoss(weight=weight, eps=float(node.take("eps", 1e-3)))


@adapts("mask_assigner", "MaskHungarianAssigner")
def mask_hungarian_assigner(node: Node) -> MaskHungarianAssigner:
    return MaskHungarianAssigner(
        class_cost=node.part("cls_cost", "class_cost"),
        mask_cost=_mask_cost(node.child("mask_cost")),
        dice_cost=_dice_cost(node.child("dice_cost")),
    )


def _mask_cost(node: Node) -> MaskLoss:
    weight = float(node.take("weight", 1.0))
    if node.type == "CrossEntropyLossCost":
        node.expect("use_sigmoid", True, "as pixels are in the mask or not", default=True)
        return MaskCrossEntropy(weight=weight)
    node.expect("type", "FocalLossCost", "one of the costs of masks")
    node.expect("binary_input", True, "as pixels are in the mask or not", default=False)
    node.expect("eps", 1e-12, "as in all of these costs", default=1e-12)
    gamma, alpha = float(node.take("gamma", 2)), float(node.take("alpha", 0.25))
    return MaskFocalLoss(weight=weight, gamma=gamma, alpha=alpha)


def _dice_cost(node: Node) -> MaskLoss:
    node.expect("type", "DiceCost", "the cost of overlaps")
    node.expect("pred_act", True, "as masks are logits", default=False)
    node.expect("naive_dice", True, "as masks are compared in plain sums", default=True)
    weight = float(node.take("weight", 1.0))
    return MaskDiceLoss(weight=weight, eps=float(node.take("eps", 1e-3)))
