"""Designed network design spaces."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.pretrained import TORCHVISION
from detzoo.backbones.regnet import RegNetConfig, Variant
from detzoo.experiment import Experiment
from detzoo.layers.convolution import DeformConvConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import EPOCHS_36_CAFFE, RANGE_3X, SIX_SIZES
from detzoo.zoo.retinanet import retinanet

REGNET_SGD = SGDConfig(lr=0.02, weight_decay=5e-5)


def regnet(variant: Variant, deformable: DeformConvConfig | None = None) -> RegNetConfig:
    """RegNetX with pycls's weights."""
    return RegNetConfig(
        variant=variant, deformable=deformable, pretrained="open-mmlab://{architecture}"
    )


def mask_rcnn_poly(variant: Variant) -> Experiment:
    """Mask R-CNN trained on polygons, with a different pixel normalization than that of the
    weights.
    """
    experiment = mask_rcnn(
        regnet(variant),
        optimizer=REGNET_SGD,
        masks="polygon",
        max_gradient_norm=35.0,
        **RANGE_3X,
    )
    model = dataclasses.replace(experiment.model, pixels=TORCHVISION)
    return dataclasses.replace(experiment, model=model)


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_regnetx-1.6GF_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(regnet("1.6gf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=44.5,
        mask_ap=39.0,
        memory_gb=5.4,
        weights="cascade_mask_rcnn_regnetx-1_20210715_211616-75f29a61.pth",
    ),
    Entry(
        "cascade_mask_rcnn_regnetx-3.2GF_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(regnet("3.2gf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=45.8,
        mask_ap=40.0,
        memory_gb=6.4,
        weights="cascade_mask_rcnn_regnetx-3_20210715_211616-b9c2c58b.pth",
    ),
    Entry(
        "cascade_mask_rcnn_regnetx-400MF_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(regnet("400mf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=41.6,
        mask_ap=36.4,
        memory_gb=4.3,
        weights="cascade_mask_rcnn_regnetx-400MF_fpn_mstrain_3x_coco_20210715_211619-5142f449.pth",
    ),
    Entry(
        "cascade_mask_rcnn_regnetx-4GF_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(regnet("4.0gf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=45.8,
        mask_ap=40.0,
        memory_gb=6.9,
        weights="cascade_mask_rcnn_regnetx-4GF_fpn_mstrain_3x_coco_20210715_212034-cbb1be4c.pth",
    ),
    Entry(
        "cascade_mask_rcnn_regnetx-800MF_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(regnet("800mf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=42.8,
        mask_ap=37.6,
        memory_gb=4.8,
        weights="cascade_mask_rcnn_regnetx-800MF_fpn_mstrain_3x_coco_20210715_211616-dcbd13f4.pth",
    ),
    Entry(
        "faster_rcnn_regnetx-1.6GF_fpn_mstrain_3x_coco",
        faster_rcnn(regnet("1.6gf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=40.5,
        memory_gb=3.4,
        weights="faster_rcnn_regnetx-1_20210526_095325-94aa46cc.pth",
    ),
    Entry(
        "faster_rcnn_regnetx-3.2GF_fpn_1x_coco",
        faster_rcnn(regnet("3.2gf"), optimizer=REGNET_SGD),
        box_ap=39.9,
        memory_gb=4.5,
        weights="faster_rcnn_regnetx-3.2GF_fpn_1x_coco_20200517_175927-126fd9bf.pth",
    ),
    Entry(
        "faster_rcnn_regnetx-3.2GF_fpn_2x_coco",
        faster_rcnn(regnet("3.2gf"), optimizer=REGNET_SGD, schedule=epochs(24)),
        box_ap=41.1,
        memory_gb=4.5,
        weights="faster_rcnn_regnetx-3.2GF_fpn_2x_coco_20200520_223955-e2081918.pth",
    ),
    Entry(
        "faster_rcnn_regnetx-3.2GF_fpn_mstrain_3x_coco",
        faster_rcnn(regnet("3.2gf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=42.3,
        memory_gb=4.4,
        weights="faster_rcnn_regnetx-3_20210526_095152-e16a5227.pth",
    ),
    Entry(
        "faster_rcnn_regnetx-400MF_fpn_mstrain_3x_coco",
        faster_rcnn(regnet("400mf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=37.1,
        memory_gb=2.3,
        weights="faster_rcnn_regnetx-400MF_fpn_mstrain_3x_coco_20210526_095112-e1967c37.pth",
    ),
    Entry(
        "faster_rcnn_regnetx-4GF_fpn_mstrain_3x_coco",
        faster_rcnn(regnet("4.0gf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=42.8,
        memory_gb=4.9,
        weights="faster_rcnn_regnetx-4GF_fpn_mstrain_3x_coco_20210526_095201-65eaf841.pth",
    ),
    Entry(
        "faster_rcnn_regnetx-800MF_fpn_mstrain_3x_coco",
        faster_rcnn(regnet("800mf"), optimizer=REGNET_SGD, **RANGE_3X),
        box_ap=38.8,
        memory_gb=2.8,
        weights="faster_rcnn_regnetx-800MF_fpn_mstrain_3x_coco_20210526_095118-a2c70b20.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-1.6GF_fpn_mstrain-poly_3x_coco",
        mask_rcnn_poly("1.6gf"),
        box_ap=40.9,
        mask_ap=37.5,
        memory_gb=3.6,
        weights="mask_rcnn_regnetx-1_20210602_210641-6764cff5.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-12GF_fpn_1x_coco",
        mask_rcnn(regnet("12gf"), optimizer=REGNET_SGD),
        box_ap=42.2,
        mask_ap=38.0,
        memory_gb=7.4,
        weights="mask_rcnn_regnetx-12GF_fpn_1x_coco_20200517_180552-b538bd8b.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-3.2GF_fpn_1x_coco",
        mask_rcnn(regnet("3.2gf"), optimizer=REGNET_SGD),
        box_ap=40.3,
        mask_ap=36.6,
        memory_gb=5.0,
        weights="mask_rcnn_regnetx-3.2GF_fpn_1x_coco_20200520_163141-2a9d1814.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-3.2GF_fpn_mdconv_c3-c5_1x_coco",
        mask_rcnn(
            regnet("3.2gf", deformable=DeformConvConfig(modulated=True)), optimizer=REGNET_SGD
        ),
        box_ap=40.3,
        mask_ap=36.6,
        memory_gb=5.0,
        weights="mask_rcnn_regnetx-3.2GF_fpn_mdconv_c3-c5_1x_coco_20200520_172726-75f40794.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-3.2GF_fpn_mstrain_3x_coco",
        mask_rcnn(
            regnet("3.2gf"),
            optimizer=REGNET_SGD,
            sizes=SIX_SIZES,
            schedule=EPOCHS_36_CAFFE,
            max_gradient_norm=35.0,
        ),
        box_ap=43.1,
        mask_ap=38.7,
        memory_gb=5.0,
        weights="mask_rcnn_regnetx-3.2GF_fpn_mstrain_3x_coco_20200521_202221-99879813.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-400MF_fpn_mstrain-poly_3x_coco",
        mask_rcnn_poly("400mf"),
        box_ap=37.6,
        mask_ap=34.4,
        memory_gb=2.5,
        weights="mask_rcnn_regnetx-400MF_fpn_mstrain-poly_3x_coco_20210601_235443-8aac57a4.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-4GF_fpn_1x_coco",
        mask_rcnn(regnet("4.0gf"), optimizer=REGNET_SGD),
        box_ap=41.5,
        mask_ap=37.4,
        memory_gb=5.5,
        weights="mask_rcnn_regnetx-4GF_fpn_1x_coco_20200517_180217-32e9c92d.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-4GF_fpn_mstrain-poly_3x_coco",
        mask_rcnn_poly("4.0gf"),
        box_ap=43.4,
        mask_ap=39.2,
        memory_gb=5.1,
        weights="mask_rcnn_regnetx-4GF_fpn_mstrain-poly_3x_coco_20210602_032621-00f0331c.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-6.4GF_fpn_1x_coco",
        mask_rcnn(regnet("6.4gf"), optimizer=REGNET_SGD),
        box_ap=41.0,
        mask_ap=37.1,
        memory_gb=6.1,
        weights="mask_rcnn_regnetx-6.4GF_fpn_1x_coco_20200517_180439-3a7aae83.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-800MF_fpn_mstrain-poly_3x_coco",
        mask_rcnn_poly("800mf"),
        box_ap=39.5,
        mask_ap=36.1,
        memory_gb=2.9,
        weights="mask_rcnn_regnetx-800MF_fpn_mstrain-poly_3x_coco_20210602_210641-715d51f5.pth",
    ),
    Entry(
        "mask_rcnn_regnetx-8GF_fpn_1x_coco",
        mask_rcnn(regnet("8.0gf"), optimizer=REGNET_SGD),
        box_ap=41.7,
        mask_ap=37.5,
        memory_gb=6.4,
        weights="mask_rcnn_regnetx-8GF_fpn_1x_coco_20200517_180515-09daa87e.pth",
    ),
    Entry(
        "retinanet_regnetx-1.6GF_fpn_1x_coco",
        retinanet(regnet("1.6gf"), optimizer=REGNET_SGD, max_gradient_norm=35.0),
        box_ap=37.3,
        memory_gb=3.3,
        weights="retinanet_regnetx-1.6GF_fpn_1x_coco_20200517_191403-37009a9d.pth",
    ),
    Entry(
        "retinanet_regnetx-3.2GF_fpn_1x_coco",
        retinanet(regnet("3.2gf"), optimizer=REGNET_SGD, max_gradient_norm=35.0),
        box_ap=39.1,
        memory_gb=4.2,
        weights="retinanet_regnetx-3.2GF_fpn_1x_coco_20200520_163141-cb1509e8.pth",
    ),
    Entry(
        "retinanet_regnetx-800MF_fpn_1x_coco",
        retinanet(regnet("800mf"), optimizer=REGNET_SGD, max_gradient_norm=35.0),
        box_ap=35.6,
        memory_gb=2.5,
        weights="retinanet_regnetx-800MF_fpn_1x_coco_20200517_191403-f6f91d10.pth",
    ),
)

FAMILY = Family(
    folder="regnet",
    title="RegNet",
    paper="https://arxiv.org/abs/2003.13678",
    entries=ENTRIES,
)
