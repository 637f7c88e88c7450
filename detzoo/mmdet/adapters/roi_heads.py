"""RoI heads and their parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from detzoo.backbones.resnet import ResNetConfig, stage_channels
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.branched_box_head import BranchedBoxHeadConfig
from detzoo.heads.roi.deformable_extractor import DeformablePoolingConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig, PyramidRoIPoolConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.shared_stage import SharedStageConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.losses.classification import (
    BackgroundCrossEntropy,
    BackgroundFocalLoss,
    FocalLoss,
    SigmoidCrossEntropy,
)
from detzoo.mmdet.adapters.backbones import starting_from
from detzoo.mmdet.adapters.dense_heads import box_loss_of
from detzoo.mmdet.adapters.layers import (
    convolution_of,
    expect_carafe,
    norm_of,
    pretrained_of,
)
from detzoo.mmdet.adapters.training import detection_select, expect_plain_training
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("roi_extractor", "SingleRoIExtractor")
def roi_extractor(
    node: Node, known: HeadContext
) -> PyramidRoIAlignConfig | PyramidRoIPoolConfig | DeformablePoolingConfig:
    layer = node.child("roi_layer")
    if layer.type in ("DeformRoIPoolPack", "ModulatedDeformRoIPoolPack"):
        return _deformable_extractor(node, layer, known)
    if layer.type == "RoIPool":
        strides = _strides(node, known)
        older = layer.take("out_size", None)
        return PyramidRoIPoolConfig(
            output_size=layer.take("output_size") if older is None else older,
            num_levels=len(strides),
            finest_scale=float(node.take("finest_scale", 56)),
        )
    layer.expect("type", "RoIAlign", "as regions are cut out by RoIAlign or RoIPool")
    # Until 2.4, mmcv's names were others.
    size, samples = layer.take("out_size", None), layer.take("sample_num", 0)
    layer.expect("pool_mode", "avg", "as RoIAlign averages its samples")
    strides = _strides(node, known)
    return PyramidRoIAlignConfig(
        output_size=layer.take("output_size") if size is None else size,
        sampling_ratio=layer.take("sampling_ratio", samples),
        aligned=layer.take("aligned", True),
        num_levels=len(strides),
        finest_scale=float(node.take("finest_scale", 56)),
    )


def _strides(node: Node, known: HeadContext) -> tuple[int, ...]:
    """``featmap_strides``, and ``out_channels``: facts about the maps."""
    strides: tuple[int, ...] = node.take("featmap_strides")
    if strides != known.features.strides[: len(strides)]:
        raise node.error(
            "featmap_strides", f"{strides} are not those of the maps, {known.features.strides}"
        )
    known.features.expect_channels(node, "out_channels")
    return strides


def _deformable_extractor(node: Node, layer: Node, known: HeadContext) -> DeformablePoolingConfig:
    known.features.expect_channels(layer, "output_channels")
    for key, value in (("deform_fc_channels", 1024), ("sampling_ratio", 0), ("gamma", 0.1)):
        layer.expect(key, value, "the setting of the zoo's deformable pooling")
    strides = _strides(node, known)
    return DeformablePoolingConfig(
        output_size=layer.take("output_size"),
        num_levels=len(strides),
        finest_scale=float(node.take("finest_scale", 56)),
        modulated=layer.type == "ModulatedDeformRoIPoolPack",
    )


@adapts("shared_head", "ResLayer")
def shared_stage(node: Node) -> SharedStageConfig:
    stage = node.take("stage", 3)
    strides, dilations = [1, 2, 2, 2], [1, 1, 1, 1]
    strides[stage], dilations[stage] = node.take("stride", 2), node.take("dilation", 1)
    resnet = ResNetConfig(
        depth=node.take("depth"),
        style=node.take("style", "pytorch"),
        strides=tuple(strides),
        dilations=tuple(dilations),
        norm=norm_of(
            node,
            fixed_statistics=node.take("norm_eval", True),
            default=BatchNormConfig(fixed_statistics=True),
        ),
        checkpoint_activations=node.take("with_cp", False),
    )
    return SharedStageConfig(resnet=starting_from(resnet, pretrained_of(node)), index=stage)


@dataclass(frozen=True)
class Regions:
    """What a head sees of each region."""

    channels: int
    size: int
    num_classes: int


@adapts("box_head", "BBoxHead")
def box_head(node: Node, regions: Regions) -> BoxHeadConfig:
    """V2's BBoxHead: one layer each, on averaged features."""
    node.expect("with_avg_pool", True, "as a head without layers averages", default=False)
    return BoxHeadConfig(num_shared_fcs=0, **box_outputs(node, regions))


@adapts("box_head", "Shared2FCBBoxHead")
def shared_fcs_box_head(node: Node, regions: Regions) -> BoxHeadConfig:
    """V2's Shared2FCBBoxHead."""
    return _layered_box_head(node, regions, num_shared_fcs=2)


@adapts("box_head", "Shared4Conv1FCBBoxHead")
def shared_convs_box_head(node: Node, regions: Regions) -> BoxHeadConfig:
    """V2's Shared4Conv1FCBBoxHead."""
    return _layered_box_head(node, regions, num_shared_convs=4, num_shared_fcs=1)


@adapts("box_head", "ConvFCBBoxHead")
def conv_fc_box_head(node: Node, regions: Regions) -> BoxHeadConfig:
    """V2's ConvFCBBoxHead, which the two above are kinds of."""
    names = (
        ("num_class_convs", "num_cls_convs"),
        ("num_class_fcs", "num_cls_fcs"),
        ("num_box_convs", "num_reg_convs"),
        ("num_box_fcs", "num_reg_fcs"),
    )
    branches = {own: node.take(theirs, 0) for own, theirs in names}
    shared = {key: node.take(key, 0) for key in ("num_shared_convs", "num_shared_fcs")}
    return _layered_box_head(node, regions, branches, **shared)


def _layered_box_head(
    node: Node,
    regions: Regions,
    branches: Mapping[str, Any] = MappingProxyType({}),
    *,
    num_shared_convs: int = 0,
    num_shared_fcs: int = 0,
) -> BoxHeadConfig:
    """With shared layers, and those of ``branches`` if there are any."""
    has_convs = num_shared_convs or any("convs" in key and branches[key] for key in branches)
    settings: dict[str, Any] = {
        "num_shared_convs": num_shared_convs,
        "num_shared_fcs": num_shared_fcs,
        **(_convolutions(node) if has_convs else {}),
        "fc_channels": node.take("fc_out_channels", 1024),
        **box_outputs(node, regions),
    }
    if not has_convs:
        for key in ("conv_out_channels", "conv_cfg", "norm_cfg"):
            node.leave(key, "this head has no convolutions")
    averages = node.take("with_avg_pool", False)
    if num_shared_fcs and not averages and not any(branches.values()):
        return BoxHeadConfig(**settings)
    return BranchedBoxHeadConfig(**settings, **branches, averages=averages)


def _convolutions(node: Node) -> dict[str, Any]:
    return {
        "conv_channels": node.take("conv_out_channels", 256),
        "convolution": convolution_of(node),
        "norm": norm_of(node, default=None),
    }


def box_outputs(node: Node, regions: Regions) -> dict[str, Any]:
    """What all box heads say of their outputs."""
    node.expect("in_channels", regions.channels, "the channels of the regions", default=256)
    node.expect("roi_feat_size", regions.size, "the size of the regions", default=7)
    node.expect("num_classes", regions.num_classes, "the number of class names", default=80)
    return {
        "class_agnostic_boxes": node.take("reg_class_agnostic", False),
        "normalized_classifier": _is_normalized(
            node, "cls_predictor_cfg", "Linear", "NormedLinear"
        ),
        "coder": node.part("bbox_coder", "coder"),
        "classification_loss": classification_loss(node, regions.num_classes),
        "box_loss": box_loss_of(node),
    }


def classification_loss(node: Node, num_classes: int) -> Any:
    """``loss_cls``; Seesaw loss repeats the number of classes."""
    loss = node.child("loss_cls")
    if loss.has("num_classes"):
        loss.expect("num_classes", num_classes, "the number of class names")
    found = loss.adapt("classification_loss")
    # V2's RoI heads have C + 1 rows and a softmax with any loss that has no activation of its own.
    if isinstance(found, SigmoidCrossEntropy):
        return BackgroundCrossEntropy(weight=found.weight, class_weights=found.class_weights)
    if isinstance(found, FocalLoss):
        return BackgroundFocalLoss(weight=found.weight, gamma=found.gamma, alpha=found.alpha)
    return found


def _is_normalized(node: Node, key: str, plain: str, normalized: str) -> bool:
    """Whether the predictor at ``key`` is the V2 type ``normalized`` instead of ``plain``."""
    predictor = node.optional_child(key)
    if predictor is None or predictor.type == plain:
        return False
    if predictor.type != normalized:
        raise predictor.error("type", f"{predictor.type!r} is neither {plain} nor {normalized}")
    predictor.expect("tempearture", 20, "the temperature of that predictor (V2 spells it so)")
    return True


@adapts("mask_head", "FCNMaskHead")
def mask_head(node: Node, regions: Regions, threshold: float) -> MaskHeadConfig:
    """V2's FCNMaskHead."""
    return mask_settings(node, regions, threshold)


def mask_settings(
    node: Node, regions: Regions, threshold: float, *, residual: bool = False
) -> MaskHeadConfig:
    """An FCNMaskHead, or one like it. It ignores its own ``roi_feat_size``."""
    node.take("roi_feat_size", None)
    node.expect("in_channels", regions.channels, "the channels of the regions", default=256)
    node.expect("num_classes", regions.num_classes, "the number of class names", default=80)
    loss = node.child("loss_mask")
    loss.expect("type", "CrossEntropyLoss", "the loss of masks")
    loss.expect("use_mask", True, "as each region learns the mask of its class")
    return MaskHeadConfig(
        num_convs=node.take("num_convs", 4),
        channels=node.take("conv_out_channels", 256),
        convolution=convolution_of(node),
        norm=norm_of(node, default=None),
        residual=residual,
        upsampling=_upsampling(node),
        normalized_predictor=_is_normalized(node, "predictor_cfg", "Conv", "NormedConv2d"),
        class_agnostic=node.take("class_agnostic", False),
        loss_weight=float(loss.take("loss_weight", 1.0)),
        threshold=threshold,
    )


def _upsampling(node: Node) -> Literal["deconvolution", "carafe"]:
    """``upsample_cfg``."""
    upsampling = node.optional_child("upsample_cfg")
    if upsampling is None:
        return "deconvolution"
    upsampling.expect("scale_factor", 2, "as masks are twice the size of their regions")
    if upsampling.type == "deconv":
        return "deconvolution"
    if upsampling.type != "carafe":
        raise upsampling.error("type", f"{upsampling.type!r} is neither deconv nor carafe")
    expect_carafe(upsampling)
    return "carafe"


@adapts("roi_head", "StandardRoIHead")
def standard_roi_head(node: Node, known: HeadContext) -> StandardRoIHeadConfig:
    settings = standard_settings(node, known)
    assert known.train is not None
    return StandardRoIHeadConfig(**settings, sampler=known.train.part("sampler", "sampler"))


def standard_settings(node: Node, known: HeadContext) -> dict[str, Any]:
    """Those of a standard RoI head, except its sampler."""
    train, test = require_settings(node, known)
    expect_plain_training(train)
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known)
    stage = node.optional_part("shared_head", "shared_head")
    regions = Regions(known.features.channels[0], extractor.output_size, known.num_classes)
    if stage is not None:
        size = regions.size // stage.resnet.strides[stage.index]
        regions = Regions(stage_channels(stage.resnet, stage.index), size, known.num_classes)
    mask_extractor = node.optional_part("mask_roi_extractor", "roi_extractor", known)
    masks = None
    if node.has("mask_head"):
        size = regions.size if mask_extractor is None else mask_extractor.output_size
        train.expect("mask_size", 2 * size, "the size of the head's masks")
        masks = node.part("mask_head", "mask_head", regions, test.take("mask_thr_binary", 0.5))
    else:
        # Of a Mask R-CNN whose masks were taken away, V2 reads neither.
        train.take("mask_size", None)
        test.take("mask_thr_binary", None)
        node.take("mask_head", None)
    return {
        "extractor": extractor,
        "shared_stage": stage,
        "box_head": node.part("bbox_head", "box_head", regions),
        "mask_extractor": mask_extractor,
        "mask_head": masks,
        "assigner": train.part("assigner", "assigner"),
        "select": detection_select(test),
    }
