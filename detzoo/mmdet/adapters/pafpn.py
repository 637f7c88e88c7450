"""Path aggregation networks."""

from __future__ import annotations

import dataclasses

from detzoo.mmdet.adapters.necks import fpn
from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.necks.pafpn import PAFPNConfig


@adapts("neck", "PAFPN")
def pafpn(node: Node, features: Features) -> PAFPNConfig:
    base = fpn(node, features)
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    return PAFPNConfig(**fields)
