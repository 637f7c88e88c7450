"""Inference speed as measured in MMDetection's model zoo: forward pass and postprocessing, image by
image.

Loading and resizing images is timed separately and not included. Several models are measured
alternately on each image, so that noise affects all equally.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from detzoo.benchmark.machine import reset_peak_memory, synchronize
from detzoo.benchmark.spread import Spread
from detzoo.data.images import read_image
from detzoo.data.loader import collate
from detzoo.data.sample import Sample, Transform, apply
from detzoo.detectors.base import Detector
from detzoo.devices import Precision, autocast
from detzoo.inference.compiled import compile_detector
from detzoo.layers.fusion import fuse
from detzoo.structures import Batch, ImageInfo, Targets
from detzoo.train.log import memory_in_use

# The size (height, width) of generated images: the most common one in COCO.
MADE_SIZE = (480, 640)


@dataclass(frozen=True)
class InferenceOptions:
    """Options of the measurement. The first ``warmup`` batches are not counted; ``fused`` measures
    a fused copy, ``compiled`` one whose backbone and neck are compiled.
    """

    num_images: int = 2000
    warmup: int = 5
    batch_size: int = 1
    precision: Precision = "fp32"
    channels_last: bool = True
    compiled: bool = False
    fused: bool = True


@dataclass(frozen=True)
class Subject:
    """A model to measure, on its device, with its transforms."""

    name: str
    model: Detector
    transforms: tuple[Transform, ...]


@dataclass(frozen=True)
class InferenceResult:
    """``seconds`` and ``loading`` are per image. ``memory_gb`` is the peak of the device (on CUDA)
    or of the process, which includes all models."""

    name: str
    seconds: Spread
    loading: Spread
    detections: float
    memory_gb: float

    @property
    def images_per_second(self) -> float:
        return 1 / self.seconds.median


@dataclass
class _Record:
    seconds: list[float] = field(default_factory=list)
    loading: list[float] = field(default_factory=list)
    detections: int = 0
    images: int = 0
    memory_gb: float = 0.0


def measure_inference(
    subjects: Sequence[Subject],
    images: Sequence[Path],
    options: InferenceOptions,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> list[InferenceResult]:
    """Measures all ``subjects`` on ``images``, repeating them until there are enough.

    Without images, random ones of COCO's most common size are generated. After each batch,
    ``progress`` is called with the number of images done and the average seconds per image by model
    name.
    """
    records = {subject.name: _Record() for subject in subjects}
    runs = {subject.name: _prepared(subject, options) for subject in subjects}
    source = _endless(images)
    batches = options.warmup + -(-options.num_images // options.batch_size)
    for number in range(batches):
        raw = [next(source) for _ in range(options.batch_size)]
        for subject in subjects:
            record, device = records[subject.name], subject.model.device
            started = time.perf_counter()
            batch = _load(raw, subject.transforms)
            loaded = time.perf_counter()
            reset_peak_memory(device)
            found = runs[subject.name](batch)
            synchronize(device)
            done = time.perf_counter()
            record.memory_gb = max(record.memory_gb, memory_in_use(device))
            if number >= options.warmup:
                record.loading.append((loaded - started) / len(batch))
                record.seconds.append((done - loaded) / len(batch))
                record.detections += found
                record.images += len(batch)
        if progress is not None and number >= options.warmup:
            running = {name: float(np.mean(record.seconds)) for name, record in records.items()}
            progress((number - options.warmup + 1) * options.batch_size, running)
    return [
        InferenceResult(
            name,
            Spread.of(record.seconds),
            Spread.of(record.loading),
            record.detections / record.images,
            record.memory_gb,
        )
        for name, record in records.items()
    ]


def _prepared(subject: Subject, options: InferenceOptions) -> Callable[[Batch], int]:
    """Returns the function to be timed, from raw pixels to detections in original pixels; it
    returns their number.
    """
    model = subject.model.eval()
    if options.fused and not options.compiled:  # the compiler fuses layers, too
        model = fuse(model)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    if options.compiled:
        model = compile_detector(model)

    @torch.inference_mode()
    def run(batch: Batch) -> int:
        with autocast(model.device, options.precision):
            images = model.preprocess(batch)
            pixels = images.pixels.contiguous(memory_format=layout)
            detections = model.detect(model.extract_features(pixels), images)
        found = [image.to_original(info) for image, info in zip(detections, images.infos)]
        return sum(len(image) for image in found)

    return run


def _load(raw: Sequence[Path | np.ndarray], transforms: Sequence[Transform]) -> Batch:
    """Loads a batch of images or files."""
    samples = []
    for item in raw:
        image = read_image(item) if isinstance(item, Path) else item
        targets = Targets.of(torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64))
        sample = Sample(image, targets, ImageInfo.of((image.shape[0], image.shape[1])))
        samples.append(apply(transforms, sample, np.random.default_rng(0)))
    return collate(samples, with_targets=False)


def _endless(images: Sequence[Path]) -> Iterator[Path | np.ndarray]:
    """Repeats the images forever."""
    rng = np.random.default_rng(0)
    made: list[Path | np.ndarray] = [
        rng.integers(0, 256, (*MADE_SIZE, 3), dtype=np.uint8) for _ in range(8)
    ]
    while True:
        yield from images or made
