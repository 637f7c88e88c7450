"""Dilations of a detector's convolutions, and the search for them."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch

from detzoo.checkpoints.architecture import architecture, architecture_of, changed_modules
from detzoo.checkpoints.checkpoint import load_strictly
from detzoo.checkpoints.transfer import initialize
from detzoo.config import ConfigError
from detzoo.detectors.base import Detector
from detzoo.detectors.receptive_fields import ReceptiveFields
from detzoo.layers.branched import BranchedConv2d
from detzoo.layers.fusion import fuse
from detzoo.mmdet.renames import current_names
from detzoo.zoo.entry import Entry
from detzoo.zoo.rfnext import ENTRIES
from tests.meta import on_meta
from tests.tiny import tiny_mask_rcnn, tiny_retinanet

LAST, MASK = "backbone.layer4.1.conv2", "roi_head.mask_head.convs.0.conv"


def built(fields: ReceptiveFields) -> Detector:
    torch.manual_seed(0)
    return dataclasses.replace(tiny_mask_rcnn(), receptive_fields=fields).build_model()


def conv_of(detector: Detector, name: str = LAST) -> BranchedConv2d:
    conv = detector.get_submodule(name)
    assert isinstance(conv, BranchedConv2d)
    return conv


def test_a_search_is_in_the_whole_detector() -> None:
    detector = built(ReceptiveFields(search_until=3, skip=("layer1", "conv1")))
    names = [n for n, module in detector.named_modules() if isinstance(module, BranchedConv2d)]
    assert names[0] == "backbone.layer1.0.conv2".replace("layer1", "layer2")
    assert {LAST, MASK, "neck.fpn_convs.0.conv", "rpn_head.rpn_conv"} <= set(names)
    assert not any("layer1" in name or "conv1" in name for name in names)
    assert all(conv_of(detector, name).branches == (1, 2) for name in names)


@pytest.mark.parametrize(
    ("branches", "dilation", "wanted"),
    # Halves are rounded to even numbers, as by MMDetection.
    [(2, 1, (1, 2)), (2, 3, (2, 4)), (2, 5, (2, 8)), (2, 24, (12, 24)), (3, 1, (1, 2)),
     (3, 2, (1, 2, 3))],
)  # fmt: skip
def test_branches_around_a_dilation(branches: Any, dilation: int, wanted: tuple[int, ...]) -> None:
    conv = conv_of(built(ReceptiveFields(dilations=((LAST, dilation),), branches=branches)))
    assert conv.branches == wanted
    assert len(conv.branch_weights) == branches
    assert conv.dilation == (dilation, dilation)


def test_a_step_of_the_search() -> None:
    """Where two branches have equal parts, the new dilation is the mean of theirs."""
    detector = built(ReceptiveFields(dilations=((LAST, 4), (MASK, 4)), search_until=3))
    assert conv_of(detector).branches == (2, 6)
    conv_of(detector).branch_weights.data = torch.tensor([-0.01, 0.03])
    found = ReceptiveFields(search_until=3).step(detector)
    assert found.dilations == ((LAST, 5), (MASK, 4))
    assert conv_of(detector).branches == (2, 8)
    torch.testing.assert_close(conv_of(detector).branch_weights.data, torch.full((2,), 0.01))


def test_when_a_step_is_due() -> None:
    fields = ReceptiveFields(search_until=6, search_every=2)
    assert [epoch for epoch in range(10) if fields.searches_at(epoch)] == [2, 4]
    assert not any(ReceptiveFields().searches_at(epoch) for epoch in range(10))


def test_a_single_branch_is_a_plain_convolution() -> None:
    detector = built(ReceptiveFields(dilations=((LAST, 3),), branches=1))
    conv: Any = detector.get_submodule(LAST)
    assert type(conv) is torch.nn.Conv2d
    assert (conv.dilation, conv.padding) == ((3, 3), (3, 3))
    assert detector.state_dict().keys() == tiny_mask_rcnn().build_model().state_dict().keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branches": 1}, "dilations: none are given"),
        ({"branches": 1, "search_until": 3}, "branches: a search compares"),
        ({"min_dilation": 5, "max_dilation": 4}, "the smallest is larger"),
        ({"dilations": (("backbone.layer9.conv", 2),)}, "backbone.layer9.conv is no plain"),
        ({"dilations": (("neck.lateral_convs.0.conv", 2),)}, "lateral_convs.0.conv is no plain"),
    ],
)
def test_what_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(ReceptiveFields(**settings))


def test_weights_of_mmdetection_and_of_a_plain_detector() -> None:
    detector = built(ReceptiveFields(skip=("backbone",)))
    state = detector.state_dict()
    published = {
        name.replace(".weight", ".op_layer.weight").replace(".bias", ".op_layer.bias")
        if f"{name.rpartition('.')[0]}.branch_weights" in state and "branch" not in name
        else name: value
        for name, value in state.items()
    }
    assert any(".op_layer." in name for name in published)
    load_strictly(built(ReceptiveFields(skip=("backbone",))), current_names(published), "x")
    # A search starts from any trained detector.
    experiment = tiny_retinanet(("a", "b", "c"))
    plain = experiment.build_model().state_dict()
    fields = ReceptiveFields(search_until=3)
    searching = dataclasses.replace(tiny_retinanet(("c", "d")), receptive_fields=fields)
    model = searching.build_model()
    initialize(model, plain, from_names=("a", "b", "c"), to_names=("c", "d"))
    torch.testing.assert_close(model.state_dict()["neck.fpn_convs.0.conv.weight"],
                               plain["neck.fpn_convs.0.conv.weight"])  # fmt: skip
    # And its branches end in a plain one.
    initialize(tiny_retinanet(("c",)).build_model(), model.state_dict(), from_names=("c", "d"),
               to_names=("c",))  # fmt: skip
    shares = [m.shares() for m in model.modules() if isinstance(m, BranchedConv2d)]
    torch.testing.assert_close(torch.stack(shares), torch.full((len(shares), 2), 0.5))


def test_a_fused_copy_and_a_checkpoint() -> None:
    fields = ReceptiveFields(dilations=((LAST, 3), (MASK, 2)))
    detector = built(fields).eval()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = detector.extract_features(pixels)
        for other in (fuse(detector), copy.deepcopy(detector)):
            torch.testing.assert_close(other.extract_features(pixels), wanted)
    experiment = dataclasses.replace(tiny_mask_rcnn(), receptive_fields=fields)
    assert changed_modules(architecture(detector), architecture_of(experiment)) == ()
    assert changed_modules(architecture(detector), architecture_of(tiny_mask_rcnn())) != ()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_published_dilations(entry: Entry) -> None:
    """Of all convolutions that are searched, but those of HRNet's first stage."""
    fields = entry.experiment.receptive_fields
    assert fields is not None
    with on_meta():
        detector = entry.experiment.build_model()
        plain = dataclasses.replace(entry.experiment, receptive_fields=None).build_model()
    dilated = {n for n, m in detector.named_modules() if isinstance(m, BranchedConv2d)}
    searched = ReceptiveFields(skip=(*fields.skip, *(("layer1",) if "hrnet" in entry.name else ())))
    if fields.branches == 1:
        dilated = {name for name, _ in fields.dilations}
    if fields.dilations:
        searched.arrange(plain)
        assert dilated == {n for n, m in plain.named_modules() if isinstance(m, BranchedConv2d)}
