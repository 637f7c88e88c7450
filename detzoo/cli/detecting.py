"""Running a detector over a data set, for the commands that need its detections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from detzoo.cli.common import plain_console
from detzoo.cli.progress import image_progress
from detzoo.errors import CheckpointError

if TYPE_CHECKING:
    from detzoo.analyze import Album
    from detzoo.data.dataset import DetectionDataset
    from detzoo.evaluate import GroundTruth, ImageResult
    from detzoo.experiment import Experiment
    from detzoo.inference.predictor import Predictor
    from detzoo.train.distributed import Processes
    from detzoo.values import Id


# Of detections that are drawn.
MIN_SCORE = 0.3


@dataclass(frozen=True)
class Found:
    """Detections in a data set, whose classes are the detector's where there is one."""

    dataset: DetectionDataset
    truth: GroundTruth
    results: list[ImageResult]
    class_names: tuple[str, ...]


def detections_of(
    source: str,
    dataset: DetectionDataset,
    *,
    weights: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    batch_size: int = 1,
    workers: int = 2,
    trust: bool = False,
) -> Found:
    """What is in ``source``, a .json file of detections, or what it detects, a model."""
    from detzoo.devices import check_precision
    from detzoo.evaluate import GroundTruth, read_results
    from detzoo.inference.loading import load

    if source.endswith(".json"):
        truth = GroundTruth.of(dataset)
        return Found(dataset, truth, read_results(source, truth), truth.class_names)
    chosen = None if precision is None else check_precision(precision)
    predictor = load(source, weights, device, chosen, trust=trust)
    dataset = fit_data(dataset, predictor, source)
    results = detect_with_progress(
        predictor, predictor.experiment, dataset, batch_size=batch_size, workers=workers
    )
    return Found(dataset, GroundTruth.of(dataset), results, tuple(predictor.class_names))


def detect_with_progress(
    predictor: Predictor,
    experiment: Experiment,
    dataset: DetectionDataset,
    *,
    batch_size: int = 1,
    workers: int = 2,
    fused: bool = True,
    processes: Processes | None = None,
) -> list[ImageResult]:
    """The detections in every image, with the test pipeline of ``experiment``; a bar shows how far
    it is.

    Of several ``processes`` each takes a part of the images, and the first gets all detections.
    """
    from detzoo.data.loader import build_loader
    from detzoo.evaluate import detect

    loaders = [
        build_loader(
            dataset,
            transforms,
            images_per_device=min(batch_size, len(dataset)) if len(dataset) else 1,
            workers=workers,
            training=False,
            max_proposals=experiment.data.test_proposals,
            rank=0 if processes is None else processes.rank,
            world_size=1 if processes is None else processes.count,
        )
        for transforms in experiment.data.tta.pipelines(experiment.data.test_transforms)
    ]
    total = len(dataset) if processes is None else math.ceil(len(dataset) / processes.count)
    is_shown = processes is None or processes.is_first
    with image_progress(is_shown=is_shown) as progress:
        task = progress.add_task("detecting", total=total)
        return detect(
            predictor.model,
            *loaders,
            precision=predictor.precision,
            fused=fused,
            progress=lambda count: progress.advance(task, count),
        )


def draw_results(folder: Path, album: Album, truth: GroundTruth, worst: int | None) -> None:
    """Writes pictures of all images into ``folder``, objects on the left and detections on the
    right; or of the ``worst`` ones, whose names start with their rank.

    Raises :class:`DataError` if an image cannot be read or a picture not be written.
    """
    import numpy as np

    from detzoo.analyze import analyze
    from detzoo.cli.predict_output import make_folder, target_names
    from detzoo.inference.draw import write_picture

    images, min_score, note = list(range(len(truth.image_ids))), MIN_SCORE, ""
    if worst is not None:
        has_masks = truth.has_masks and any(one.masks is not None for one in album.results)
        kind: Literal["bbox", "segm"] = "segm" if has_masks else "bbox"
        analysis = analyze(truth, album.results, album.class_names, kind=kind, resamples=10)
        images, min_score = [row.image for row in analysis.images[:worst]], analysis.threshold
        note = f" of the images with the most errors at a score of {min_score:.3f}"
    paths = {image: Path(album.path(image)) for image in images}
    make_folder(folder, "--draw")
    targets = target_names(list(paths.values()), folder, "--draw")
    with image_progress(is_shown=True) as progress:
        for rank, (image, path) in enumerate(progress.track(paths.items(), description="drawing")):
            target = targets[path]
            if worst is not None:
                target = target.with_name(f"{rank + 1:04d}-{target.name}")
            write_picture(target, np.concatenate(album.drawn(image, min_score), 1))
    plain_console().print(f"pictures{note} in {folder}", soft_wrap=True)


def save_segments(
    file: Path,
    results: Sequence[ImageResult],
    dataset: DetectionDataset,
    experiment: Experiment,
    stuff_ids: Mapping[str, Id],
) -> None:
    """Writes the panoptic maps of the detector in COCO's format, with the category ids of the data,
    and those of stuff by name.

    Raises :class:`DataError` if they cannot be written.
    """
    from detzoo.evaluate.panoptic_results import write_panoptic

    things = dict(zip(dataset.class_names, dataset.category_ids))
    ids = [things.get(name) for name in experiment.class_names]
    ids += [stuff_ids.get(name) for name in experiment.stuff_names]
    name_of = {dataset.image_id(i): dataset.file_names[i] for i in range(len(dataset))}
    write_panoptic(
        file,
        (
            (one.image_id, str(Path(name_of[one.image_id]).with_suffix(".png")), one.panoptic)
            for one in results
            if one.panoptic is not None
        ),
        ids,
    )


def fit_data(dataset: DetectionDataset, predictor: Predictor, source: str) -> DetectionDataset:
    """The data in the detector's classes, with the channels that it looks at.

    Raises :class:`UserError` if the detector cannot be run on it.
    """
    dataset = _match_classes(dataset, predictor, source)
    predictor.experiment.check_needs(dataset, training=False)
    return dataset.with_channels(predictor.experiment.model.input_pixels.channels)


def _match_classes(
    dataset: DetectionDataset, predictor: Predictor, source: str
) -> DetectionDataset:
    """The data in the detector's classes, or as it is where the detector names none."""
    if predictor.experiment.model.is_class_agnostic:
        return dataset
    if not set(predictor.class_names) & set(dataset.class_names):
        raise CheckpointError(
            f"{source}: knows none of the classes of {dataset.source} "
            f"({_listed(dataset.class_names)}); it knows {_listed(predictor.class_names)}. Give "
            "other data, rename its classes, or train the model on this data first."
        )
    return dataset.select_classes(predictor.class_names, drop_others=True, allow_absent=True)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
