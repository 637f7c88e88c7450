"""YOLACT."""

from __future__ import annotations

from detzoo.detectors.yolact import YOLACTConfig
from detzoo.heads.dense.yolact import YOLACTHeadConfig
from detzoo.heads.prototypes import PrototypeMasksConfig, SemanticMapsConfig
from detzoo.mmdet.adapters.detectors import trunk_of
from detzoo.mmdet.adapters.training import border_of, expect_plain_training
from detzoo.mmdet.known import Features, HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.postprocess.nms import FastNMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import octave_scales
from detzoo.priors.fitted import FittedAnchorGrid
from detzoo.structures import Pixels


@adapts("detector", "YOLACT")
def yolact(node: Node, num_classes: int, pixels: Pixels) -> YOLACTConfig:
    trunk, features = trunk_of(node, pixels)
    context = HeadContext(features, num_classes, node.child("train_cfg"), node.child("test_cfg"))
    head = _head(node.child("bbox_head"), context)
    return YOLACTConfig(
        **trunk,
        bbox_head=head,
        mask_head=_mask_head(node.child("mask_head"), context, head.num_prototypes),
        segm_head=_segm_head(node.child("segm_head"), context),
    )


def _head(node: Node, known: HeadContext) -> YOLACTHeadConfig:
    node.expect("type", "YOLACTHead", "what this detector is about")
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("use_ohem", True, "as hard negatives are mined")
    node.expect("reg_decoded_bbox", False, "as codes are compared, not boxes")
    for key in ("conv_cfg", "norm_cfg"):
        node.expect(key, None, "as in all of the zoo")
    train, test = require_settings(node, known)
    expect_plain_training(train)
    losses = node.child("loss_cls")
    losses.expect("reduction", "none", "as hard negatives are mined", default="mean")
    test.expect("min_bbox_size", 0, "as boxes without area are always dropped", default=0)
    pre_nms = test.take("nms_pre", -1)
    return YOLACTHeadConfig(
        num_convs=node.take("num_head_convs", 1),
        channels=node.take("feat_channels", 256),
        num_prototypes=node.take("num_protos", 32),
        negative_ratio=train.take("neg_pos_ratio"),
        priors=_anchors(node.child("anchor_generator"), known.features),
        coder=node.part("bbox_coder", "coder"),
        assigner=train.part("assigner", "assigner"),
        border=border_of(train),
        classification_loss=losses.adapt("classification_loss"),
        box_loss=node.part("loss_bbox", "box_loss"),
        select=Select(
            min_score=float(test.take("score_thr")),
            pre_nms=pre_nms if pre_nms > 0 else None,
            suppression=FastNMS(
                max_iou=float(test.take("iou_thr")), max_per_group=test.take("top_k")
            ),
            max_detections=test.take("max_per_img"),
        ),
    )


def _anchors(node: Node, features: Features) -> FittedAnchorGrid:
    """V2 repeats how far cells are apart as ``strides``, and half of it as ``centers``."""
    node.expect("type", "AnchorGenerator", "what places anchors")
    node.expect("base_sizes", features.strides, "the strides of the feature maps")
    spacings = node.take("strides")
    node.expect(
        "centers", [(0.5 * space, 0.5 * space) for space in spacings], "the centers of cells"
    )
    # The size of the image is a whole number of pixels, and so are its cells.
    size = next(
        (
            size
            for size in range(1, 2049)
            if all(abs(size / space - round(size / space)) < 1e-6 for space in spacings)
        ),
        None,
    )
    if size is None:
        raise node.error("strides", "do not divide an image of any size")
    return FittedAnchorGrid(
        scales=octave_scales(float(node.take("octave_base_scale")), node.take("scales_per_octave")),
        ratios=tuple(float(ratio) for ratio in node.take("ratios")),
        image_size=size,
        cells=tuple(round(size / space) for space in spacings),
    )


def _mask_head(node: Node, known: HeadContext, num_prototypes: int) -> PrototypeMasksConfig:
    node.expect("type", "YOLACTProtonet", "what makes masks")
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("num_protos", num_prototypes, "the coefficients of each mask", default=32)
    node.expect("include_last_relu", True, "as prototypes are not negative")
    channels = node.take("proto_channels", (256, 256, 256, None, 256, num_prototypes))
    width, count = channels[0], channels.index(None)
    if channels != (*[width] * count, None, width, num_prototypes):
        raise node.error("proto_channels", f"{channels} are not those of YOLACT")
    kernels = (*[3] * count, -2, 3, 1)
    node.expect("proto_kernel_sizes", kernels, "as in all of the zoo", default=(3, 3, 3, -2, 3, 1))
    return PrototypeMasksConfig(
        num_convs=count,
        channels=width,
        num_prototypes=num_prototypes,
        loss_weight=float(node.take("loss_mask_weight", 1.0)),
        max_masks=node.take("max_masks_to_train", 100),
    )


def _segm_head(node: Node, known: HeadContext) -> SemanticMapsConfig:
    node.expect("type", "YOLACTSegmHead", "what learns semantic maps")
    known.features.expect_channels(node)
    known.expect_classes(node)
    loss = node.child("loss_segm")
    loss.expect("type", "CrossEntropyLoss", "the loss of semantic maps")
    loss.expect("use_sigmoid", True, "as classes are asked for one by one", default=False)
    return SemanticMapsConfig(loss_weight=float(loss.take("loss_weight", 1.0)))
