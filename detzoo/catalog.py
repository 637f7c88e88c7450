"""The config classes that a saved file may name. Nothing else is ever built from a file."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

from detzoo.config import config_types

# Every module that defines a ``@config`` class; a test finds one that is missing.
MODULES = (
    "detzoo.assigners.approximate",
    "detzoo.assigners.base",
    "detzoo.assigners.max_iou",
    "detzoo.assigners.size_range",
    "detzoo.backbones.base",
    "detzoo.backbones.csp_darknet",
    "detzoo.backbones.darknet",
    "detzoo.backbones.hourglass",
    "detzoo.backbones.mobilenet_v2",
    "detzoo.backbones.resnet",
    "detzoo.backbones.ssd_vgg",
    "detzoo.coders.base",
    "detzoo.coders.delta",
    "detzoo.coders.distance",
    "detzoo.data.sample",
    "detzoo.data.transforms.crop",
    "detzoo.data.transforms.expand",
    "detzoo.data.transforms.filter_boxes",
    "detzoo.data.transforms.flip",
    "detzoo.data.transforms.min_iou_crop",
    "detzoo.data.transforms.pad",
    "detzoo.data.transforms.photometric",
    "detzoo.data.transforms.resize",
    "detzoo.data.transforms.semantic",
    "detzoo.data.transforms.torchvision_v2",
    "detzoo.detectors.base",
    "detzoo.detectors.proposal_only",
    "detzoo.detectors.single_stage",
    "detzoo.detectors.two_stage",
    "detzoo.experiment",
    "detzoo.heads.base",
    "detzoo.heads.dense.base",
    "detzoo.heads.dense.fcos",
    "detzoo.heads.dense.guided",
    "detzoo.heads.dense.guided_retina",
    "detzoo.heads.dense.guided_rpn",
    "detzoo.heads.dense.retina",
    "detzoo.heads.dense.retina_sep_norm",
    "detzoo.heads.dense.rpn",
    "detzoo.heads.roi.base",
    "detzoo.heads.roi.box_head",
    "detzoo.heads.roi.cascade",
    "detzoo.heads.roi.extractor",
    "detzoo.heads.roi.htc",
    "detzoo.heads.roi.mask_head",
    "detzoo.heads.roi.semantic_head",
    "detzoo.heads.roi.shared_stage",
    "detzoo.heads.roi.standard",
    "detzoo.layers.convolution",
    "detzoo.layers.norm",
    "detzoo.losses.boxes",
    "detzoo.losses.classification",
    "detzoo.necks.base",
    "detzoo.necks.bfp",
    "detzoo.necks.fpn",
    "detzoo.necks.nas_fpn",
    "detzoo.necks.sequence",
    "detzoo.optim.ema",
    "detzoo.optim.optimizers",
    "detzoo.optim.schedules",
    "detzoo.postprocess.nms",
    "detzoo.postprocess.select",
    "detzoo.priors.anchors",
    "detzoo.priors.base",
    "detzoo.priors.points",
    "detzoo.samplers.balanced",
    "detzoo.samplers.base",
    "detzoo.samplers.ohem",
    "detzoo.samplers.random",
    "detzoo.structures.pixels",
)


@functools.cache
def config_classes() -> Mapping[str, type]:
    """The concrete config classes by name."""
    return config_types(*(importlib.import_module(name) for name in MODULES))
