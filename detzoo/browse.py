"""Shows samples of a data set before and after augmentation, as a model sees them in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np
import torch

from detzoo.data.dataset import DetectionDataset
from detzoo.experiment import Experiment
from detzoo.inference.draw import draw_targets
from detzoo.report import Gallery, Page, Picture, Section
from detzoo.train.data import open_loader, usable_data
from detzoo.train.distributed import Processes

# Longer side of the images in a page, in pixels.
_SIDE = 640


@dataclass(frozen=True)
class BrowsedSample:
    """An image with its objects drawn, (H, W, 3) BGR: as in the file, and as input to the model."""

    name: str
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Browsed:
    """Samples of the data set ``source`` for display. A notebook shows their page."""

    source: str
    epoch: int
    samples: tuple[BrowsedSample, ...]

    def to_page(self) -> Page:
        pictures = []
        for sample in self.samples:
            for image, when in ((sample.before, ""), (sample.after, " for the model")):
                height, width = image.shape[:2]
                caption = f"{sample.name}{when}: {width} x {height}"
                pictures.append(Picture.of(_reduced(image), caption))
        section = Section("Before and after augmentation", [Gallery(pictures, pairs=True)])
        return Page("Training samples", [section], [self.source, f"epoch {self.epoch + 1}"])

    def _repr_html_(self) -> str:
        return self.to_page()._repr_html_()


def browse(
    dataset: DetectionDataset, experiment: Experiment, count: int = 8, *, epoch: int = 0
) -> Browsed:
    """Returns the first ``count`` samples of an epoch of training ``experiment`` on ``dataset``.

    They are what a run with this seed trains on: transformed according to its recipe, including
    mosaics and final epochs, and from usable images only. Epochs count from 0. Raises
    :class:`DataError` as training would.
    """
    data = replace(experiment.data, images_per_device=1, workers=0)
    experiment = replace(experiment, data=data, class_names=dataset.class_names)
    experiment.check_needs(dataset, training=True)
    usable = usable_data(experiment, dataset)
    samples = tuple(islice(_samples(usable, experiment, epoch), count))
    return Browsed(dataset.source, epoch, samples)


def _samples(
    usable: DetectionDataset, experiment: Experiment, epoch: int
) -> Iterator[BrowsedSample]:
    names = usable.class_names
    place = {usable.image_id(i): i for i in range(len(usable))}
    loader = open_loader(experiment, usable, Processes(0, 1, torch.device("cpu")))
    loader.set_epoch(epoch)
    for batch in loader:
        info, targets = batch.infos[0], batch.targets[0]
        index = place[info.id]
        original = usable.sample(index, experiment.data.masks)
        yield BrowsedSample(
            usable.file_names[index],
            draw_targets(original.image, original.targets, names),
            draw_targets(batch.pixels[0].numpy(), targets, names),
        )


def _reduced(image: np.ndarray) -> np.ndarray:
    """Downscales an image to at most ``_SIDE`` pixels."""
    scale = _SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
