"""RF-Next: the hook that gives a model's convolutions other dilations, and branches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detzoo.data.sample import Transform
from detzoo.detectors.receptive_fields import ReceptiveFields
from detzoo.errors import UserError
from detzoo.files import read_json
from detzoo.mmdet.node import Node, Refusal
from detzoo.mmdet.registry import adapts
from detzoo.zoo.rfnext_dilations import published_dilations

_MODES = ("search", "fixed_multi_branch", "fixed_single_branch")


@adapts("hook", "RFSearchHook")
def receptive_fields(node: Node, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    """Unlike other hooks, this one changes the model: what is wrong with it concerns detecting."""
    try:
        return {"receptive_fields": _fields(node)}
    except Refusal as refusal:
        raise Refusal(node.reading.source, refusal.path, refusal.reason, use="detect") from None
    except (UserError, TypeError, ValueError, LookupError, OSError) as error:
        raise Refusal(node.reading.source, node.path, str(error), use="detect") from None


def _fields(node: Node) -> ReceptiveFields:
    node.leave("verbose", "what V2 prints")
    mode = node.take("mode", "search")
    if mode not in _MODES:
        raise node.error("mode", f"{mode!r} is not one of {', '.join(_MODES)}")
    file = node.take("rfstructure_file", None)
    if file is None and mode != "search":
        raise node.error(
            "rfstructure_file", f"missing: {mode} needs the file of a search, which has dilations"
        )
    dilations = () if file is None else _dilations(node, str(file))
    search = node.child("config").child("search")
    search.leave("normlize", "the parts of branches are always their absolute weights by the sum")
    search.leave("S", "num_branches says how many there are")
    until, every = search.take("max_step"), search.take("search_interval", 1)
    begun, by_epoch = search.take("step", 0), node.take("by_epoch", True)
    if mode == "search":
        if begun != 0:
            raise search.error("step", f"{begun} is not 0, as a search is resumed with its run")
        if not by_epoch:
            raise node.error("by_epoch", "False is not True, as a search goes on between epochs")
        if file is None:
            node.reading.replaced[node.path] = (
                "receptive_fields, which training searches; to detect with what V2 has found, "
                "import the file that says fixed_multi_branch"
            )
    branches = search.take("num_branches")
    return ReceptiveFields(
        dilations=dilations,
        branches=1 if mode == "fixed_single_branch" else branches,
        spread=float(search.take("exp_rate")),
        min_dilation=search.take("mmin"),
        max_dilation=search.take("mmax"),
        initial_weight=float(search.take("init_alphas")),
        skip=search.take("skip_layer", None) or (),
        search_every=every,
        search_until=until if mode == "search" else 0,
    )


def _dilations(node: Node, name: str) -> tuple[tuple[str, int], ...]:
    """The dilations in the file of this name, or those published with MMDetection's own files."""
    paths = (Path(name), *(folder / name for folder in Path(node.reading.source).parents))
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        known = published_dilations("/".join(Path(name).parts[-2:]))
        if known is None:
            raise node.error(
                "rfstructure_file",
                f"{name} is not there: the dilations that a search has found are in it. V2 wrote "
                "it into the folder of that run; copy it here, or write its path into this file",
            )
        return known
    content = read_json(path)
    try:
        found = {key: _one(value) for key, value in content["structure"].items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        raise node.error(
            "rfstructure_file",
            f'{path} is no file of a search: JSON with a dilation of each convolution, {{"structure'
            '": {"module.backbone.layer4.0.conv2": 3, ...}}',
        ) from None
    return tuple((key.removeprefix("module."), value) for key, value in found.items())


def _one(value: Any) -> int:
    """A dilation, which V2 writes as a number or as one for each side."""
    (dilation,) = set(value) if isinstance(value, list) else (value,)
    if type(dilation) is not int or dilation < 1:
        raise ValueError(f"{dilation} is no dilation")
    return dilation
