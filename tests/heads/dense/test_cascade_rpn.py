from __future__ import annotations

import pytest
import torch

from detzoo.errors import ConfigError
from detzoo.heads.dense.cascade_rpn import CascadeRPNHeadConfig, kernel_offsets
from detzoo.losses.boxes import L1Loss
from detzoo.priors.anchors import AnchorGrid
from detzoo.structures import ImageInfo, Targets


def test_the_kernel_reaches_as_far_as_the_anchor() -> None:
    x = torch.zeros(1, 8, 3, 4)
    # In the cell of row 1 and column 2, an anchor 4 cells wide and 6 high, centered at (2.5, 1).
    anchors = torch.tensor([0.0, 0, 2, 2]).expand(1, 12, 4).clone()
    anchors[0, 1 * 4 + 2] = torch.tensor([0.5, -2.0, 4.5, 4.0])
    offsets = kernel_offsets(anchors, x)[0, :, 1, 2].view(3, 3, 2)
    rows, columns = torch.meshgrid(torch.arange(-1, 2), torch.arange(-1, 2), indexing="ij")
    torch.testing.assert_close(1 + rows + offsets[..., 0], 1.0 + 3 * rows)
    torch.testing.assert_close(2 + columns + offsets[..., 1], 2.5 + 2 * columns)


def test_proposals_are_refined_from_refined_anchors() -> None:
    head = CascadeRPNHeadConfig().build((8, 8), (8, 16)).eval()
    infos = (ImageInfo.of((32, 48)), ImageInfo.of((24, 40)))
    features = [torch.rand(2, 8, 4, 6), torch.rand(2, 8, 2, 3)]
    with torch.no_grad():
        head.stages[0].rpn_reg.bias.copy_(torch.tensor([0.0, 0, -2, -2]))  # e ** -1 as wide
        head.stages[0].rpn_reg.weight.zero_()
        head.stages[1].rpn_reg.weight.zero_()
        predictions = head.predict(features, infos)
        proposals = head.propose(predictions, infos)
    for image, info in zip(range(2), infos):
        anchors = predictions.anchors[image]
        height, width = info.size
        assert (anchors >= 0).all()
        assert (anchors <= torch.tensor([width, height, width, height])).all()
        # With no further change, every proposal is an anchor.
        apart = proposals[image].boxes[:, None] - anchors
        distance = apart.abs().amax(2).amin(1)
        assert (distance < 1e-3).all()
        assert len(proposals[image])
    inner = predictions.anchors[0][:24].view(4, 6, 4)[2, 3]
    torch.testing.assert_close((inner[2] - inner[0]).item(), 64 / 2.718281828, rtol=1e-5, atol=0)


def test_losses_of_both_stages() -> None:
    head = CascadeRPNHeadConfig().build((8, 8), (8, 16)).train()
    infos = (ImageInfo.of((32, 48)),)
    features = [torch.rand(1, 8, 4, 6), torch.rand(1, 8, 2, 3)]
    targets = [Targets.of(torch.tensor([[2.0, 2, 46, 30]]), torch.tensor([3]))]
    losses = head.loss(head.predict(features, infos), targets, infos)
    assert set(losses) == {"s0.loss_rpn_reg", "s1.loss_rpn_cls", "s1.loss_rpn_reg"}
    assert losses["s0.loss_rpn_reg"] > 0
    losses["s1.loss_rpn_cls"].backward()
    # The second stage trains the features of the first, but not where anchors are.
    assert head.stages[0].rpn_conv["conv"].weight.grad.abs().sum() > 0
    assert head.stages[0].rpn_reg.weight.grad is None


def test_what_cannot_be_a_cascade() -> None:
    with pytest.raises(ConfigError, match="give one scale and one ratio"):
        CascadeRPNHeadConfig(priors=AnchorGrid())
    with pytest.raises(ConfigError, match="compare boxes"):
        CascadeRPNHeadConfig(box_loss=L1Loss())
