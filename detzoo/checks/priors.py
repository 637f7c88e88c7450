"""Sizes of objects against what a model looks for: its anchors, or the cells of its finest map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detzoo.checks.finding import Finding, Severity, Split, at_objects, tally
from detzoo.data.dataset import DetectionDataset
from detzoo.data.sample import Sample, apply
from detzoo.experiment import Experiment
from detzoo.heads.dense.base import PriorHead
from detzoo.heads.dense.yolov3 import YOLOv3Head
from detzoo.structures import ImageInfo, Targets

# An object that overlaps no anchor so much, even where they are concentric, is hardly learned.
LEAST_OVERLAP = 0.3
# More objects than this part are a reason to choose another size or other anchors.
MANY = 0.1


@dataclass(frozen=True)
class Grid:
    """What the model ``name`` looks for objects with.

    ``anchors`` (A, 2) are the widths and heights of its anchors in input pixels; there are none in
    models that predict from points. ``stride`` is that of its finest map, in input pixels.
    """

    name: str
    anchors: Tensor
    stride: int


def grid_of(name: str, experiment: Experiment) -> Grid:
    """The grid of the model that ``experiment`` describes."""
    model = experiment.build_model()
    anchors, stride = [torch.zeros((0, 2))], min(model.feature_strides)
    for head in model.modules():
        if isinstance(head, PriorHead | YOLOv3Head):
            cells = ((1, 1),) * len(head.strides)
            priors = head.config.priors if isinstance(head, PriorHead) else head.config.anchors
            boxes = priors.place(cells, head.strides, torch.device("cpu")).boxes
            anchors.append(boxes[:, 2:] - boxes[:, :2])
            stride = min(head.strides)
    shapes = torch.cat(anchors).double()
    return Grid(name, shapes[(shapes > 0).all(1)], stride)


def input_boxes(dataset: DetectionDataset, experiment: Experiment) -> Tensor:
    """(N, 2) width and height of every object in the network input, in evaluation."""
    sizes, index = dataset.sizes.unique(dim=0, return_inverse=True)
    scales = torch.tensor([_scale((h, w), dataset, experiment) for h, w in sizes.tolist()])
    objects = dataset.annotations
    return objects.boxes[:, 2:] * scales[index][objects.image_index].double()


def check_priors(split: Split, experiment: Experiment, grid: Grid) -> Iterator[Finding]:
    """Objects that fit no anchor, and objects smaller than a cell."""
    objects = split.dataset.annotations
    sizes = input_boxes(split.dataset, experiment)
    regular = ~objects.is_crowd & ~objects.is_ignored & (objects.boxes[:, 2:] >= 1).all(1)
    total = int(regular.sum())
    small = regular & (sizes.prod(1).sqrt() < grid.stride)
    if small.any():
        yield Finding(
            "object-under-a-cell",
            _severity(small, total),
            split.name,
            tally(
                f"objects smaller than a cell of {grid.name} ({grid.stride} pixels of its input)",
                int(small.sum()),
                total,
            ),
            "They are hard to find. Train and test on larger images or on tiles (detzoo predict "
            "--tile), or take a model with a finer map.",
            at_objects(split, small, lambda n: _size(sizes[n])),
        )
    if not len(grid.anchors):
        return
    unfit = regular & ~small & (best_overlap(sizes, grid.anchors) < LEAST_OVERLAP)
    if unfit.any():
        yield Finding(
            "object-fits-no-anchor",
            _severity(unfit, total),
            split.name,
            tally(f"objects that fit no anchor of {grid.name}", int(unfit.sum()), total),
            f"Wherever it lies, an anchor overlaps them by less than {LEAST_OVERLAP}. Change the "
            "anchors' scales or ratios, or the size of the input.",
            at_objects(split, unfit, lambda n: _size(sizes[n])),
        )


def best_overlap(sizes: Tensor, anchors: Tensor) -> Tensor:
    """The IoU of objects (N, 2) with the anchor (A, 2) that fits best, if concentric: (N,)."""
    best = [
        (inter := torch.minimum(part[:, None], anchors).prod(2))
        .div(part.prod(1)[:, None] + anchors.prod(1) - inter)
        .amax(1)
        for part in sizes.split(10000)  # bounds the memory
    ]
    return torch.cat(best)


def _scale(
    size: tuple[int, int], dataset: DetectionDataset, experiment: Experiment
) -> tuple[float, float]:
    """How the test transforms scale an image of ``size``: x, y."""
    image = np.zeros((*size, dataset.channels), np.uint8)
    nothing = Targets.of(torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64))
    sample = Sample(image, nothing, ImageInfo.of(size))
    return apply(experiment.data.test_transforms, sample, np.random.default_rng(0)).info.scale


def _severity(chosen: Tensor, total: int) -> Severity:
    return "warning" if int(chosen.sum()) > MANY * total else "info"


def _size(size: Tensor) -> str:
    width, height = size.tolist()
    return f"{width:.0f} x {height:.0f} pixels of the input"
