"""The training data of a run: usable images, and the batches of its steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import Loader, build_loader
from detzoo.detectors.base import Detector
from detzoo.errors import DataError
from detzoo.experiment import Experiment
from detzoo.heads.dense.base import DenseHead
from detzoo.structures import Batch
from detzoo.train.distributed import Processes


def usable_data(experiment: Experiment, data: DetectionDataset) -> DetectionDataset:
    """The images of ``data`` that ``experiment`` trains on.

    Raises :class:`DataError` with the reasons if no images are left.
    """
    data = data.with_channels(experiment.model.input_pixels.channels)
    data = data.with_stuff(experiment.panoptic_stuff or ())
    return data.for_training(
        skip_empty=experiment.data.skip_empty,
        min_size=experiment.data.min_image_size,
        min_object_size=experiment.data.min_object_size,
        learn_crowds=experiment.data.learn_crowds,
    )


def open_loader(experiment: Experiment, usable: DetectionDataset, processes: Processes) -> Loader:
    """Creates the loader of this process's training batches."""
    data = experiment.data
    return build_loader(
        usable,
        data.train_transforms,
        images_per_device=data.images_per_device,
        workers=data.workers,
        seed=experiment.seed,
        training=True,
        rank=processes.rank,
        world_size=processes.count,
        masks=data.masks,
        repeats=data.repeats,
        oversample_threshold=data.oversample_threshold,
        balance_classes=data.balance_classes,
        max_proposals=data.train_proposals,
        final_transforms=experiment.final.transforms if experiment.final else (),
        final_epoch=experiment.final_epoch,
    )


def check_labels(experiment: Experiment, data: DetectionDataset) -> None:
    """Raises :class:`DataError` unless data and experiment have the same class names."""
    if data.class_names != experiment.class_names:
        raise DataError(
            f"{data.source}: its classes are {', '.join(data.class_names)}, those of the "
            f"experiment {', '.join(experiment.class_names)}. Make them the same: "
            "data.select_classes(experiment.class_names), or class_names=data.class_names."
        )


def notes_on_priors(model: Detector, loader: Loader) -> list[str]:
    """Returns notes on pyramid levels that are never trained, since none of their anchors fits into
    a training image (judged by a few samples).
    """
    heads = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, DenseHead) and module.config.border is not None
    }
    if not heads:
        return []
    infos = [info for batch in loader.some_batches(8) for info in batch.infos]
    notes = []
    for name, head in heads.items():
        strides = head.untrainable_strides(infos)
        if strides and infos:
            levels = ", ".join(map(str, strides))
            notes.append(
                f"{name}: no anchor of stride {levels} fits into the training images (such as "
                f"{infos[0].size[1]} x {infos[0].size[0]} pixels), so that level is never trained; "
                f"use smaller anchors (model.{name}.priors), larger images, or "
                f"--set model.{name}.border=None"
            )
    return notes


def grouped_batches(
    loader: Loader, size: int, steps_per_epoch: int, first_step: int
) -> Iterator[list[Batch]]:
    """Yields the batches of each step from ``first_step`` on, over endless epochs.

    A step has ``size`` batches; the last one of an epoch has the remaining ones.
    """
    epoch, step = divmod(first_step, steps_per_epoch)
    while True:
        loader.set_epoch(epoch, start=step * size)
        batches = iter(loader)
        while group := list(islice(batches, size)):
            yield group
        epoch, step = epoch + 1, 0
