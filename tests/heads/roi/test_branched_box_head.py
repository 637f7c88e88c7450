"""Layers of their own for classes and boxes, under MMDetection's names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from detzoo.config import ConfigError
from detzoo.heads.roi.branched_box_head import BranchedBoxHeadConfig

CLASSES = 3
X = torch.randn((5, 4, 3, 3), generator=torch.Generator().manual_seed(0))


def shapes(config: BranchedBoxHeadConfig) -> dict[str, tuple[int, ...]]:
    head = config.build(4, 3, CLASSES)
    logits, deltas = head(X)
    assert logits.shape == (5, CLASSES + 1)
    assert deltas.shape == (5, CLASSES, 4)
    return {name: tuple(p.shape) for name, p in head.named_parameters() if name[-6:] == "weight"}


def test_convolutions_and_layers_of_each_branch() -> None:
    config = BranchedBoxHeadConfig(
        num_shared_convs=1,
        num_shared_fcs=0,
        num_class_convs=2,
        num_class_fcs=1,
        num_box_fcs=2,
        conv_channels=8,
        fc_channels=6,
    )
    assert shapes(config) == {
        "shared_convs.0.conv.weight": (8, 4, 3, 3),
        "cls_convs.0.conv.weight": (8, 8, 3, 3),
        "cls_convs.1.conv.weight": (8, 8, 3, 3),
        "cls_fcs.0.weight": (6, 8 * 9),
        "reg_fcs.0.weight": (6, 8 * 9),
        "reg_fcs.1.weight": (6, 6),
        "fc_cls.weight": (CLASSES + 1, 6),
        "fc_reg.weight": (4 * CLASSES, 6),
    }


def test_branches_after_shared_layers() -> None:
    config = BranchedBoxHeadConfig(num_shared_fcs=1, num_box_fcs=1, averages=True, fc_channels=6)
    assert shapes(config) == {
        "shared_fcs.0.weight": (6, 4),
        "reg_fcs.0.weight": (6, 6),
        "fc_cls.weight": (CLASSES + 1, 6),
        "fc_reg.weight": (4 * CLASSES, 6),
    }
    head = config.build(4, 3, CLASSES)
    logits, deltas = head(X)
    shared = F.relu(head.shared_fcs[0](X.mean((2, 3))))
    torch.testing.assert_close(logits, head.fc_cls(shared))
    for_boxes = head.fc_reg(F.relu(head.reg_fcs[0](shared)))
    torch.testing.assert_close(deltas.flatten(1), for_boxes)


@pytest.mark.parametrize("averages", [True, False])
def test_no_layers_at_all(averages: bool) -> None:
    width = 4 if averages else 36
    assert shapes(BranchedBoxHeadConfig(num_shared_fcs=0, averages=averages)) == {
        "fc_cls.weight": (CLASSES + 1, width),
        "fc_reg.weight": (4 * CLASSES, width),
    }


def test_layers_that_cannot_follow_each_other() -> None:
    with pytest.raises(ConfigError, match="num_shared_fcs: convolutions of a branch cannot follow"):
        BranchedBoxHeadConfig(num_shared_fcs=1, num_class_convs=1)
