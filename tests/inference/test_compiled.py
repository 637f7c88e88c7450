"""Backbone and neck compiled: once per size of input, and the same detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from detzoo.data.transforms import Resize
from detzoo.errors import ConfigError
from detzoo.inference.compiled import compile_detector
from detzoo.inference.predictor import Predictor
from detzoo.quickstart.scenes import CLASSES
from tests.tiny import tiny_mask_rcnn


class Counting:
    """A compiler that leaves programs as they are, and counts them."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, module: torch.fx.GraphModule, inputs: Any) -> Any:
        self.sizes += [tuple(x.shape[2:]) for x in inputs if x.shape[:2] == (1, 3)]
        return module.forward


@pytest.fixture
def predictor() -> Predictor:
    torch._dynamo.reset()
    experiment = tiny_mask_rcnn(CLASSES, (Resize(sizes=((256, 128),)),))
    torch.manual_seed(0)
    return Predictor(experiment, experiment.build_model(), fused=False)


def test_once_per_size(predictor: Predictor) -> None:
    """Images of ten sizes, wide and tall, are two inputs."""
    compiler = Counting()
    compiled = compile_detector(predictor.model, compiler)
    predict = Predictor(predictor.experiment, compiled, fused=False).predict
    rng = np.random.default_rng(0)
    wide = [rng.integers(0, 256, (100, 160 + 8 * n, 3), dtype=np.uint8) for n in range(5)]
    images = wide + [image.transpose(1, 0, 2) for image in wide]
    assert len(list(predict(images, min_score=0.0))) == 10
    assert sorted(set(compiler.sizes)) == [(128, 256), (256, 128)]
    assert len(compiler.sizes) == 2


def test_the_same_detections(predictor: Predictor) -> None:
    compiled = compile_detector(predictor.model, "eager")
    image = np.random.default_rng(0).integers(0, 256, (128, 256, 3), dtype=np.uint8)
    (found,) = Predictor(predictor.experiment, compiled, fused=False).predict(image, min_score=0.0)
    (wanted,) = predictor.predict(image, min_score=0.0)
    assert len(wanted) > 0
    torch.testing.assert_close(found.boxes, wanted.boxes)
    torch.testing.assert_close(found.scores, wanted.scores)


def test_an_exported_detector(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="--compile"):
        compile_detector(torch.nn.Module())  # type: ignore[arg-type]
