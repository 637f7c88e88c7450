"""Anchors that fit the objects of a data set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from detzoo.checks.anchors import Fit, Method, fit_anchors
from detzoo.errors import DataError

CENTERS = torch.tensor([[10.0, 20.0], [60.0, 30.0], [100.0, 150.0]], dtype=torch.float64)


@pytest.fixture
def sizes() -> Tensor:
    """300 objects around three sizes."""
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.normal(1, 0.03, (100, 3, 2)))
    return (CENTERS * noise).reshape(-1, 2)


@pytest.mark.parametrize("method", ["kmeans", "evolution"])
def test_clusters_are_found(sizes: Tensor, method: Method) -> None:
    anchors = fit_anchors(sizes, 3, method)
    assert anchors.div(CENTERS).sub(1).abs().max() < 0.03
    assert Fit.of(sizes, anchors).mean_iou > 0.93
    assert torch.equal(anchors, fit_anchors(sizes, 3, method))


def test_how_well_anchors_fit() -> None:
    objects = torch.tensor([[10.0, 10.0], [20.0, 20.0]])
    fit = Fit.of(objects, torch.tensor([[10.0, 10.0], [1.0, 1.0]]))
    assert fit.mean_iou == pytest.approx((1 + 0.25) / 2)
    assert fit.unfit == 0.5


def test_too_few_objects() -> None:
    with pytest.raises(DataError, match="2 objects are too few for 3 anchors"):
        fit_anchors(torch.ones(2, 2), 3)
