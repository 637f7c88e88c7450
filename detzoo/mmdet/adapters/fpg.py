"""Feature pyramid grids."""

from __future__ import annotations

from typing import Any, Final

from detzoo.layers.norm import NormConfig
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.necks.fpg import FPGConfig

# What every transition of the zoo is, by name; all are ReLU, convolution, norm.
_TRANSITIONS: Final[dict[str, dict[str, Any]]] = {
    "same_up_trans": {"type": "conv", "kernel_size": 3, "stride": 2, "padding": 1},
    "across_lateral_trans": {"type": "conv", "kernel_size": 1},
    "across_down_trans": {"type": "interpolation_conv", "mode": "nearest", "kernel_size": 3},
    "across_skip_trans": {"type": "conv", "kernel_size": 1},
    "output_trans": {"type": "last_conv", "kernel_size": 3},
}


@adapts("neck", "FPG")
def fpg(node: Node, features: Features) -> FPGConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("end_level", -1, "as in all of the zoo")
    for key in ("same_down_trans", "across_up_trans"):
        node.expect(key, None, "as pathways go from fine to coarse")
    pathways, channels = node.take("stack_times"), node.take("out_channels")
    node.expect("paths", ("bu",) * pathways, "as pathways go from fine to coarse")
    node.expect("inter_channels", channels, "the channels of the outputs")
    norm = norm_of(node, default=None)
    if norm is None:
        raise node.error("norm_cfg", "missing; a FPG without norms is not in the zoo")
    for key in _TRANSITIONS:
        _expect_transition(node, key, norm)
    absent = node.take("skip_inds")
    node.expect("num_outs", len(absent), "the levels of skip_inds")
    starts = tuple(len(pathways_without) for pathways_without in absent)
    if any(tuple(without) != tuple(range(len(without))) for without in absent):
        raise node.error("skip_inds", f"{absent}: a level takes part from some pathway on")
    return FPGConfig(
        out_channels=channels,
        num_pathways=pathways,
        starts=starts,
        start_level=node.take("start_level", 0),
        extra_convs=node.take("add_extra_convs", False),
        norm=norm,
    )


def _expect_transition(node: Node, key: str, norm: NormConfig) -> None:
    transition = node.child(key)
    for name, value in _TRANSITIONS[key].items():
        transition.expect(name, value, "as in all of the zoo")
    transition.expect("order", ("act", "conv", "norm"), "as in all of the zoo", default=("conv",))
    transition.expect("inplace", False, "as in all of the zoo")
    if key != "output_trans" and norm_of(transition, default=None) != norm:
        raise transition.error("norm_cfg", "is not that of the neck")
