"""Panoptic FPN's head, loss and fusion against MMDetection's own Python, in float64.

No numbers of it were recorded. Its files need mmcv, of which they use little: stand-ins with the
same meaning are put in its place.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.heads.semantic_fpn import SemanticFPNHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.postprocess.panoptic import HeuristicFusion, StuffLogits
from detzoo.structures import UNLABELED, BitmapMasks, Detections, ImageInfo
from tests.mmdet.published import published_configs
from tests.parity.double import float64

THINGS, STUFF = 5, 7
PER_CLASS = 1000  # V2's ids of things are a thousand times their number, plus their class


class _ConvModule(nn.Module):
    """mmcv's: convolution without bias, norm, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, size: int, norm_cfg: dict[str, Any], **_: Any
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, size, padding=1, bias=False)
        self.gn = nn.GroupNorm(norm_cfg["num_groups"], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.gn(self.conv(x)))


class _BaseModule(nn.Module):
    def __init__(self, init_cfg: object = None) -> None:
        super().__init__()

    def init_weights(self) -> None:
        """mmcv's draws the weights, which the tests give."""


class _Registry:
    @staticmethod
    def register_module() -> Any:
        return lambda cls: cls


def _unchanged(**_: Any) -> Any:
    return lambda function: function


@pytest.fixture
def v2() -> Iterator[types.SimpleNamespace]:
    """V2's classes ``PanopticFPNHead`` and ``HeuristicFusionHead``, and its cross entropy."""
    folder = published_configs().parents[1]
    runner = types.ModuleType("mmcv.runner")
    parts = {"BaseModule": _BaseModule, "ModuleList": nn.ModuleList, "force_fp32": _unchanged}
    vars(runner).update(parts)
    cnn = types.ModuleType("mmcv.cnn")
    vars(cnn)["ConvModule"] = _ConvModule
    builder = types.ModuleType("mmdet.models.builder")
    losses: dict[str, Any] = {}
    vars(builder).update(HEADS=_Registry, LOSSES=_Registry)
    vars(builder)["build_loss"] = lambda config: losses["CrossEntropyLoss"](
        **{key: value for key, value in config.items() if key != "type"}
    )
    names = ("mmdet", "mmdet.models", "mmdet.models.utils", "mmdet.models.seg_heads")
    names += ("mmdet.models.seg_heads.panoptic_fusion_heads", "mmdet.models.losses")
    names += ("mmdet.core", "mmdet.core.evaluation", "mmcv")
    modules = {name: types.ModuleType(name) for name in names}
    for module in modules.values():
        module.__path__ = []
    modules |= {"mmcv.runner": runner, "mmcv.cnn": cnn, "mmdet.models.builder": builder}
    modules["mmcv"].jit = _unchanged  # type: ignore[attr-defined]

    def execute(name: str) -> types.ModuleType:
        module = sys.modules[name] = types.ModuleType(name)
        module.__package__ = name.rpartition(".")[0]
        source = folder.joinpath(*name.split(".")[1:]).with_suffix(".py")
        exec(compile(source.read_text(), str(source), "exec"), vars(module))
        return module

    with mock.patch.dict(sys.modules, modules):
        utils = sys.modules["mmdet.models.utils"]
        vars(utils)["ConvUpsample"] = vars(execute("mmdet.models.utils.conv_upsample"))[
            "ConvUpsample"
        ]
        misc = (folder / "models/utils/misc.py").read_text()
        start = misc.index("def interpolate_as")
        scope: dict[str, Any] = {"torch": torch, "F": F, "np": np}
        exec(misc[start:].split("\n\n\n")[0], scope)
        vars(utils)["interpolate_as"] = scope["interpolate_as"]
        execute("mmdet.models.losses.utils")
        losses |= vars(execute("mmdet.models.losses.cross_entropy_loss"))
        execute("mmdet.core.evaluation.panoptic_utils")
        heads = "mmdet.models.seg_heads"
        execute(f"{heads}.base_semantic_head")
        execute(f"{heads}.panoptic_fusion_heads.base_panoptic_fusion_head")
        head = execute(f"{heads}.panoptic_fpn_head").PanopticFPNHead
        fusion = execute(f"{heads}.panoptic_fusion_heads.heuristic_fusion_head")
        yield types.SimpleNamespace(head=head, fusion=fusion.HeuristicFusionHead)


@pytest.mark.filterwarnings("ignore:Default ``avg_non_ignore``:UserWarning")  # V2 says it itself
def test_semantic_head(v2: types.SimpleNamespace) -> None:
    """Logits, the loss on maps of the same and of another size, and the gradients."""
    with float64():
        torch.manual_seed(0)
        norm = {"type": "GN", "num_groups": 4, "requires_grad": True}
        loss = {"type": "CrossEntropyLoss", "ignore_index": 255, "loss_weight": 0.5}
        theirs = v2.head(
            num_things_classes=THINGS,
            num_stuff_classes=STUFF,
            in_channels=16,
            inner_channels=8,
            norm_cfg=norm,
            loss_seg=loss,
        )
        config = SemanticFPNHeadConfig(channels=8, norm=GroupNormConfig(groups=4))
        ours = config.build([16] * 5, THINGS, STUFF)
        ours.load_state_dict(theirs.state_dict())
        sizes = ((16, 24), (8, 12), (4, 6), (2, 3), (1, 2))
        maps = [torch.randn(2, 16, *size) for size in sizes]
        expected = theirs(maps)["seg_preds"]
        logits = ours(maps)
        torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
        for size in ((16, 24), (13, 30)):
            wanted = torch.randint(0, THINGS + STUFF, (2, *size), dtype=torch.uint8)
            wanted[:, :3] = UNLABELED
            theirs.zero_grad()
            ours.zero_grad()
            known = theirs.loss(theirs(maps)["seg_preds"], wanted[:, None])["loss_seg"]
            found = ours.loss(ours(maps), wanted)
            torch.testing.assert_close(found, known, rtol=1e-12, atol=1e-12)
            known.backward()
            found.backward()
            gradients = dict(theirs.named_parameters())
            for name, parameter in ours.named_parameters():
                gradient = gradients[name].grad
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_fusion(v2: types.SimpleNamespace, seed: int) -> None:
    """The segments of every pixel, for things that cover each other and stuff in patches."""
    with float64():
        generator = torch.Generator().manual_seed(seed)
        size, count = (40, 56), 0 if seed == 0 else 12
        boxes = torch.rand(count, 4, generator=generator) * 24
        boxes[:, 2:] += boxes[:, :2] + 2
        scores = torch.rand(count, generator=generator).sort(descending=True).values
        labels = torch.randint(0, THINGS, (count,), generator=generator)
        row, column = torch.arange(size[0])[:, None], torch.arange(size[1])
        inside = torch.stack(
            [(column >= x1) & (column < x2) & (row >= y1) & (row < y2) for x1, y1, x2, y2 in boxes]
            or [torch.zeros(size, dtype=torch.bool)]
        )[:count]
        patches = torch.randn(1, STUFF + 1, 5, 7, generator=generator)
        logits = F.interpolate(patches, size, mode="bilinear")[0]

        test = types.SimpleNamespace(mask_thr_binary=0.5, mask_overlap=0.5, stuff_area_limit=60)
        head = v2.fusion(THINGS, STUFF, test_cfg=test)
        expected = head.simple_test(
            torch.cat([boxes, scores[:, None]], 1), labels, inside.double(), logits
        )

        things = Detections(boxes, scores, labels, BitmapMasks(inside.to(torch.uint8)))
        fusion = HeuristicFusion(max_overlap=0.5, min_stuff_area=60)
        prediction = StuffLogits(logits, size, THINGS, fusion)
        found = prediction.to_original(ImageInfo.of(size), things)
        # V2 numbers things from 1 on, in the same order; stuff has the number 0.
        number = torch.arange(1, len(found) + 1) * found.is_thing
        table = torch.cat([torch.tensor([THINGS + STUFF]), number * PER_CLASS + found.labels])
        assert torch.equal(table[found.ids.long()], expected)
        assert (~found.is_thing).any()
        assert found.is_thing.any() == (count > 0)
