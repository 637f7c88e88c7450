"""How accurate a detector is on data, before and after its export."""

from __future__ import annotations

from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import build_loader
from detzoo.errors import CheckpointError
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.run import default_evaluators, evaluate
from detzoo.inference.predictor import Predictor


def accuracy(predictor: Predictor, dataset: DetectionDataset) -> Metrics:
    """The metrics of the recipe on ``dataset``, of which only the detector's classes count."""
    experiment = predictor.experiment
    if not experiment.model.is_class_agnostic:
        if not set(predictor.class_names) & set(dataset.class_names):
            raise CheckpointError(f"{dataset.source}: has none of the classes that the model knows")
        dataset = dataset.select_classes(predictor.class_names, drop_others=True, allow_absent=True)
    dataset = dataset.with_channels(experiment.model.input_pixels.channels)
    loader = build_loader(
        dataset, experiment.data.test_transforms, images_per_device=1, training=False
    )
    evaluators = default_evaluators(
        GroundTruth.of(dataset),
        predictor.class_names,
        predicts_masks=experiment.model.predicts_masks,
        is_class_agnostic=experiment.model.is_class_agnostic,
        metric=experiment.data.metric,
    )
    return evaluate(predictor.model, loader, evaluators, fused=False)
