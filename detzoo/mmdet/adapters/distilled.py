"""Detectors that learn from a teacher: LD and LAD."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import PurePosixPath

from detzoo import zoo
from detzoo.detectors.distilled import DistilledConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.heads.dense.lad import LADHeadConfig
from detzoo.heads.dense.ld import LDHeadConfig
from detzoo.losses.distillation import DistillationLoss
from detzoo.mmdet.adapters.detectors import single_stage
from detzoo.mmdet.adapters.one_stage_heads import gfl_settings, paa_settings
from detzoo.mmdet.known import HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.structures import Pixels


@adapts("detector", "KnowledgeDistillationSingleStageDetector")
def distilled(node: Node, num_classes: int, pixels: Pixels) -> DistilledConfig:
    """``teacher_config`` is the path of another configuration; here that of an entry of the zoo."""

    def teacher() -> SingleStageConfig:
        given = node.take("teacher_config")
        path = PurePosixPath(given)
        is_entry = path.suffix == ".py" and zoo.has(path.stem)
        model = zoo.find(path.stem).experiment.model if is_entry else None
        if not isinstance(model, SingleStageConfig):
            reason = f"{given!r} is the configuration of no one-stage detector of the zoo"
            raise node.error("teacher_config", reason)
        return model

    return _learning(node, num_classes, pixels, "teacher_config", teacher)


@adapts("detector", "LAD")
def label_assignment_distilled(node: Node, num_classes: int, pixels: Pixels) -> DistilledConfig:
    """The teacher's parts lie beside those of the student."""
    parts = {
        key: node.left.pop(f"teacher_{key}")
        for key in ("backbone", "neck", "bbox_head")
        if f"teacher_{key}" in node.left
    }
    settings = {key: node.original[key] for key in ("train_cfg", "test_cfg") if node.has(key)}

    def teacher() -> SingleStageConfig:
        own = _Teacher({**parts, **settings}, node.path, node.reading)
        return single_stage(own, num_classes, pixels)

    return _learning(node, num_classes, pixels, "teacher_backbone", teacher)


class _Teacher(Node):
    """A teacher's parts, whose paths have a name of their own."""

    def at(self, key: str) -> str:
        return super().at(key if key in ("train_cfg", "test_cfg") else f"teacher_{key}")


def _learning(
    node: Node,
    num_classes: int,
    pixels: Pixels,
    where: str,
    teacher: Callable[[], SingleStageConfig],
) -> DistilledConfig:
    node.expect("eval_teacher", True, "as a teacher's statistics stay as they are")
    weights = node.take("teacher_ckpt", None)
    if weights is not None:
        weights = _published(weights) or weights
    model = node.reading.attempt(node.at(where), teacher, None)
    student = single_stage(node, num_classes, pixels)
    fields = {f.name: getattr(student, f.name) for f in dataclasses.fields(student)}
    return DistilledConfig(
        **fields, teacher=model, teacher_weights=None if model is None else weights
    )


def _published(address: str) -> str | None:
    """The entry whose published file this is; it lies in a folder with the name of its entry."""
    path = PurePosixPath(address)
    if not zoo.has(path.parent.name):
        return None
    entry = zoo.find(path.parent.name)
    return entry.name if entry.weights == path.name else None


@adapts("dense_head", "LADHead")
def lad_head(node: Node, known: HeadContext) -> LADHeadConfig:
    return LADHeadConfig(**paa_settings(node, known))


@adapts("dense_head", "LDHead")
def ld_head(node: Node, known: HeadContext) -> LDHeadConfig:
    loss = node.child("loss_ld")
    loss.expect("type", "KnowledgeDistillationKLDivLoss", "how distributions are compared")
    return LDHeadConfig(
        **gfl_settings(node, known),
        distillation_loss=DistillationLoss(
            weight=float(loss.take("loss_weight", 1.0)), temperature=float(loss.take("T", 10))
        ),
    )
