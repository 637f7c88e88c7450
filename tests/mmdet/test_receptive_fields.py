"""RF-Next's hook: what it makes of a model, and which files it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detzoo.detectors.receptive_fields import ReceptiveFields
from detzoo.errors import UserError
from tests.mmdet.small_files import FASTER, imported

SEARCH = "step=0, max_step=9, exp_rate=0.4, init_alphas=0.02, mmin=1, mmax=12, num_branches=3"
DILATIONS = {"module.backbone.layer4.0.conv2": [3, 3], "module.neck.fpn_convs.0.conv": 2}


def hook(settings: str, search: str = SEARCH) -> str:
    config = f"config=dict(search=dict({search}, skip_layer=['layer1']))"
    return f"custom_hooks = [dict(type='RFSearchHook', {settings}, {config})]"


def fields(folder: Path, settings: str, search: str = SEARCH) -> ReceptiveFields:
    found = imported(folder, FASTER, hook(settings, search)).to_train().receptive_fields
    assert found is not None
    return found


def structure(folder: Path, content: object = None) -> str:
    path = folder / "found.json"
    path.write_text(json.dumps({"structure": DILATIONS} if content is None else content))
    return f"rfstructure_file={str(path)!r}"


def test_a_search(tmp_path: Path) -> None:
    wanted = ReceptiveFields(
        branches=3, spread=0.4, max_dilation=12, initial_weight=0.02, skip=("layer1",),
        search_every=2, search_until=9,
    )  # fmt: skip
    assert fields(tmp_path, "mode='search'", f"{SEARCH}, search_interval=2") == wanted
    found = imported(tmp_path, FASTER, hook("mode='search'"))
    assert "fixed_multi_branch" in found.reading.replaced["custom_hooks[0]"]


def test_what_a_search_has_found(tmp_path: Path) -> None:
    dilations = (("backbone.layer4.0.conv2", 3), ("neck.fpn_convs.0.conv", 2))
    for mode, branches in (("fixed_multi_branch", 3), ("fixed_single_branch", 1), ("search", 3)):
        found = fields(tmp_path, f"mode={mode!r}, {structure(tmp_path)}")
        assert (found.dilations, found.branches) == (dilations, branches)
        assert found.search_until == (9 if mode == "search" else 0)


def test_a_file_beside_the_configuration(tmp_path: Path) -> None:
    """Its path is the one from the folder where V2 is started."""
    structure(tmp_path)
    (tmp_path / "configs").mkdir()
    settings = "mode='fixed_single_branch', rfstructure_file='./found.json'"
    assert len(fields(tmp_path / "configs", settings).dilations) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("mode='fixed'", "mode: 'fixed' is not one of search, "),
        ("mode='fixed_single_branch'", "rfstructure_file: missing: fixed_single_branch needs"),
        ("mode='search', by_epoch=False", "by_epoch: False is not True"),
        ("rfstructure_file='logs/absent.json'", "logs/absent.json is not there: .*copy it here"),
        ("rfstructure_file=3.5", "3.5 is not there"),
    ],
)
def test_refusals(tmp_path: Path, settings: str, message: str) -> None:
    """The model would be another one, so that not even detecting is possible."""
    with pytest.raises(UserError, match=message):
        imported(tmp_path, FASTER, hook(settings))


@pytest.mark.parametrize(
    "content",
    [{}, [], {"structure": 3}, {"structure": {"module.x": [1, 2]}}, {"structure": {"x": "a"}},
     {"structure": {"x": []}}, {"structure": {"x": {"y": 1}}}],
)  # fmt: skip
def test_files_that_say_no_dilations(tmp_path: Path, content: object) -> None:
    settings = f"mode='fixed_multi_branch', {structure(tmp_path, content)}"
    with pytest.raises(UserError, match=r"found.json is no file of a search: JSON with"):
        imported(tmp_path, FASTER, hook(settings))


def test_dilations_that_are_too_small(tmp_path: Path) -> None:
    content = {"structure": {"module.backbone.layer4.0.conv2": 0}}
    settings = f"mode='fixed_multi_branch', {structure(tmp_path, content)}"
    with pytest.raises(UserError, match=r"found\.json is no file of a search"):
        imported(tmp_path, FASTER, hook(settings))


def test_a_hook_without_a_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"custom_hooks\[0\].type: missing: V2 does not take"):
        imported(tmp_path, FASTER, "custom_hooks = [dict(mode='search')]")
