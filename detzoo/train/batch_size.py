"""The largest batch that fits into the memory of a GPU, found by trying."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from detzoo.data.dataset import DetectionDataset
from detzoo.detectors.base import Detector
from detzoo.errors import ConfigError
from detzoo.experiment import Experiment
from detzoo.structures import Batch
from detzoo.train.data import open_loader, usable_data
from detzoo.train.distributed import Processes, join_processes
from detzoo.train.trainer import Trainer

# The part of the memory that a batch may take: images of other batches are larger, or have more
# objects.
FRACTION = 0.8
# Steps that an epoch keeps where the data is small.
LEAST_STEPS = 10
# Images of which the one with the largest input is tried.
SAMPLES = 16

# Bytes that a step with this many images takes; None: more than there are.
StepMemory = Callable[[int], int | None]


def with_largest_batch(
    experiment: Experiment,
    model: Detector,
    data: DetectionDataset,
    device: torch.device | str,
    *,
    compiled: bool = False,
) -> tuple[Experiment, str]:
    """``experiment`` with the largest batch for training ``model`` on ``data``, and a note on it.

    It is a power of two whose step takes at most :data:`FRACTION` of the memory that is free on the
    device, and leaves an epoch at least :data:`LEAST_STEPS` steps. ``model`` is not changed. With
    several processes, the device with the least memory counts; call this in every one.

    Raises :class:`ConfigError` for another device than a GPU with CUDA, and if not even one image
    fits.
    """
    check_device(experiment, device)
    with join_processes(device) as processes:
        # Tried outside of the group, since a process that runs out of memory leaves it.
        count, own = processes.count, processes.device
    images = len(usable_data(experiment, data))
    most = max(1, images // (LEAST_STEPS * count * experiment.accumulate))
    memory = free_memory(own)
    step = step_memory(experiment, model, data, own, compiled=compiled)
    size = largest_batch(step, memory, most, str(own))
    del step
    gc.collect()
    free_memory(own)
    with join_processes(device) as processes:
        size = -int(processes.maximum(torch.tensor(-size, device=processes.device)))
    why = f"twice as many do not fit into {FRACTION:.0%} of the {memory / 1e9:.1f} GB free on {own}"
    if 2 * size > most:
        why = f"more would leave fewer than {LEAST_STEPS} steps in an epoch of {images} images"
    data_config = replace(experiment.data, images_per_device=size)
    noun = "image" if size == 1 else "images"
    return replace(experiment, data=data_config), f"batch size auto: {size} {noun}; {why}"


def check_device(experiment: Experiment, device: torch.device | str) -> None:
    """Raises :class:`ConfigError` unless ``device`` is a GPU with CUDA."""
    if torch.device(device).type != "cuda":
        raise ConfigError(
            f"--batch-size auto: fits the batch into the memory of a CUDA GPU, and this run is on "
            f"{torch.device(device).type}, where larger batches gain little. Give a number, or "
            f"leave it out: this recipe has {experiment.data.images_per_device}."
        )


def largest_batch(step: StepMemory, memory: int, most: int, device: str) -> int:
    """The largest power of two up to ``most`` whose ``step`` takes :data:`FRACTION` of ``memory``.

    Raises :class:`ConfigError`, naming the ``device``, if one image takes more.
    """
    size, best = 1, 0
    while size <= most:
        used = step(size)
        if used is None or used > FRACTION * memory:
            break
        size, best = 2 * size, size
    if best == 0:
        raise ConfigError(
            f"--batch-size auto: a step with one image takes more than {FRACTION:.0%} of the "
            f"{memory / 1e9:.1f} GB that are free on {device}. Use a smaller --image-size, "
            "--precision bf16, or a smaller model."
        )
    return best


def free_memory(device: torch.device) -> int:
    """Bytes of a CUDA device that are free, after returning what PyTorch has kept."""
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def step_memory(
    experiment: Experiment,
    model: Detector,
    data: DetectionDataset,
    device: torch.device,
    *,
    compiled: bool = False,
) -> StepMemory:
    """Makes what measures the memory of training steps of a copy of ``model`` on ``device``."""
    settings = replace(experiment.data, images_per_device=1, workers=0)
    if settings.batch_resize is not None:  # always to the largest size
        largest = settings.batch_resize.multiples[1]
        resize = replace(settings.batch_resize, multiples=(largest, largest), every=1)
        settings = replace(settings, batch_resize=resize)
    experiment = replace(experiment, data=settings)
    alone = Processes(0, 1, device)
    loader = open_loader(experiment, usable_data(experiment, data), alone)
    image = max(loader.some_batches(SAMPLES), key=lambda one: one.pixels.numel())
    trainer = Trainer(
        experiment, copy.deepcopy(model), data, None, Path(), alone, compiled=compiled
    )
    trainer.write_nothing()
    trainer.position.iteration = 1  # the first one that is resized

    def step(size: int) -> int | None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            trainer.step([repeated(image, size)])
        except torch.OutOfMemoryError:
            return None
        return torch.cuda.max_memory_reserved(device)

    return step


def repeated(image: Batch, size: int) -> Batch:
    """A batch of ``size`` times the same image."""
    return Batch(
        image.pixels.expand(size, -1, -1, -1).contiguous(),
        image.infos * size,
        image.targets * size,
        image.proposals * size,
    )
