"""Predictor: a detector with its transforms and class names, ready for inference."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detzoo.data.loader import collate
from detzoo.data.sample import Sample, apply
from detzoo.detectors.base import Detector
from detzoo.devices import Precision, autocast
from detzoo.errors import ConfigError, DataError
from detzoo.experiment import Experiment
from detzoo.inference.inputs import ImageLike, read_inputs
from detzoo.inference.result import Result
from detzoo.inference.tiles import fits_in_a_tile, merge_tiles, place_tiles
from detzoo.layers.fusion import fuse
from detzoo.structures import Detections, ImageInfo, Targets

# Boxes (N, 4) in pixels of the image -> (N,) bool, which of them to keep.
Wanted = Callable[[Tensor], Tensor]


class Predictor:
    """Detects objects in images. ``class_names`` are those that the weights were trained for.

    ``model`` is a copy, prepared for inference, of the detector that was given, as it was then
    (:func:`detzoo.layers.fusion.fuse`). With ``fused`` false it is that detector itself, whose
    layers can be watched, exchanged and trained. ``thresholds`` are the best minimum scores by
    class, where a checkpoint has them.

    Threads may share a predictor.
    """

    def __init__(
        self,
        experiment: Experiment,
        model: Detector,
        precision: Precision = "fp32",
        *,
        fused: bool = True,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self.experiment = experiment
        self.thresholds = thresholds
        self.precision = precision
        self.model = fuse(model) if fused else model.eval()
        self.transforms = experiment.data.test_transforms
        # One pipeline per augmentation of an image; most recipes have one.
        self._views = experiment.data.tta.pipelines(experiment.data.test_transforms)
        agnostic = experiment.model.is_class_agnostic
        self.class_names = ("object",) if agnostic else experiment.class_names
        self.stuff_names = experiment.panoptic_stuff or ()

    @property
    def device(self) -> torch.device:
        return self.model.device

    def to(self, device: torch.device | str) -> Predictor:
        """Moves the detector; returns this object."""
        self.model.to(device)
        return self

    def __call__(self, inputs: ImageLike | Iterable[ImageLike], **options: Any) -> list[Result]:
        """The results of :meth:`predict`, which takes the same options, as a list.

        All images are then in memory; :meth:`predict` is for many of them.
        """
        return list(self.predict(inputs, **options))

    def predict(
        self,
        inputs: ImageLike | Iterable[ImageLike],
        *,
        batch_size: int = 1,
        min_score: float = 0.3,
        tile: int | None = None,
        tile_overlap: float = 0.2,
        on_error: Callable[[DataError], None] | None = None,
    ) -> Iterator[Result]:
        """Yields the results of all inputs in order, as soon as they are ready.

        Inputs are paths of images, folders, patterns such as ``"photos/*.jpg"``, web addresses of
        images, NumPy arrays (BGR, as OpenCV reads them), Pillow images, tensors (RGB, as
        torchvision has them: (3, H, W), uint8 or floats from 0 to 1, on any device) or the bytes of
        image files: one, or any iterable of them. An array or a tensor of four dimensions is a
        batch of images. Images with the same network input shape share batches of up to
        ``batch_size``. ``tile`` splits images larger than this many pixels into overlapping tiles
        of that size, and also processes the whole image to find objects that fit into no tile.
        Raises :class:`DataError` for anything that is not an image, or passes the error to
        ``on_error`` and continues.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size: {batch_size} is not at least 1")
        if tile is not None and tile < 32:
            raise ConfigError(f"tile: {tile} pixels are too few; give at least 32")
        if not 0 <= tile_overlap < 1:
            raise ConfigError(f"tile_overlap: {tile_overlap} is not a fraction below 1")
        if tile is not None and self.experiment.model.predicts_panoptic:
            raise ConfigError("tile: a panoptic model segments an image as a whole; leave it out")
        if self.experiment.model.needs_proposals:
            raise ConfigError(
                "this model only classifies given regions, and images alone have none: use it "
                "with detzoo test --proposals FILE, or choose a model that proposes its own regions"
            )
        images = read_inputs(inputs, self.experiment.model.input_pixels.channels, on_error)
        # Enough images to find several of the same shape, few enough to fit in memory.
        while window := list(itertools.islice(images, 4 * batch_size if batch_size > 1 else 1)):
            arrays = [image for _, image in window]
            if tile is None:
                found = self._detect(arrays, batch_size, min_score)
            else:
                found = [
                    self._detect_tiled(image, tile, tile_overlap, batch_size, min_score)
                    for image in arrays
                ]
            for (path, image), detections in zip(window, found):
                yield Result(detections, self.class_names, image, path, self.stuff_names)

    def _detect(
        self,
        images: Sequence[np.ndarray],
        batch_size: int,
        min_score: float,
        is_wanted: Wanted | None = None,
    ) -> list[Detections]:
        """Detections of each image (H, W, 3) uint8 BGR in its own pixels, on the CPU."""
        samples = [self.prepare(image) for image in images]
        by_shape: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
        for index, views in enumerate(samples):
            by_shape[tuple(view.info.padded_size for view in views)].append(index)
        found: dict[int, Detections] = {}
        for indices in by_shape.values():
            for start in range(0, len(indices), batch_size):
                chosen = indices[start : start + batch_size]
                detections = self._run([samples[i] for i in chosen], min_score, is_wanted)
                found.update(zip(chosen, detections))
        return [found[index] for index in range(len(images))]

    def prepare(self, image: np.ndarray) -> list[Sample]:
        """The image (H, W, 3) uint8 BGR as each view of the recipe shows it."""
        boxes = torch.zeros((0, 4))
        targets = Targets.of(boxes, torch.zeros(0, dtype=torch.int64))
        info = ImageInfo.of((image.shape[0], image.shape[1]))
        # Test transforms use no random numbers, or the same ones for every image.
        sample = Sample(image, targets, info)
        return [apply(view, sample, np.random.default_rng(0)) for view in self._views]

    @torch.inference_mode()
    def _run(
        self,
        samples: Sequence[Sequence[Sample]],
        min_score: float,
        is_wanted: Wanted | None,
    ) -> list[Detections]:
        """Detects in images, each given by its augmentations -> detections in original pixels."""
        views = [self.model.preprocess(collate(view, with_targets=False)) for view in zip(*samples)]
        images = views[0]
        with autocast(self.device, self.precision):
            if len(views) > 1:
                merged = self.model.detect_augmented(views)
                merged = [_select(one, one.boxes, min_score, is_wanted) for one in merged]
                return [one.to("cpu") for one in merged]
            detections = self.model(images)
        # Filter before masks are resized to the image.
        selected = [
            _select(image, info.to_original(image.boxes), min_score, is_wanted)
            for image, info in zip(detections, images.infos)
        ]
        return [one.to_original(info).to("cpu") for one, info in zip(selected, images.infos)]

    def _detect_tiled(
        self, image: np.ndarray, tile: int, overlap: float, batch_size: int, min_score: float
    ) -> Detections:
        size = image.shape[0], image.shape[1]
        tiles = place_tiles(size, tile, overlap)
        parts = [image[top:bottom, left:right] for left, top, right, bottom in tiles]
        found = self._detect(parts, batch_size, min_score)
        if len(tiles) == 1:
            return found[0]

        def is_large(boxes: Tensor) -> Tensor:
            return ~fits_in_a_tile(boxes, tiles, size)

        (overview,) = self._detect([image], 1, min_score, is_large)
        return merge_tiles(found, tiles, size, overview)


def _select(
    image: Detections, boxes: Tensor, min_score: float, is_wanted: Wanted | None
) -> Detections:
    """Selects detections by score and by ``boxes`` (N, 4) in pixels of the image."""
    keep = image.scores >= min_score
    return image[keep if is_wanted is None else keep & is_wanted(boxes)]
