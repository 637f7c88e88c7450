"""Our side of the comparison: a detector on the references' weights and inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.detectors.distilled import Distilled
from detzoo.experiment import Experiment
from detzoo.heads.base import ProposalHeadConfig
from detzoo.heads.roi.grid import GridRoIHeadConfig
from detzoo.samplers.base import Sampler
from detzoo.structures import BitmapMasks, Detections, ImageBatch, ImageInfo, Targets
from tests.parity import inputs
from tests.parity.reference import Reference

# Classes of the references' semantic maps.
STUFF_CLASSES = 183


def build(experiment: Experiment, reference: Reference) -> Detector:
    """The model with the reference's weights, and nothing random in its training."""
    # Not the reference's number: it says 1 where there is no box head (SOLO), and gives targets so.
    num_classes = len(experiment.class_names)
    model = _without_randomness(experiment.model).build(num_classes)
    fill(model, reference.calibration)
    if isinstance(model, Distilled):
        assert model.config.teacher is not None
        teacher = model.config.teacher.build(num_classes)
        fill(teacher, reference.calibration, prefix="teacher.")
        model.learn_from(teacher)
    return model.to(torch.get_default_dtype())


def fill(model: nn.Module, calibration: dict[str, tuple[float, float]], prefix: str = "") -> None:
    """Gives every parameter and running statistic its defined value, and stops dropout.

    Values are those of the names after ``prefix``; those of a teacher differ from its student's.
    """
    # A parameter with several names is filled under each, and keeps the last one's value.
    parameters = dict(model.named_parameters(remove_duplicate=False))
    values = {}
    for name, tensor in model.state_dict().items():
        if inputs.is_filled(name, name in parameters):
            gain, shift = calibration.get(name, (1.0, 0.0))
            value = inputs.fill(prefix + name, tuple(tensor.shape), gain, shift)
            values[name] = torch.from_numpy(value)
    # Loaded like a checkpoint that has nothing else: DetectoRS takes its kernels' statistics then.
    model.load_state_dict(values, strict=False)
    for module in model.modules():
        if isinstance(module, (nn.Dropout, StochasticDepth)):
            module.p = 0.0


def image_batch(count: int, shape: tuple[int, int], *, with_proposals: bool = False) -> ImageBatch:
    """The references' images, and what is known about them."""
    sizes = inputs.image_sizes(shape)[:count]
    infos = tuple(dataclasses.replace(ImageInfo.of(size), padded_size=shape) for size in sizes)
    # In the memory format of the references: on a CPU, batch statistics in channels-last format
    # are so much less exact that gradients of deep networks differ by a hundredth.
    proposals = inputs.proposals(count) if with_proposals else []
    return ImageBatch(_tensor(inputs.images(count, shape)), infos, tuple(map(_tensor, proposals)))


def target_list(
    count: int, num_classes: int, shape: tuple[int, int], *, with_semantic_maps: bool = False
) -> list[Targets]:
    """The references' ground truth."""
    targets = [
        Targets.of(
            _tensor(target["boxes"]),
            torch.from_numpy(target["labels"]),
            BitmapMasks(torch.from_numpy(target["masks"])),
        )
        for target in inputs.targets(count, num_classes, shape)
    ]
    if not with_semantic_maps:
        return targets
    maps = torch.from_numpy(inputs.semantic_map(count, STUFF_CLASSES)[:, 0]).to(torch.uint8)
    return [dataclasses.replace(t, semantic_map=own) for t, own in zip(targets, maps)]


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to(torch.get_default_dtype())


def summarise(features: tuple[Tensor, ...]) -> np.ndarray:
    """Per feature map: mean, standard deviation, and samples."""
    rows = []
    for feature in features:
        flat = feature.contiguous().flatten()
        samples = flat[torch.from_numpy(inputs.sample_positions(len(flat)))]
        rows.append(
            torch.cat([torch.stack([flat.mean(), flat.std(correction=0)]), samples]).numpy()
        )
    return np.stack(rows)


def detection_rows(detections: Detections, count: int = 300) -> np.ndarray:
    """(N, 6) label, score, x1, y1, x2, y2 by falling score."""
    rows = torch.cat(
        [detections.labels[:, None].float(), detections.scores[:, None], detections.boxes], 1
    )
    return rows[rows[:, 1].argsort(descending=True, stable=True)][:count].numpy()


def _without_randomness(config: DetectorConfig) -> DetectorConfig:
    """Samplers take everything, and at most 200 proposals train the RoI head."""
    return _map(config, _take_everything)


def _take_everything(config: Any) -> Any:
    if isinstance(config, Sampler):
        return dataclasses.replace(config, num=1_000_000, max_negatives_per_positive=None)
    if isinstance(config, ProposalHeadConfig):
        select = dataclasses.replace(config.train_select, max_detections=200)
        return dataclasses.replace(config, train_select=select)
    if isinstance(config, GridRoIHeadConfig):
        return dataclasses.replace(config, jitter=0.0)
    return config


def _map(value: Any, change: Any) -> Any:
    """``change`` applied to every config of a tree, leaves first."""
    if isinstance(value, tuple):
        return tuple(_map(item, change) for item in value)
    if not dataclasses.is_dataclass(value):
        return value
    fields = {f.name: _map(getattr(value, f.name), change) for f in dataclasses.fields(value)}
    return change(type(value)(**fields))
