"""Objects against what a model looks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detzoo import zoo
from detzoo.checks.priors import Grid, best_overlap, check_priors, grid_of, input_boxes
from detzoo.data.transforms import Resize
from tests.checks.planted import box, plant


def resized(name: str, size: tuple[int, int]):  # type: ignore[no-untyped-def]
    experiment = zoo.find(name).experiment
    data = replace(experiment.data, test_transforms=(Resize(sizes=(size,)),))
    return replace(experiment, data=data)


def test_the_grid_of_a_model_with_anchors() -> None:
    name = "retinanet_mobilenetv2_fpn"
    grid = grid_of(name, zoo.find(name).experiment)
    assert grid.stride == 8
    assert len(grid.anchors) == 5 * 9
    # The smallest anchor of RetinaNet is a square of 4 strides.
    assert grid.anchors.prod(1).sqrt().min().item() == pytest.approx(32)


def test_the_grid_of_a_model_with_points() -> None:
    grid = grid_of("yolox", zoo.find("yolox_tiny_8x8_300e_coco").experiment)
    assert grid.stride == 8
    assert len(grid.anchors) == 0


def test_the_best_overlap() -> None:
    anchors = torch.tensor([[10.0, 10.0], [40.0, 20.0]])
    objects = torch.tensor([[10.0, 10.0], [5.0, 20.0], [80.0, 20.0]])
    assert best_overlap(objects, anchors).tolist() == pytest.approx([1.0, 1 / 3, 0.5])


def test_sizes_are_those_in_the_network_input(tmp_path: Path) -> None:
    split = plant(tmp_path, [box(1, 2, 30, 20)])
    experiment = resized("retinanet_mobilenetv2_fpn", (160, 120))
    assert input_boxes(split.dataset, experiment).tolist() == [[60.0, 40.0]]


def test_objects_that_fit_nothing(tmp_path: Path) -> None:
    objects = [
        box(1, 2, 20, 20),
        box(1, 2, 30, 20, image=2),
        box(1, 2, 2, 3),  # 4 x 6 pixels of the input
        box(1, 30, 78, 2),  # 156 x 4
        box(1, 2, 2, 3, image=2, iscrowd=1),
    ]
    split = plant(tmp_path, objects)
    experiment = resized("retinanet_mobilenetv2_fpn", (160, 120))
    square = torch.tensor([[32.0, 32.0], [64.0, 64.0]], dtype=torch.float64)
    small, unfit = check_priors(split, experiment, Grid("model", square, 8))
    assert small.kind == "object-under-a-cell"
    assert [place.objects for place in small.places] == [(1,)]  # of those of the first image
    assert small.places[0].note == "4 x 6 pixels of the input"
    assert unfit.kind == "object-fits-no-anchor"
    assert [place.objects for place in unfit.places] == [(2,)]
    assert unfit.is_fault  # one of four
    points = check_priors(split, experiment, Grid("model", square[:0], 8))
    assert [finding.kind for finding in points] == ["object-under-a-cell"]


def test_a_few_are_no_fault(tmp_path: Path) -> None:
    split = plant(tmp_path, [*(box(k, 2, 20, 20) for k in range(20)), box(1, 2, 2, 3, image=2)])
    experiment = resized("retinanet_mobilenetv2_fpn", (160, 120))
    anchors = torch.tensor([[32.0, 32.0]], dtype=torch.float64)
    (finding,) = check_priors(split, experiment, Grid("model", anchors, 8))
    assert not finding.is_fault
