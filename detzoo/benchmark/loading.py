"""Benchmarks of data loading: of the steps per image, and of the loader with its workers."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from detzoo.benchmark.spread import Spread
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import Loader, collate
from detzoo.data.sample import Sample, SkipSample, Transform
from detzoo.experiment import Experiment


@dataclass(frozen=True)
class LoadingFigures:
    """``steps`` are the seconds per image, on one core, of reading, each transform and collation.

    ``images_per_second`` is the throughput of the whole loader.
    """

    steps: dict[str, Spread]
    images_per_second: float


def measure_steps(
    dataset: DetectionDataset, experiment: Experiment, num_images: int
) -> dict[str, Spread]:
    """Measures the seconds per image of each step, in this process, for ``num_images`` images."""
    seconds: dict[str, list[float]] = defaultdict(list)
    settings = experiment.data
    names = _distinct_names(settings.train_transforms)
    for index in itertools.islice(itertools.cycle(range(len(dataset))), num_images):
        rng = np.random.default_rng(index)
        started = time.perf_counter()
        sample = dataset.sample(index, settings.masks)
        seconds["read"].append(time.perf_counter() - started)
        for name, transform in zip(names, settings.train_transforms):
            started = time.perf_counter()
            changed = _apply(transform, sample, rng)
            seconds[name].append(time.perf_counter() - started)
            if changed is None:
                break
            sample = changed
        started = time.perf_counter()
        collate([sample])
        seconds["collate"].append(time.perf_counter() - started)
    return {name: Spread.of(times) for name, times in seconds.items()}


def measure_loader(loader: Loader, batches: int) -> float:
    """Measures the images per second of ``loader``, excluding its startup."""
    images, started = 0, 0.0
    epochs = (batch for epoch in itertools.count() for batch in _epoch(loader, epoch))
    for number, batch in enumerate(itertools.islice(epochs, batches + 1)):
        if number == 0:
            started = time.perf_counter()
        else:
            images += len(batch)
    return images / (time.perf_counter() - started)


def _epoch(loader: Loader, epoch: int) -> Loader:
    loader.set_epoch(epoch)
    return loader


def _apply(transform: Transform, sample: Sample, rng: np.random.Generator) -> Sample | None:
    """Applies the transform to the sample; returns None if it is skipped."""
    try:
        return transform(sample, rng)
    except SkipSample:
        return None


def _distinct_names(transforms: tuple[Transform, ...]) -> list[str]:
    """The class names, numbered if they occur more than once."""
    names: list[str] = []
    for transform in transforms:
        name = type(transform).__name__
        again = sum(known.split(" ")[0] == name for known in names)
        names.append(f"{name} {again + 1}" if again else name)
    return names
