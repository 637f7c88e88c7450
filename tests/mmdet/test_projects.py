"""Files as projects on MMDetection 2.x write them: all of them train here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detzoo.data.transforms import Pad, Rescale
from detzoo.data.tta import TTA
from detzoo.errors import ConfigError
from detzoo.layers.positional_encoding import LearnedPositions
from detzoo.layers.switchable import AdaptiveConvConfig
from tests.mmdet.projects import PROJECTS
from tests.mmdet.small_files import COLORS, FASTER, PAD, YOLOX, imported


@pytest.mark.parametrize("name", PROJECTS)
def test_projects(tmp_path: Path, name: str) -> None:
    base, text = PROJECTS[name]
    imported(tmp_path, base, text).to_train()


def test_resnet_v1d(tmp_path: Path) -> None:
    """V2's ResNetV1d is a ResNet with two switches."""
    text = "model = dict(backbone=dict({}, init_cfg=None))"
    both = text.format("deep_stem=True, avg_down=True")
    experiments = [
        imported(tmp_path, FASTER, one).to_train()
        for one in (text.format("type='ResNetV1d'"), both)
    ]
    assert experiments[0] == experiments[1]
    backbone: Any = experiments[0].model.backbone
    assert backbone.deep_stem
    assert backbone.average_shortcuts


def test_detectors_resnext(tmp_path: Path) -> None:
    kind = "type='DetectoRS_ResNeXt', groups=32, base_width=4"
    weights = "init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnext50_32x4d')"
    text = (
        f"model = dict(backbone=dict({kind}, {weights}), neck=dict(rfp_backbone=dict({kind}, "
        "pretrained='open-mmlab://resnext50_32x4d')))"
    )
    model: Any = imported(tmp_path, "detectors/cascade_rcnn_r50_rfp_1x_coco.py", text).to_train()
    for backbone in (model.model.backbone, model.model.neck.backbone):
        assert (backbone.groups, backbone.width_per_group) == (32, 4)
        assert backbone.convolution == AdaptiveConvConfig()
        assert backbone.pretrained == "open-mmlab://{architecture}"


def test_a_resnext_of_one_group(tmp_path: Path) -> None:
    """For V2, it is a ResNet."""
    text = "model = dict(backbone=dict(type='ResNeXt'))"
    experiment = imported(tmp_path, FASTER, text).to_train()
    assert experiment == imported(tmp_path, FASTER, "").to_train()


def test_learned_positions(tmp_path: Path) -> None:
    text = "model = dict(bbox_head=dict(positional_encoding=dict(_delete_=True, {})))"
    kind = "type='LearnedPositionalEncoding', num_feats=128"
    for base, positions in (
        ("detr/detr_r50_8x2_150e_coco.py", LearnedPositions(columns=70)),
        ("deformable_detr/deformable_detr_r50_16x2_50e_coco.py", LearnedPositions(columns=70)),
    ):
        found = imported(tmp_path, base, text.format(f"{kind}, col_num_embed=70")).to_train()
        head: Any = found.model.bbox_head  # type: ignore[attr-defined]
        assert head.positions == positions
    names = head.build((256,) * 4, 80).state_dict()
    assert names["positional_encoding.row_embed.weight"].shape == (50, 128)
    assert names["positional_encoding.col_embed.weight"].shape == (70, 128)


def test_tests_at_factors_of_the_size(tmp_path: Path) -> None:
    steps = ("dict(type='Resize', keep_ratio=True, backend='pillow')", "dict(type='RandomFlip')")
    text = (
        "data = dict(test=dict(pipeline=[dict(type='LoadImageFromFile'), dict("
        f"type='MultiScaleFlipAug', scale_factor={{}}, flip=True, transforms=[{', '.join(steps)}, "
        f"{COLORS}, {PAD}, dict(type='Collect', keys=['img'])])]))"
    )
    pad, half = Pad(divisor=32), Rescale(factor=0.5, library="pillow")
    data = imported(tmp_path, FASTER, text.format("[0.5, 1.0]")).to_train().data
    assert data.test_transforms == (half, pad)
    assert data.tta == TTA(flips=("horizontal",), factors=(0.5, 1.0))
    data = imported(tmp_path, FASTER, text.format("0.5")).to_train().data
    assert (data.test_transforms, data.tta) == ((half, pad), TTA(flips=("horizontal",)))
    data = imported(tmp_path, FASTER, text.format("1.0")).to_train().data
    assert data.test_transforms == (pad,)


def test_samplers_alone(tmp_path: Path) -> None:
    text = "model = dict(train_cfg=dict(rcnn=dict(sampler=dict({}))))"
    combined = "type='CombinedSampler', pos_sampler=dict(type='{}'), neg_sampler=dict(type='{}')"
    balanced, negatives = "InstanceBalancedPosSampler", "IoUBalancedNegSampler"
    for kind, bins, positives in (
        (f"type='{negatives}'", 3, False),
        (f"type='{balanced}'", 1, True),
        (combined.format("RandomSampler", negatives), 3, False),
        (combined.format(balanced, "RandomSampler"), 1, True),
        (combined.format(balanced, negatives), 3, True),
    ):
        model: Any = imported(tmp_path, FASTER, text.format(kind)).to_train().model
        sampler = model.roi_head.sampler
        assert (sampler.num_iou_bins, sampler.balances_positives) == (bins, positives), kind


def test_a_limit_of_nms(tmp_path: Path) -> None:
    text = "model = dict(test_cfg=dict(rcnn=dict(max_per_img={}, nms=dict(max_num=70))))"
    for most, wanted in ((100, 70), (50, 50), (-1, 70)):
        model: Any = imported(tmp_path, FASTER, text.format(most)).to_train().model
        assert model.roi_head.select.max_detections == wanted


def test_a_size_that_training_alone_looks_at(tmp_path: Path) -> None:
    """From which V2 would resize the boxes of images of another size."""
    found = imported(tmp_path, YOLOX, "model = dict(input_size=(416, 416))")
    assert [one.path for one in found.obstacles] == ["model.input_size"]
    with pytest.raises(ConfigError, match=r"\(416, 416\) is not \(640, 640\), the size"):
        found.to_train()
