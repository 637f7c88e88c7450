from __future__ import annotations

import pytest
import torch

from detzoo.benchmark.complexity import measure_complexity
from detzoo.benchmark.inference import InferenceOptions, Subject, measure_inference
from detzoo.benchmark.spread import Spread
from detzoo.data.transforms import Pad, Resize
from tests.tiny import tiny_retinanet

FIT = (Resize(sizes=((64, 64),)), Pad(divisor=32))


def test_spread() -> None:
    spread = Spread.of([3.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 21.0])
    assert (spread.median, spread.low, spread.high, spread.count) == (6.0, 2.0, 10.0, 11)
    assert spread.mean == pytest.approx(76 / 11)
    assert Spread.of([2.0]).low == 2.0


def test_models_take_turns_and_the_first_images_do_not_count() -> None:
    seen: list[str] = []

    class Noting(Resize):  # notes who loads an image
        def __call__(self, sample, rng):  # type: ignore[no-untyped-def]
            seen.append(self.label)
            return super().__call__(sample, rng)

    subjects = []
    for label in "ab":
        transform = Noting(sizes=((64, 64),))
        object.__setattr__(transform, "label", label)
        model = tiny_retinanet().model.build(2)
        subjects.append(Subject(label, model, (transform, Pad(divisor=32))))
    calls = []
    options = InferenceOptions(num_images=3, warmup=2)
    results = measure_inference(subjects, [], options, lambda done, _: calls.append(done))
    assert seen == ["a", "b"] * 5
    assert calls == [1, 2, 3]
    assert [result.name for result in results] == ["a", "b"]
    for result in results:
        assert result.seconds.count == result.loading.count == 3
        assert 0 < result.seconds.low <= result.seconds.median <= result.seconds.high
        assert result.images_per_second == 1 / result.seconds.median


def test_every_way_to_run_a_model_finds_the_same() -> None:
    torch.manual_seed(0)
    model = tiny_retinanet().model.build(2)
    counts = []
    for options in (
        InferenceOptions(num_images=2, warmup=0),
        InferenceOptions(num_images=2, warmup=0, channels_last=False),
        InferenceOptions(num_images=2, warmup=0, batch_size=2),
    ):
        (result,) = measure_inference([Subject("x", model, FIT)], [], options)
        counts.append(result.detections)
    assert counts[0] == counts[1] == counts[2]


def test_operations_of_a_known_model() -> None:
    """The head's towers and predictors, counted by hand."""
    model = tiny_retinanet().model.build(2)
    parts = {part.name: part for part in measure_complexity(model, 64, 64)}
    assert list(parts) == ["backbone", "neck", "bbox_head"]
    total = sum(parameter.numel() for parameter in model.parameters())
    assert sum(part.parameters for part in parts.values()) == total
    cells = sum(
        level.shape[2] * level.shape[3]
        for level in model.extract_features(torch.zeros(1, 3, 64, 64))
    )
    convs = [m for m in model.bbox_head.modules() if isinstance(m, torch.nn.Conv2d)]
    assert parts["bbox_head"].flops == 2 * cells * sum(conv.weight.numel() for conv in convs)
