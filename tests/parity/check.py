"""Runs one model against its reference."""

from __future__ import annotations

import contextlib
import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from detzoo.config import diff
from detzoo.detectors.base import Detector
from detzoo.detectors.solo import SOLO
from detzoo.detectors.two_stage import TwoStage
from detzoo.experiment import Experiment
from detzoo.structures import BitmapMasks, Detections, ImageMasks, RoIMasks
from tests.meta import on_meta
from tests.parity import model as our
from tests.parity.compare import (
    Finding,
    compare_detections,
    compare_features,
    compare_gradients,
    compare_losses,
    compare_mask_areas,
    compare_mask_scores,
    match_detections,
)
from tests.parity.corners import check_corners
from tests.parity.double import float64
from tests.parity.reference import Reference

# Fields that say where weights come from and what raw pixels look like: a model's numbers on
# given weights and given input do not depend on them.
OUTSIDE_THE_MODEL = ("backbone.pretrained", "roi_head.shared_stage.resnet.pretrained", "pixels")

_PIECE = 2**20  # elements of a gradient that are brought to float64 at once


def check_names(experiment: Experiment, reference: Reference) -> Finding:
    """The state dict's names and shapes, without allocating the model."""
    with on_meta():
        state = experiment.build_model().state_dict()
    ours = {name: tuple(tensor.shape) for name, tensor in state.items()}
    theirs = reference.shapes
    wrong = sorted(set(ours.items()) ^ set(theirs.items()))
    return Finding("names", float(len(wrong)), f"differ in {wrong[:3]}" if wrong else "")


def check_same_model(experiment: Experiment, of_reference: Experiment) -> Finding:
    """Whether an entry has the very model of the entry that the reference was made with."""
    rows = [
        row
        for row in diff(experiment.model, of_reference.model)
        if not row[0].startswith(OUTSIDE_THE_MODEL)
    ]
    if len(experiment.class_names) != len(of_reference.class_names):
        rows.append(("class_names", experiment.class_names, of_reference.class_names))
    return Finding("same model", float(len(rows)), f"differs in {rows[0]}" if rows else "")


def check_numbers(experiment: Experiment, reference: Reference) -> list[Finding]:
    """Evaluation and training on the reference's weights and inputs."""
    with float64() if reference.is_double else contextlib.nullcontext():
        model = our.build(experiment, reference)
        findings = check_evaluation(model, reference)
        # PointRend draws random points in training: it has no losses to compare.
        if "loss_error" not in reference:
            findings += check_training(model, reference)
        return findings


@torch.no_grad()
def check_evaluation(model: Detector, reference: Reference) -> list[Finding]:
    """Features, proposals, detections and masks."""
    model.eval()
    given = model.config.needs_proposals
    images = our.image_batch(1, reference.image_shape, with_proposals=given)
    findings = []
    maps = model.backbone(images.pixels)
    findings.append(compare_features("backbone", our.summarise(maps), reference["backbone"]))
    features = maps if model.neck is None else model.neck(maps)
    findings.append(compare_features("features", our.summarise(features), reference["features"]))
    if "proposals" in reference:
        assert isinstance(model, TwoStage)
        (proposals,) = model.propose(features, images)
        theirs = reference["proposals"]
        theirs = np.concatenate([np.zeros((len(theirs), 1)), theirs[:, [4, 0, 1, 2, 3]]], 1)
        findings.append(compare_detections("proposals", our.detection_rows(proposals), theirs))
    (detections,) = model.detect(features, images)
    rows, theirs = our.detection_rows(detections), reference["detections"]
    if isinstance(model, SOLO):
        # MMDetection writes no boxes for detectors that predict masks alone.
        rows[:, 2:] = 0
    findings.append(compare_detections("detections", rows, theirs))
    if "decoded_corner_maps" in reference:
        findings += check_corners(model, features, reference)
    if "mask_areas" in reference:
        pasted = _full_size(detections, reference.image_shape)
        areas = pasted.bitmaps.sum((1, 2)).numpy()
        pairs, _ = match_detections(rows, theirs)
        findings.append(compare_mask_areas(areas, reference["mask_areas"], pairs))
        if "mask_scores" in reference:
            assert detections.mask_scores is not None
            # Recorded class after class, unlike the detections.
            order = np.lexsort((-theirs[:, 1], theirs[:, 0]))
            mask_scores = np.empty(len(theirs))
            mask_scores[order] = reference["mask_scores"]
            ours = detections.mask_scores.numpy()
            findings.append(compare_mask_scores(ours, mask_scores, pairs))
    return findings


def _full_size(detections: Detections, shape: tuple[int, int]) -> BitmapMasks:
    if isinstance(detections.masks, ImageMasks):
        return detections.masks.at_input(shape)
    assert isinstance(detections.masks, RoIMasks)
    return detections.masks.paste(detections.boxes, shape)


def check_training(model: Detector, reference: Reference) -> list[Finding]:
    """Losses and gradient norms."""
    model.train()
    config, shape = model.config, reference.image_shape
    images = our.image_batch(2, shape, with_proposals=config.needs_proposals)
    targets = our.target_list(
        2, reference.num_classes, shape, with_semantic_maps=config.needs_semantic_maps
    )
    losses = model(images, targets)
    total = torch.stack([value.sum() for value in losses.values()]).sum()
    norms = _norms_to_come(model)
    total.backward()
    values = {name: float(value.detach()) for name, value in losses.items()}
    findings = [compare_losses({**values, "loss": float(total.detach())}, reference.losses)]
    # One reference has none: there MMDetection's own gradients overflow.
    if "grad_names" in reference:
        findings.append(compare_gradients(norms, reference.gradients))
    return findings


def _norms_to_come(model: Detector) -> dict[str, float]:
    """Gets the norm of each gradient when it is complete, which is then freed.

    All gradients together would be as large as the model.
    """
    norms: dict[str, float] = {}

    def note(name: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        pieces = parameter.grad.flatten().split(_PIECE)
        norms[name] = math.sqrt(sum(float(piece.double().square().sum()) for piece in pieces))
        parameter.grad = None

    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(partial(note, name))
    return norms
