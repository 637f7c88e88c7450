from __future__ import annotations

import pytest
import torch

from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.augmented import every_pair
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.layers.normalized import NormalizedConv2d, NormalizedLinear
from detzoo.losses.seesaw import SeesawLossConfig
from detzoo.postprocess.select import Select
from tests.heads.roi.test_standard import BOXES, CLASSES, INFO


def test_convolutions_come_before_the_layers() -> None:
    config = BoxHeadConfig(
        num_shared_convs=2, conv_channels=8, norm=GroupNormConfig(groups=2), num_shared_fcs=1
    )
    head = config.build(4, 3, CLASSES)
    assert [tuple(conv.conv.weight.shape) for conv in head.shared_convs] == [
        (8, 4, 3, 3),
        (8, 8, 3, 3),
    ]
    assert all(conv.conv.bias is None for conv in head.shared_convs)
    assert [tuple(layer.weight.shape) for layer in head.shared_fcs] == [(1024, 72)]
    logits, deltas = head(torch.randn(5, 4, 3, 3))
    assert logits.shape == (5, CLASSES + 1)
    assert deltas.shape == (5, CLASSES, 4)


def test_one_box_for_all_classes() -> None:
    head = BoxHeadConfig(fc_channels=8, class_agnostic_boxes=True).build(4, 3, CLASSES)
    assert head.fc_reg.weight.shape == (4, 8)
    assert "fc_reg.weight" not in head.class_parameters()
    logits = torch.tensor([[0.6, 0.3, 0.05, 0.05], [0.1, 0.1, 0.2, 0.6]]).log()
    deltas = torch.zeros(2, 1, 4)
    deltas[0, 0, 0] = 5.0  # half of a width, as the coder's deviation is 0.1
    pairs = Select(min_score=0.15).pairs(head.loss_cls.scores(logits))
    found = head.decode(pairs, deltas, BOXES, INFO)
    assert found.labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(
        found.boxes, torch.tensor([[14.0, 4, 34, 24], [14, 4, 34, 24], [30, 30, 60, 50]])
    )


def test_one_box_for_all_classes_learns_from_every_class() -> None:
    head = BoxHeadConfig(fc_channels=8, class_agnostic_boxes=True).build(4, 3, CLASSES)
    deltas = torch.zeros(3, 1, 4, requires_grad=True)
    labels = torch.tensor([2, CLASSES, 0])
    regions = torch.tensor([[0.0, 0, 10, 10]]).expand(3, 4)
    wanted = regions + torch.tensor([1.0, 0, 1, 0])
    losses = head.loss(torch.zeros(3, CLASSES + 1), deltas, regions, labels, wanted)
    # A tenth of a width is one deviation; of three regions two are positive.
    assert losses["loss_bbox"].item() == pytest.approx(2 / 3)
    losses["loss_bbox"].backward()
    assert deltas.grad is not None
    assert deltas.grad[:, 0, 0].tolist() == pytest.approx([-1 / 3, 0, -1 / 3])


def test_seesaw() -> None:
    config = BoxHeadConfig(
        fc_channels=8, normalized_classifier=True, classification_loss=SeesawLossConfig()
    )
    head = config.build(4, 3, CLASSES)
    assert isinstance(head.fc_cls, NormalizedLinear)
    assert head.fc_cls.weight.shape == (CLASSES + 2, 8)
    rows = head.class_parameters()
    assert rows["fc_cls.weight"] == ClassRows(shared=2)
    assert rows["loss_cls.cum_samples"] == ClassRows(shared=1)
    logits, deltas = head(torch.randn(2, 4, 3, 3))
    losses = head.loss(logits, deltas, BOXES, torch.tensor([1, CLASSES]), BOXES + 1)
    assert set(losses) == {"loss_cls_objectness", "loss_cls_classes", "loss_bbox"}
    assert set(losses.metrics) == {"acc_objectness", "acc_classes"}
    assert head.state_dict()["loss_cls.cum_samples"].tolist() == [0, 1, 0, 1]
    found = head.decode(every_pair(head.loss_cls.scores(logits)), deltas, BOXES, INFO)
    torch.testing.assert_close(found.scores, head.loss_cls.scores(logits).flatten())


def test_upsampling_and_predictor_of_masks() -> None:
    x = torch.randn(2, 4, 5, 5)
    carafe = MaskHeadConfig(num_convs=1, channels=8, upsampling="carafe").build(4, CLASSES)
    assert carafe(x).shape == (2, CLASSES, 10, 10)
    assert "upsample.content_encoder.weight" in carafe.state_dict()
    # Fresh kernels are nearly flat, so what they make is smoother than what they see.
    encoded = carafe.convs[0](x)
    assert carafe.upsample(encoded).std() < encoded.std()
    normalized = MaskHeadConfig(num_convs=0, channels=8, normalized_predictor=True)
    head = normalized.build(4, CLASSES)
    assert isinstance(head.conv_logits, NormalizedConv2d)
    assert (head(x).abs() <= 20).all()
    deconvolved = MaskHeadConfig(num_convs=0, channels=8).build(4, CLASSES)
    assert (deconvolved.upsample(x) >= 0).all()
