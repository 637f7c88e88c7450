from __future__ import annotations

import torch

from detzoo.heads.roi.context_head import ContextHeadConfig
from detzoo.heads.roi.scnet import FeatureRelay, SCNetRoIHead, SCNetRoIHeadConfig
from detzoo.structures import Losses, Targets
from detzoo.zoo.cascade_rcnn import cascade_stages


def test_masks_count_as_much_as_all_stages() -> None:
    head = SCNetRoIHead.__new__(SCNetRoIHead)
    torch.nn.Module.__init__(head)
    head.stages = SCNetRoIHeadConfig(stages=cascade_stages()).stages
    one = torch.tensor(1.0)
    losses = Losses(loss_cls=one, loss_mask=one, metrics={"acc": one})
    counted = head.losses_of_stage(2, losses)
    assert counted == {"s2.loss_cls": 0.25, "loss_mask": 1.75}
    assert list(counted.metrics) == ["s2.acc"]


def test_the_classes_of_an_image() -> None:
    head = ContextHeadConfig(num_convs=2, loss_weight=2.0).build((8, 4), 3)
    logits, features = head((torch.randn(2, 8, 4, 4), torch.randn(2, 4, 2, 2)))
    assert logits.shape == (2, 3)
    assert features.shape == (2, 4, 1, 1)
    both = Targets.of(torch.zeros(2, 4), torch.tensor([2, 2]))
    targets = [both, both[:0]]
    sure = torch.tensor([[-20.0, -20, 20], [-20, -20, -20]])
    assert head.loss(sure, targets) < 1e-6
    # One of six is wrong.
    wrong = head.loss(sure.flip(0)[[0, 0]], targets)
    torch.testing.assert_close(wrong, torch.tensor(2.0 * 20 / 6))


def test_the_relay_makes_a_map() -> None:
    relay = FeatureRelay(6, 4, 7, 14)
    x = torch.randn(3, 6)
    assert relay(x).shape == (3, 4, 14, 14)
    corner = relay.fc(x).view(3, 4, 7, 7)[..., 0, 0]
    torch.testing.assert_close(relay(x)[..., 0, 0], corner)
    assert relay(x[:0]).shape == (0, 4, 14, 14)
