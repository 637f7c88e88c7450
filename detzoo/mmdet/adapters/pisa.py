"""Prime sample attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from detzoo.heads.dense.pisa import PISARetinaHeadConfig, PISASSDHeadConfig
from detzoo.heads.roi.pisa import PISARoIHeadConfig
from detzoo.losses.prime_samples import CertaintyWeight, Importance
from detzoo.mmdet.adapters.dense_heads import retina_head
from detzoo.mmdet.adapters.grid_heads import ssd_head
from detzoo.mmdet.adapters.roi_heads import standard_settings
from detzoo.mmdet.adapters.training import sampler_settings
from detzoo.mmdet.known import HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.samplers.score_rank import ScoreRankSampler


@adapts("dense_head", "PISARetinaHead")
def pisa_retina_head(node: Node, known: HeadContext) -> PISARetinaHeadConfig:
    return PISARetinaHeadConfig(**_fields(retina_head(node, known)), **_prime_settings(known))


@adapts("dense_head", "PISASSDHead")
def pisa_ssd_head(node: Node, known: HeadContext) -> PISASSDHeadConfig:
    return PISASSDHeadConfig(**_fields(ssd_head(node, known)), **_prime_settings(known))


@adapts("roi_head", "PISARoIHead")
def pisa_roi_head(node: Node, known: HeadContext) -> PISARoIHeadConfig:
    settings = standard_settings(node, known)
    assert known.train is not None
    sampler = known.train.child("sampler")
    sampler.expect("type", "ScoreHLRSampler", "as backgrounds count by their rank")
    return PISARoIHeadConfig(
        **settings,
        sampler=ScoreRankSampler(
            **sampler_settings(sampler),
            importance=_importance(sampler, exponent=0.5),
            min_score=float(sampler.take("score_thr", 0.05)),
            match_iou=float(sampler.take("iou_thr", 0.5)),
        ),
        **_prime_settings(known),
    )


def _prime_settings(known: HeadContext) -> dict[str, Any]:
    """``train_cfg.isr`` and ``train_cfg.carl``."""
    assert known.train is not None
    certainty = known.train.child("carl")
    return {
        "importance": _importance(known.train.child("isr"), exponent=2.0),
        "certainty": CertaintyWeight(
            exponent=float(certainty.take("k", 1)), bias=float(certainty.take("bias", 0.2))
        ),
    }


def _importance(node: Node, exponent: float) -> Importance:
    return Importance(exponent=float(node.take("k", exponent)), bias=float(node.take("bias", 0.0)))


def _fields(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
