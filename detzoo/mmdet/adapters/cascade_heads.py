"""Cascades of boxes and masks, Fast R-CNN, and the RoI heads that differ in training alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.heads.roi.all_levels import AllLevelsPoolingConfig
from detzoo.heads.roi.cascade import CascadeRoIHeadConfig, CascadeStage
from detzoo.heads.roi.dynamic import DynamicRoIHeadConfig
from detzoo.heads.roi.htc import HTCRoIHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.losses.seesaw import SeesawLossConfig
from detzoo.mmdet.adapters.detectors import trunk_of
from detzoo.mmdet.adapters.roi_heads import Regions, mask_head
from detzoo.mmdet.adapters.training import detection_select, expect_plain_training
from detzoo.mmdet.known import Features, HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.structures import Pixels


@dataclass(frozen=True)
class CascadeContext:
    """What the head of a cascade is told: ``train`` has the settings of each stage."""

    features: Features
    num_classes: int
    train: list[Node]
    test: Node

    @property
    def single(self) -> HeadContext:
        """The same for a part that all stages share."""
        return HeadContext(self.features, self.num_classes, None, self.test)


@adapts("detector", "CascadeRCNN", "HybridTaskCascade", "SCNet")
def cascade(node: Node, num_classes: int, pixels: Pixels) -> TwoStageConfig:
    """Cascade R-CNN, HTC and SCNet."""
    trunk, features = trunk_of(node, pixels)
    train, test = node.child("train_cfg"), node.child("test_cfg")
    rpn = HeadContext(features, num_classes, train.child("rpn"), test.child("rpn"))
    stages = CascadeContext(features, num_classes, train.children("rcnn"), test.child("rcnn"))
    return TwoStageConfig(
        **trunk,
        rpn_head=node.part("rpn_head", "proposal_head", rpn, train.child("rpn_proposal")),
        roi_head=node.part("roi_head", "cascade_head", stages),
    )


@adapts("detector", "FastRCNN")
def fast_rcnn(node: Node, num_classes: int, pixels: Pixels) -> TwoStageConfig:
    """Proposals come from a file, so there is no RPN."""
    trunk, features = trunk_of(node, pixels)
    settings = node.child("train_cfg"), node.child("test_cfg")
    train, test = (part.child("rcnn") for part in settings)
    context = HeadContext(features, num_classes, train, test)
    return TwoStageConfig(
        **trunk, rpn_head=None, roi_head=node.part("roi_head", "roi_head", context)
    )


@adapts("cascade_head", "CascadeRoIHead")
def cascade_roi_head(node: Node, known: CascadeContext) -> CascadeRoIHeadConfig:
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known.single)
    masks = mask_extractor = None
    if node.has("mask_head"):
        mask_extractor = node.part("mask_roi_extractor", "roi_extractor", known.single)
        masks = _mask_heads(node, known, mask_extractor.output_size, "mask_head")
    else:
        node.take_any("mask_head")
        node.leave("mask_roi_extractor", "there is no mask_head")
        # Of a cascade whose masks were taken away, V2 reads neither.
        for stage in known.train:
            stage.take("mask_size", None)
        known.test.take("mask_thr_binary", None)
    return CascadeRoIHeadConfig(
        stages=stages_of(node, known, extractor.output_size),
        extractor=extractor,
        mask_extractor=mask_extractor,
        mask_head=masks,
        select=detection_select(known.test),
    )


@adapts("cascade_head", "HybridTaskCascadeRoIHead")
def htc_roi_head(node: Node, known: CascadeContext) -> CascadeRoIHeadConfig:
    if not node.has("mask_head") and not node.has("semantic_head"):
        for key in ("interleaved", "mask_info_flow", "semantic_fusion", "semantic_roi_extractor"):
            node.leave(key, "without masks, this is a plain cascade of boxes")
        node.take_any("semantic_head")
        return cascade_roi_head(node, known)
    node.expect("interleaved", True, "as boxes are refined before their masks are made")
    node.expect("mask_info_flow", True, "as each mask head sees the one before")
    node.expect("semantic_fusion", ("bbox", "mask"), "where features of pixels are added")
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known.single)
    mask_extractor = node.part("mask_roi_extractor", "roi_extractor", known.single)
    settings: dict[str, Any] = {}
    if node.has("semantic_head"):
        settings = semantic_settings(node, known)
    else:
        node.expect("semantic_head", None, "as there is none")
        node.expect("semantic_roi_extractor", None, "as there is no semantic_head")
    masks = _mask_heads(node, known, mask_extractor.output_size, "htc_mask_head")
    return HTCRoIHeadConfig(
        stages=stages_of(node, known, extractor.output_size),
        extractor=extractor,
        mask_extractor=mask_extractor,
        mask_head=masks,
        select=detection_select(known.test),
        **settings,
    )


def htc_mask_head(
    node: Node, regions: Regions, threshold: float, *, is_first: bool
) -> MaskHeadConfig:
    node.expect("with_conv_res", not is_first, "as all but the first see another", default=True)
    return mask_head(node, regions, threshold)


def semantic_settings(
    node: Node, known: CascadeContext, kind: str = "FusedSemanticHead", *, residual: bool = False
) -> dict[str, Any]:
    """``semantic_head`` and ``semantic_roi_extractor``."""
    head = node.child("semantic_head")
    head.expect("type", kind, "the head for pixels")
    if residual:
        head.expect("conv_to_res", True, "as convolutions are residual")
    level = head.take("fusion_level")
    features = known.features
    head.expect("num_ins", len(features.channels), "the number of feature maps")
    head.expect("in_channels", features.channels[0], "the channels of the feature maps")
    # Until 2.16, both were settings of the head; V2 still takes the label, unless it is 0.
    label, weight = head.take("ignore_label", None) or 255, head.take("loss_weight", None)
    own = {"type": "CrossEntropyLoss", "ignore_index": 255, "loss_weight": weight or 0.2}
    head.left.setdefault("loss_seg", own)
    loss = head.child("loss_seg")
    loss.expect("type", "CrossEntropyLoss", "the loss of pixels")
    loss.expect("ignore_index", 255, "the value of pixels without a class")
    if label != 255:
        reason = f"{label} is not 255, the value of pixels without a class"
        head.reading.note(loss.error("ignore_index", reason))
    stride = Features(features.channels[level:], features.strides[level:])
    context = HeadContext(stride, known.num_classes, None, known.test)
    return {
        "semantic_head": SemanticHeadConfig(
            num_classes=head.take("num_classes", 183),
            fusion_level=level,
            num_convs=head.take("num_convs", 4),
            channels=head.take("conv_out_channels", 256),
            residual=residual,
            loss_weight=float(loss.take("loss_weight", 1.0)),
        ),
        "semantic_extractor": node.part("semantic_roi_extractor", "roi_extractor", context),
    }


def stages_of(node: Node, known: CascadeContext, size: int) -> tuple[CascadeStage, ...]:
    """``bbox_head``, the settings of each stage, and the weights of their losses."""
    regions = Regions(known.features.channels[0], size, known.num_classes)
    heads = node.children("bbox_head")
    count = node.take("num_stages")
    weights = node.take("stage_loss_weights")
    for what, values in (("bbox_head", heads), ("stage_loss_weights", weights)):
        if len(values) != count:
            raise node.error(what, f"has {len(values)} elements for {count} stages")
    if len(known.train) != count:
        raise node.error("num_stages", f"{count}, but train_cfg.rcnn has {len(known.train)}")
    stages = []
    for head, train, weight in zip(heads, known.train, weights):
        expect_plain_training(train)
        stages.append(
            CascadeStage(
                box_head=head.adapt("box_head", regions),
                assigner=train.part("assigner", "assigner"),
                sampler=train.part("sampler", "sampler"),
                loss_weight=float(weight),
            )
        )
    return tuple(stages)


def _mask_heads(node: Node, known: CascadeContext, size: int, kind: str) -> MaskHeadConfig:
    """The one configuration that the mask heads of all stages share."""
    regions = Regions(known.features.channels[0], size, known.num_classes)
    threshold = known.test.take("mask_thr_binary", 0.5)
    for train in known.train:
        train.expect("mask_size", 2 * size, "the size of the head's masks")
    heads = []
    for number, head in enumerate(node.children("mask_head")):
        if kind == "htc_mask_head":
            if head.type != "HTCMaskHead":
                raise head.error("type", f"{head.type!r} is not HTCMaskHead")
            heads.append(htc_mask_head(head, regions, threshold, is_first=number == 0))
        else:
            heads.append(head.adapt(kind, regions, threshold))
    if len(heads) not in (1, len(known.train)) or len(set(heads)) != 1:
        raise node.error("mask_head", "its elements differ; every stage has the same here")
    return heads[0]


@adapts("roi_head", "DynamicRoIHead")
def dynamic_roi_head(node: Node, known: HeadContext) -> DynamicRoIHeadConfig:
    train, test = require_settings(node, known)
    expect_plain_training(train)
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known)
    regions = Regions(known.features.channels[0], extractor.output_size, known.num_classes)
    box_head = node.part("bbox_head", "box_head", regions)
    dynamic = train.child("dynamic_rcnn")
    # Both thresholds of the assigner are replaced as training goes on; they start as configured.
    assigner = train.part("assigner", "assigner")
    if assigner != type(assigner)(
        positive_iou=assigner.positive_iou,
        negative_iou=assigner.positive_iou,
        min_positive_iou=assigner.positive_iou,
        match_low_quality=False,
    ):
        raise train.error("assigner", "has several thresholds; in training they become one")
    if not isinstance(box_head.box_loss, SmoothL1Loss):
        raise node.error("bbox_head.loss_bbox", "is not SmoothL1Loss, whose beta changes here")
    dynamic.expect("initial_beta", box_head.box_loss.beta, "the beta of loss_bbox")
    return DynamicRoIHeadConfig(
        extractor=extractor,
        box_head=box_head,
        sampler=train.part("sampler", "sampler"),
        first_iou=assigner.positive_iou,
        min_iou=float(dynamic.take("initial_iou")),
        max_beta=float(box_head.box_loss.beta),
        iou_rank=dynamic.take("iou_topk"),
        error_rank=dynamic.take("beta_topk"),
        update_interval=dynamic.take("update_iter_interval"),
        select=detection_select(test),
    )


@adapts("roi_extractor", "GenericRoIExtractor")
def all_levels_extractor(node: Node, known: HeadContext) -> AllLevelsPoolingConfig:
    """V2's GenericRoIExtractor as GRoIE has it."""
    node.expect("aggregation", "sum", "how the levels come together")
    layer = node.child("roi_layer")
    layer.expect("type", "RoIAlign", "how regions are cut out")
    layer.expect("aligned", True, "as cells are half-pixel aligned")
    channels = known.features.channels[0]
    known.features.expect_channels(node, "out_channels")
    strides = node.take("featmap_strides")
    if strides != known.features.strides[: len(strides)]:
        raise node.error("featmap_strides", f"{strides} are not those of the maps")
    before, after = node.optional_child("pre_cfg"), node.optional_child("post_cfg")
    if before is not None:
        for key, value in (
            ("type", "ConvModule"),
            ("in_channels", channels),
            ("out_channels", channels),
            ("kernel_size", 5),
            ("padding", 2),
            ("inplace", False),
        ):
            before.expect(key, value, "the convolution of each level in GRoIE")
    if after is not None:
        for key, value in (
            ("type", "GeneralizedAttention"),
            ("in_channels", channels),
            ("spatial_range", -1),
            ("num_heads", 6),
            ("attention_type", "0100"),
            ("kv_stride", 2),
        ):
            after.expect(key, value, "the attention of GRoIE")
    return AllLevelsPoolingConfig(
        output_size=layer.take("output_size"),
        sampling_ratio=layer.take("sampling_ratio"),
        num_levels=len(strides),
        convolves=before is not None,
        attends=after is not None,
    )


@adapts("classification_loss", "SeesawLoss")
def seesaw_loss(node: Node) -> SeesawLossConfig:
    node.expect("use_sigmoid", False, "as it is a softmax loss")
    node.expect("eps", 1e-2, "the least probability")
    node.expect("return_dict", True, "as both parts are logged")
    return SeesawLossConfig(
        weight=float(node.take("loss_weight", 1.0)),
        mitigation=node.take("p", 0.8),
        compensation=node.take("q", 2.0),
    )
