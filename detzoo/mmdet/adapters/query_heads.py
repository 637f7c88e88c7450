"""Detectors of queries: DETR, Deformable DETR, QueryInst."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from detzoo.assigners.hungarian import (
    ClassCost,
    FocalCost,
    HungarianAssigner,
    ProbabilityCost,
)
from detzoo.detectors.set_prediction import SetPredictionConfig
from detzoo.detectors.sparse import SparseConfig
from detzoo.heads.query.deformable_detr import DeformableDETRHeadConfig
from detzoo.heads.query.deformable_transformer import DeformableTransformerConfig
from detzoo.heads.query.detr import DETRHeadConfig, TransformerConfig
from detzoo.heads.query.dynamic import DynamicMaskHeadConfig, InteractionHeadConfig
from detzoo.heads.query.learned_proposals import LearnedProposalsConfig
from detzoo.heads.query.set_loss import SetLoss
from detzoo.heads.query.sparse_roi import SparseRoIHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.layers.positional_encoding import LearnedPositions, SinePositions
from detzoo.losses.dice import DiceLoss
from detzoo.mmdet.adapters.detectors import trunk_of
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.known import HeadContext, features_of_backbone, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.structures import Pixels

T = TypeVar("T")


@adapts("detector", "DeformableDETR", "DETR")
def set_prediction(node: Node, num_classes: int, pixels: Pixels) -> SetPredictionConfig:
    """DETR and Deformable DETR."""
    trunk, features = trunk_of(node, pixels)
    train, test = node.optional_child("train_cfg"), node.optional_child("test_cfg")
    context = HeadContext(features, num_classes, train, test)
    head = node.child("bbox_head")
    last = features_of_backbone(trunk["backbone"]).channels[-1]
    if head.type != "DeformableDETRHead":
        head.expect("in_channels", features.channels[-1], "the channels of the last map")
    elif head.take("in_channels", last) != last:  # published files have the backbone's
        reason = "V2's deformable head does not look at it"
        head.reading.aside[head.at("in_channels")] = reason
    return SetPredictionConfig(**trunk, bbox_head=head.adapt("query_head", context))


@adapts("query_head", "DETRHead")
def detr_head(node: Node, known: HeadContext) -> DETRHeadConfig:
    transformer = node.child("transformer")
    layers = _encoder_and_decoder(transformer, "DetrTransformerDecoder", ("MultiheadAttention",))
    encoder, decoder = layers
    config = TransformerConfig(
        channels=encoder.channels,
        num_heads=encoder.num_heads,
        encoder_layers=encoder.count,
        decoder_layers=decoder.count,
        feedforward_channels=encoder.feedforward_channels,
        dropout=encoder.dropout,
    )
    loss = node.child("loss_cls")
    loss.expect("class_weight", 1.0, "as all classes count the same", default=0)
    background = float(loss.take("bg_cls_weight", 1.0))
    return DETRHeadConfig(
        num_queries=node.take("num_query", 100),
        transformer=config,
        positions=_positions(node, encoder.channels),
        loss=_set_loss(node, loss, known, background),
        max_detections=_expect_head(node, known),
    )


@adapts("query_head", "DeformableDETRHead")
def deformable_detr_head(node: Node, known: HeadContext) -> DeformableDETRHeadConfig:
    transformer = node.child("transformer")
    levels = len(known.features.channels)
    transformer.expect("num_feature_levels", levels, "the number of maps", default=4)
    kinds = ("MultiScaleDeformableAttention",)
    encoder, decoder = _encoder_and_decoder(
        transformer, "DeformableDetrTransformerDecoder", kinds, levels
    )
    num_queries, two_stage = node.take("num_query", 100), node.take("as_two_stage", False)
    transformer.expect("as_two_stage", two_stage, "what the head says")
    if two_stage:
        reason = "the number of queries, which are made of proposals"
        transformer.expect("two_stage_num_proposals", num_queries, reason, default=300)
    config = DeformableTransformerConfig(
        channels=encoder.channels,
        num_heads=encoder.num_heads,
        num_points=encoder.num_points,
        encoder_layers=encoder.count,
        decoder_layers=decoder.count,
        feedforward_channels=encoder.feedforward_channels,
        dropout=encoder.dropout,
    )
    return DeformableDETRHeadConfig(
        num_queries=num_queries,
        transformer=config,
        positions=_positions(node, encoder.channels),
        refines_boxes=node.take("with_box_refine", False),
        two_stage=two_stage,
        loss=_set_loss(node, node.child("loss_cls"), known, None),
        max_detections=_expect_head(node, known),
    )


def _expect_head(node: Node, known: HeadContext) -> int:
    """What all heads of queries say; the number of detections."""
    known.expect_classes(node)
    node.expect("num_reg_fcs", 2, "as boxes come from two hidden layers")
    node.ignore("sync_cls_avg_factor")
    _, test = require_settings(node, known)
    return test.take("max_per_img")


def _positions(node: Node, channels: int) -> SinePositions | LearnedPositions:
    """``positional_encoding``, which may be learned."""
    encoding = node.original.get("positional_encoding")
    if not isinstance(encoding, Mapping) or encoding.get("type") != "LearnedPositionalEncoding":
        return sine_positions(node, channels)
    learned = node.child("positional_encoding")
    learned.take("type")
    learned.expect("num_feats", channels // 2, "half of the transformer's channels")
    learned.leave("init_cfg", "V2's heads do not initialize this part")
    return LearnedPositions(
        rows=learned.take("row_num_embed", 50), columns=learned.take("col_num_embed", 50)
    )


def sine_positions(node: Node, channels: int) -> SinePositions:
    """``positional_encoding`` of cells in ``channels``."""
    encoding = node.child("positional_encoding")
    encoding.expect("type", "SinePositionalEncoding", "how places are told")
    encoding.expect("num_feats", channels // 2, "half of the transformer's channels")
    encoding.expect("normalize", True, "as places are in parts of the image", default=False)
    return SinePositions(
        temperature=float(encoding.take("temperature", 10000)),
        offset=float(encoding.take("offset", 0.0)),
    )


def _set_loss(
    node: Node, classification: Node, known: HeadContext, background_weight: float | None
) -> SetLoss:
    train, _ = require_settings(node, known)
    return SetLoss(
        assigner=train.part("assigner", "assigner"),
        classification_loss=classification.adapt("classification_loss"),
        background_weight=background_weight,
        box_loss=node.part("loss_bbox", "box_loss"),
        iou_loss=node.part("loss_iou", "box_loss"),
    )


# -------------------------------------------------------------------------------- transformers


@dataclass(frozen=True)
class _Layers:
    """What a stack of equal layers says; ``num_points`` 0 where no attention is deformable."""

    count: int
    channels: int
    num_heads: int
    num_points: int
    feedforward_channels: int
    dropout: float


def _encoder_and_decoder(
    node: Node, decoder_type: str, kinds: tuple[str, ...], levels: int = 1
) -> tuple[_Layers, _Layers]:
    """Both stacks, which may differ in their number of layers alone."""
    name = "DeformableDetrTransformer" if "Deformable" in decoder_type else "Transformer"
    node.expect("type", name, "the transformer of this head")
    first, second = node.child("encoder"), node.child("decoder")
    first.expect("type", "DetrTransformerEncoder", "the encoder of this head")
    second.expect("type", decoder_type, "the decoder of this head")
    second.expect(
        "return_intermediate", True, "as every layer is trained on its answers", default=False
    )
    encoder = _layers(first, "BaseTransformerLayer", kinds, levels)
    decoder = _layers(second, "DetrTransformerDecoderLayer", ("MultiheadAttention", *kinds), levels)
    if replace(decoder, count=encoder.count) != encoder:
        raise node.error("decoder", "has other widths or dropout than the encoder")
    return encoder, decoder


def _layers(node: Node, kind: str, attentions: tuple[str, ...], levels: int) -> _Layers:
    count, layer = node.take("num_layers"), node.child("transformerlayers")
    layer.expect("type", kind, "the layer of this stack")
    steps = ("self_attn", "norm", "cross_attn", "norm")[: 2 * len(attentions)]
    layer.expect("operation_order", (*steps, "ffn", "norm"), "the order of the steps")
    dropout = float(layer.take("ffn_dropout", 0.0))
    nodes = layer.children("attn_cfgs")
    if len(nodes) == 1 and len(set(attentions)) == 1:
        attentions = attentions[:1]  # one for all
    if len(nodes) != len(attentions):
        raise layer.error("attn_cfgs", f"are not {len(attentions)}, as the layer needs")
    settings = [
        _attention(attention, name, levels, dropout) for attention, name in zip(nodes, attentions)
    ]
    if len({(channels, num_heads) for channels, num_heads, _ in settings}) > 1:
        raise layer.error("attn_cfgs", "are not equally wide")
    channels, num_heads, _ = settings[0]
    return _Layers(
        count=count,
        channels=channels,
        num_heads=num_heads,
        num_points=max(points for _, _, points in settings),
        feedforward_channels=layer.take("feedforward_channels", 1024),
        dropout=dropout,
    )


def _attention(node: Node, kind: str, levels: int, dropout: float) -> tuple[int, int, int]:
    """Channels, heads and, of deformable attention, points."""
    node.expect("type", kind, "the attention of this layer")
    is_deformable = kind == "MultiScaleDeformableAttention"
    usual = 0.1 if is_deformable else 0.0
    node.expect("dropout", dropout, "the dropout of the whole layer", default=usual)
    channels = node.take("embed_dims", 256)
    if not is_deformable:
        return channels, node.take("num_heads"), 0
    node.expect("num_levels", levels, "the number of maps", default=4)
    return channels, node.take("num_heads", 8), node.take("num_points", 4)


# ------------------------------------------------------------------------------------ matching


@adapts("assigner", "HungarianAssigner")
def hungarian_assigner(node: Node) -> HungarianAssigner:
    boxes, overlap = node.child("reg_cost"), node.child("iou_cost")
    boxes.expect("type", "BBoxL1Cost", "how boxes are compared")
    forms: dict[str, Literal["corners", "center_size"]]
    forms = {"xyxy": "corners", "xywh": "center_size"}
    form = boxes.take("box_format", "xyxy")
    if form not in forms:
        raise boxes.error("box_format", f"{form!r} is neither 'xyxy' nor 'xywh'")
    overlap.expect("type", "IoUCost", "how overlaps are compared")
    overlap.expect("iou_mode", "giou", "the overlap of the zoo's matchings")
    return HungarianAssigner(
        class_cost=node.part("cls_cost", "class_cost"),
        box_weight=float(boxes.take("weight", 1.0)),
        box_form=forms[form],
        giou_weight=float(overlap.take("weight", 1.0)),
    )


@adapts("class_cost", "ClassificationCost")
def probability_cost(node: Node) -> ClassCost:
    return ProbabilityCost(weight=float(node.take("weight", 1.0)))


@adapts("class_cost", "FocalLossCost")
def focal_cost(node: Node) -> ClassCost:
    return FocalCost(
        weight=float(node.take("weight", 1.0)),
        alpha=float(node.take("alpha", 0.25)),
        gamma=float(node.take("gamma", 2)),
        eps=float(node.take("eps", 1e-12)),
    )


# ----------------------------------------------------------------------------------- QueryInst


@adapts("detector", "QueryInst")
def sparse(node: Node, num_classes: int, pixels: Pixels) -> SparseConfig:
    """Learned proposals that a sparse head refines; QueryInst's has masks."""
    trunk, features = trunk_of(node, pixels)
    train, test = node.child("train_cfg"), node.child("test_cfg")
    for settings in (train, test):
        if settings.optional_child("rpn") is not None:
            raise settings.error("rpn", "proposals that are learned have no settings")
    proposals = node.child("rpn_head")
    proposals.expect("type", "EmbeddingRPNHead", "where proposals come from")
    features.expect_channels(proposals, "proposal_feature_channel")
    rcnn = test.child("rcnn")
    context = HeadContext(features, num_classes, None, rcnn)
    roi_head = node.child("roi_head")
    roi_head.expect("type", "SparseRoIHead", "the head of these detectors")
    return SparseConfig(
        **trunk,
        rpn_head=LearnedProposalsConfig(num_proposals=proposals.take("num_proposals", 100)),
        roi_head=_sparse_roi_head(roi_head, context, rcnn, train.children("rcnn")),
    )


def _sparse_roi_head(
    node: Node, known: HeadContext, test: Node, train: Sequence[Node]
) -> SparseRoIHeadConfig:
    num_stages = node.take("num_stages", 6)
    reason = "one for each stage, all alike"
    node.expect("stage_loss_weights", (1,) * num_stages, reason)
    known.features.expect_channels(node, "proposal_feature_channel")
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known)
    size = extractor.output_size
    boxes = node.children("bbox_head"), lambda stage: _interaction_head(stage, known, size)
    box_head, losses, coder = _same(node, "bbox_head", num_stages, *boxes)
    mask_extractor, mask_head = _masks(node, known, test, num_stages)
    if mask_extractor is not None:
        for settings in train:
            settings.expect("mask_size", 2 * mask_extractor.output_size, "the size of the masks")
    return SparseRoIHeadConfig(
        num_stages=num_stages,
        extractor=extractor,
        box_head=box_head,
        coder=coder,
        mask_extractor=mask_extractor,
        mask_head=mask_head,
        loss=SetLoss(
            assigner=_same(node, "train_cfg", num_stages, train, _training),
            classification_loss=losses[0],
            box_loss=losses[1],
            iou_loss=losses[2],
        ),
        max_detections=test.take("max_per_img"),
    )


def _same(node: Node, key: str, count: int, stages: Sequence[Node], read: Callable[[Node], T]) -> T:
    """What every stage says."""
    read_stages = [read(stage) for stage in stages]
    if len(read_stages) != count or any(one != read_stages[0] for one in read_stages):
        raise node.error(key, f"are not {count} stages that are all alike")
    return read_stages[0]


def _masks(
    node: Node, known: HeadContext, test: Node, num_stages: int
) -> tuple[PyramidRoIAlignConfig | None, DynamicMaskHeadConfig | None]:
    """``mask_roi_extractor`` and ``mask_head``, None where there are no masks."""
    if not node.has("mask_head"):
        node.take("mask_head", None)
        node.expect("mask_roi_extractor", None, "as there is no mask_head")
        return None, None
    extractor: PyramidRoIAlignConfig = node.part("mask_roi_extractor", "roi_extractor", known)
    size, threshold = extractor.output_size, float(test.take("mask_thr_binary"))
    heads = node.children("mask_head")
    return extractor, _same(
        node,
        "mask_head",
        num_stages,
        heads,
        lambda stage: _dynamic_mask_head(stage, known, size, threshold),
    )


def _training(node: Node) -> HungarianAssigner:
    assigner: HungarianAssigner = node.part("assigner", "assigner")
    node.part("sampler", "sampler")
    node.expect("pos_weight", 1, "as objects and background weigh the same")
    return assigner


def _interaction_head(node: Node, known: HeadContext, region_size: int) -> tuple[Any, Any, Any]:
    """The head, its losses (classes, boxes, overlaps) and its code of boxes."""
    node.expect("type", "DIIHead", "the head of a stage")
    known.expect_classes(node)
    known.features.expect_channels(node)
    node.expect("num_ffn_fcs", 2, "the layers of a feed-forward step")
    node.expect("dropout", 0.0, "as this head has none")
    _expect_relu(node, "ffn_act_cfg")
    coder = node.child("bbox_coder")
    coder.expect("clip_border", False, "as boxes may reach beyond the image", default=True)
    head = InteractionHeadConfig(
        num_heads=node.take("num_heads", 8),
        dynamic_channels=_dynamic_conv(node, known, region_size, projects=True),
        feedforward_channels=node.take("feedforward_channels", 2048),
        class_layers=node.take("num_cls_fcs", 1),
        box_layers=node.take("num_reg_fcs", 3),
    )
    losses = (
        node.part("loss_cls", "classification_loss"),
        node.part("loss_bbox", "box_loss"),
        node.part("loss_iou", "box_loss"),
    )
    return head, losses, coder.adapt("coder")


def _dynamic_mask_head(
    node: Node, known: HeadContext, region_size: int, threshold: float
) -> DynamicMaskHeadConfig:
    node.expect("type", "DynamicMaskHead", "the mask head of a stage")
    known.expect_classes(node)
    known.features.expect_channels(node)
    known.features.expect_channels(node, "conv_out_channels")
    node.expect("roi_feat_size", region_size, "the size of the regions")
    node.expect("conv_kernel_size", 3, "the convolutions of mask heads")
    node.expect("class_agnostic", False, "as there is a mask per class")
    upsampling = node.child("upsample_cfg")
    upsampling.expect("type", "deconv", "how masks become larger")
    upsampling.expect("scale_factor", 2, "how much larger masks become")
    norm = norm_of(node, default=None)
    if norm is None:
        raise node.error("norm_cfg", "missing, and the convolutions of this head are normalized")
    return DynamicMaskHeadConfig(
        dynamic_channels=_dynamic_conv(node, known, region_size, projects=False),
        num_convs=node.take("num_convs", 4),
        norm=norm,
        loss=dice_loss(node.child("loss_mask"), activates=False),
        threshold=threshold,
    )


def _dynamic_conv(node: Node, known: HeadContext, region_size: int, *, projects: bool) -> int:
    """``dynamic_conv_cfg``: its inner channels."""
    conv = node.child("dynamic_conv_cfg")
    conv.expect("type", "DynamicConv", "how queries and regions interact")
    for key in ("in_channels", "out_channels"):
        known.features.expect_channels(conv, key)
    conv.expect("input_feat_shape", region_size, "the size of the regions")
    conv.expect("with_proj", projects, "what the head goes on with", default=True)
    _expect_relu(conv, "act_cfg")
    norm = conv.child("norm_cfg")
    norm.expect("type", "LN", "the norm of this interaction")
    return conv.take("feat_channels", 64)


def dice_loss(node: Node, *, activates: bool) -> DiceLoss:
    """``activates``: whether V2 applies the sigmoid within its loss or before."""
    node.expect("type", "DiceLoss", "the loss of these masks")
    node.expect("use_sigmoid", True, "as masks are probabilities by a sigmoid")
    node.expect("activate", activates, "where V2 applies the sigmoid here", default=True)
    node.expect("naive_dice", False, "as masks are compared in squares")
    return DiceLoss(weight=float(node.take("loss_weight", 1.0)), eps=float(node.take("eps", 1e-3)))


def _expect_relu(node: Node, key: str) -> None:
    activation = node.child(key)
    activation.expect("type", "ReLU", "the activation of this layer")
    activation.expect("inplace", True, "as V2 has it here", default=False)
