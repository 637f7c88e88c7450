"""Runs a detector on data and scores its detections, in one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.distributed as dist

from detzoo.detectors.base import Detector
from detzoo.devices import Precision, autocast
from detzoo.errors import ConfigError
from detzoo.evaluate.cityscapes import CityscapesEvaluator
from detzoo.evaluate.coco import CocoEvaluator, Kind, MissingMasks
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.lvis import LvisEvaluator
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.open_images import OpenImagesEvaluator
from detzoo.evaluate.panoptic import PanopticEvaluator
from detzoo.evaluate.proposals import ProposalEvaluator
from detzoo.evaluate.results import ImageResult
from detzoo.evaluate.voc import VocEvaluator
from detzoo.experiment import Metric
from detzoo.layers.fusion import fuse
from detzoo.ops.distributed import num_processes
from detzoo.structures import Batch, Detections, ImageBatch


def default_evaluators(
    ground_truth: GroundTruth,
    class_names: Sequence[str],
    *,
    predicts_masks: bool = False,
    is_class_agnostic: bool = False,
    metric: Metric | None = None,
    missing_masks: MissingMasks = "ignore",
    stuff_names: Sequence[str] | None = None,
) -> list[Evaluator]:
    """Creates the evaluators for a detector of ``class_names``.

    These are proposal recall for a class-agnostic detector, otherwise the ``metric``: by default
    panoptic quality for a panoptic detector, which segments the stuff of ``stuff_names``, LVIS's
    for federated data, Open Images' for its data, and COCO's otherwise. LVIS's and COCO's evaluate
    boxes, and masks if both detector and data have them; Pascal VOC's evaluates boxes ("voc07"
    averages over 11 points), and so does Open Images'; Cityscapes' evaluates masks. For
    ``missing_masks`` see :class:`CocoEvaluator`.
    """
    if is_class_agnostic:
        return [ProposalEvaluator(ground_truth)]
    if metric == "voc":
        return [VocEvaluator(ground_truth, class_names)]
    if metric == "voc07":
        return [VocEvaluator(ground_truth, class_names, method="11points")]
    if metric == "openimages":
        return [OpenImagesEvaluator(ground_truth, class_names)]
    if metric == "cityscapes":
        return [CityscapesEvaluator(ground_truth, class_names)]
    if metric == "panoptic" and stuff_names is None:
        raise ConfigError(
            "metric: panoptic quality is of panoptic models (detzoo models panoptic); this one "
            "finds objects, which coco measures"
        )
    if stuff_names is not None and metric in (None, "panoptic"):
        return [PanopticEvaluator(ground_truth, class_names, stuff_names)]
    if metric is None and ground_truth.open_images is not None:
        return [OpenImagesEvaluator(ground_truth, class_names)]
    kinds: tuple[Kind, ...] = ("bbox",)
    if predicts_masks and ground_truth.has_masks:
        kinds = ("bbox", "segm")
    if metric == "lvis" or (metric is None and ground_truth.federation is not None):
        return [LvisEvaluator(ground_truth, class_names, kinds=kinds, missing_masks=missing_masks)]
    return [CocoEvaluator(ground_truth, class_names, kinds=kinds, missing_masks=missing_masks)]


def evaluate(
    model: Detector,
    batches: Iterable[Batch],
    evaluators: Sequence[Evaluator],
    *,
    precision: Precision = "fp32",
    progress: Callable[[int], None] | None = None,
    fused: bool = True,
) -> Metrics:
    """Runs the detector and scores its detections; every process gets the metrics of all data.

    See :func:`detect`.
    """
    results = detect(model, batches, precision=precision, progress=progress, fused=fused)
    return score(evaluators, results)


def detect(
    model: Detector,
    *views: Iterable[Batch],
    precision: Precision = "fp32",
    progress: Callable[[int], None] | None = None,
    fused: bool = True,
) -> list[ImageResult]:
    """Detects the objects in each image with the model in its current state, on its device.

    ``views`` are one or, with test-time augmentation, several iterables of batches, of the same
    images in the same order (see :class:`detzoo.data.tta.TTA`). ``progress`` is called with the
    number of images of each batch done. In distributed runs, each process detects in its share of
    the images; the main process gets all results, without duplicates, and the others get their own.
    A fused copy of the model is used (:func:`detzoo.layers.fusion.fuse`), unless ``fused`` is
    false.
    """
    results: list[ImageResult] = []
    was_training = model.training
    model.eval()
    detector = fuse(model) if fused else model
    try:
        with torch.inference_mode(), autocast(model.device, precision):
            for batches in zip(*views):
                images = [detector.preprocess(batch) for batch in batches]
                for found, info in zip(detect_batch(detector, images), images[0].infos):
                    results.append(ImageResult.of(info.id, found))
                if progress is not None:
                    progress(len(images[0]))
    finally:
        model.train(was_training)
    unique = {result.image_id: result for result in _gather(results)}
    return list(unique.values())


def detect_batch(model: Detector, views: Sequence[ImageBatch]) -> list[Detections]:
    """The detections of each image, with or without test-time augmentation, in original pixels."""
    if len(views) > 1:
        return model.detect_augmented(views)
    return [found.to_original(info) for found, info in zip(model(views[0]), views[0].infos)]


def score(evaluators: Sequence[Evaluator], results: Sequence[ImageResult]) -> Metrics:
    """Computes the metrics of all evaluators, in the main process for all processes."""
    if num_processes() == 1:
        return Metrics.merge([evaluator.score(results) for evaluator in evaluators])
    outcome: list[Metrics | Exception | None] = [None]
    if dist.get_rank() == 0:
        try:
            outcome[0] = Metrics.merge([evaluator.score(results) for evaluator in evaluators])
        except Exception as error:  # the other processes are waiting, and must fail, too
            outcome[0] = error
    dist.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    assert outcome[0] is not None
    return outcome[0]


def _gather(results: list[ImageResult]) -> list[ImageResult]:
    if num_processes() == 1:
        return results
    parts: list[list[ImageResult]] | None = None
    if dist.get_rank() == 0:
        parts = [[] for _ in range(dist.get_world_size())]
    dist.gather_object(results, parts, dst=0)
    return results if parts is None else [result for part in parts for result in part]
