"""Every head on a GPU: its losses learn, and its static form detects the same without waiting."""

from __future__ import annotations

import copy

import pytest
import torch

from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.solo import SOLOConfig
from detzoo.export.static import StaticDetector
from detzoo.structures import ImageBatch
from detzoo.zoo.entry import Entry
from tests.detectors.test_edge_cases import TARGETS, assert_every_parameter_learns
from tests.detectors.zoo_models import build, certain, images, one_per_head, with_maps
from tests.export.outputs import assert_same
from tests.export.test_static import distinct, sizes_of
from tests.gpu.waits import never_waiting, noting_waits

pytestmark = pytest.mark.gpu
ENTRIES = [pytest.param(entry, id=entry.name) for entry in one_per_head()]


def there(batch: ImageBatch, device: torch.device) -> ImageBatch:
    proposals = tuple(boxes.to(device) for boxes in batch.proposals)
    return ImageBatch(batch.pixels.to(device), batch.infos, proposals)


@pytest.mark.parametrize("entry", ENTRIES)
def test_training(entry: Entry, device: torch.device) -> None:
    """Dense heads never make the host wait."""
    model = build(entry).to(device)
    batch = there(images(), device)
    targets = [target.to(device) for target in with_maps(TARGETS["ordinary"])]
    losses = model(batch, targets)
    assert {value.device for value in losses.values()} == {next(model.parameters()).device}
    assert_every_parameter_learns(model, losses)
    if isinstance(entry.experiment.model, SingleStageConfig | ProposalOnlyConfig):
        with noting_waits(device) as places:  # constants are there by now
            model(batch, targets).total().backward()
        assert places == []


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_static_form(entry: Entry, device: torch.device) -> None:
    if entry.experiment.model.needs_proposals:
        pytest.skip("has no static form")
    here, batch = distinct(certain(build(entry))), images(2)
    sizes = sizes_of(batch)
    with torch.no_grad():
        expected = StaticDetector(here, max_candidates=2000)(batch.pixels, sizes)
        static = StaticDetector(copy.deepcopy(here).to(device), max_candidates=2000)
        pixels, sizes = batch.pixels.to(device), sizes.to(device)
        static(pixels, sizes)  # makes constants
        with never_waiting(device):
            found = static(pixels, sizes)
    assert int(expected.num.sum()) > 0 or expected.segments is not None
    outputs = [values.cpu().numpy() for values in found if values is not None]
    assert_same(outputs, expected, exact=not isinstance(entry.experiment.model, SOLOConfig))


@pytest.mark.parametrize("entry", ENTRIES)
def test_detections(entry: Entry, device: torch.device) -> None:
    """As many as on the processor, with nearly the same scores."""
    here, batch = distinct(certain(build(entry))), images(2)
    with torch.no_grad():
        expected = here(batch)
        found = copy.deepcopy(here).to(device)(there(batch, device))
    for ours, theirs in zip(found, expected):
        assert ours.boxes.device.type == device.type
        assert len(ours) == pytest.approx(len(theirs), abs=max(1, 0.02 * len(theirs)))
        count = min(len(ours), len(theirs))
        gap = (ours.scores.cpu()[:count] - theirs.scores[:count]).abs()
        assert float(gap.max() if count else 0.0) < 1e-3
