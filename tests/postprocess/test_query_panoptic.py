"""Queries that compete for pixels, on hand-written masks."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from detzoo.postprocess.query_panoptic import QueryFusion, QuerySegments
from detzoo.structures import Detections, ImageInfo, PanopticMap

# One row of eight pixels; the class of each query, and how sure it is of each pixel, in tenths.
# Classes 0 and 1 are things, 2 and 3 stuff, 4 is background.
SIZE = (1, 8)


def segments(fusion: QueryFusion, *queries: tuple[int, float, str]) -> QuerySegments:
    classes = torch.full((len(queries), 5), 0.0)
    for row, (label, score, _) in zip(classes, queries):
        row[:] = (1 - score) / 4
        row[label] = score
    tenths = torch.tensor([[int(digit) for digit in mask] for _, _, mask in queries])
    probability = (tenths / 10).clamp(0.001, 0.999)
    logits = probability.logit()[:, None]
    return QuerySegments.of(fusion, classes, logits, SIZE, num_things=2)


def fused(prediction: QuerySegments, info: ImageInfo = ImageInfo.of(SIZE)) -> PanopticMap:  # noqa: B008
    return prediction.to_original(info, Detections.empty())


def classes_of(found: PanopticMap) -> list[int]:
    return found.semantic_map().flatten().tolist()


def test_the_surer_query_wins_a_pixel() -> None:
    fusion = QueryFusion(min_visible=0.5)
    found = fused(segments(fusion, (0, 0.9, "99999000"), (2, 0.95, "00099999")))
    # At the fourth and fifth pixel both are equally sure, and the class of the second is surer.
    assert found.ids.flatten().tolist() == [1, 1, 1, 2, 2, 2, 2, 2]
    assert found.labels.tolist() == [0, 2]
    assert found.is_thing.tolist() == [True, False]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.95]))


def test_segments_that_others_cover_are_dropped() -> None:
    # Of the first query's five pixels three are left, of the second's all.
    fusion = QueryFusion(min_visible=0.6)
    queries = (0, 0.9, "99999000"), (2, 0.95, "00099999")
    assert classes_of(fused(segments(fusion, *queries))) == [0, 0, 0, 2, 2, 2, 2, 2]
    fusion = QueryFusion(min_visible=0.61)
    assert classes_of(fused(segments(fusion, *queries))) == [255, 255, 255, 2, 2, 2, 2, 2]


def test_pixels_outside_of_all_masks() -> None:
    """They belong to the query that is the least unsure, or to none."""
    queries = (0, 0.9, "99940000"), (3, 0.9, "00003999")
    whole = fused(segments(QueryFusion(inside_only=False), *queries))
    assert classes_of(whole) == [0, 0, 0, 0, 3, 3, 3, 3]
    inside = fused(segments(QueryFusion(inside_only=True), *queries))
    assert classes_of(inside) == [0, 0, 0, 255, 255, 3, 3, 3]


def test_doubtful_queries_and_background_take_no_part() -> None:
    queries = (0, 0.8, "99999999"), (4, 0.99, "99999999"), (1, 0.81, "88880000")
    found = fused(segments(QueryFusion(inside_only=True), *queries))
    assert classes_of(found) == [1, 1, 1, 1, 255, 255, 255, 255]
    nothing = fused(segments(QueryFusion(), queries[0], queries[1]))
    assert len(nothing) == 0
    assert classes_of(nothing) == [255] * 8


def test_stuff_of_a_class_is_one_segment_and_things_are_not() -> None:
    queries = (
        (2, 0.9, "99000000"),
        (1, 0.9, "00990000"),
        (1, 0.9, "00009900"),
        (2, 0.95, "00000099"),
    )
    found = fused(segments(QueryFusion(), *queries))
    assert found.ids.flatten().tolist() == [1, 1, 2, 2, 3, 3, 1, 1]
    assert found.labels.tolist() == [2, 1, 1]


def test_more_queries_than_are_compared_at_a_time() -> None:
    """As in one comparison of all."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn((30, 4, 6), generator=generator)
    classes = (9 * torch.rand((30, 8), generator=generator)).softmax(1)
    fusion = QueryFusion(min_score=0.3, min_visible=0.05, inside_only=False)
    prediction = QuerySegments.of(fusion, classes, logits, (4, 6), num_things=7)
    kept = len(prediction.scores)
    assert kept > 16
    best = (prediction.scores[:, None, None] * prediction.logits.sigmoid()).argmax(0)
    found = fused(prediction, ImageInfo.of((4, 6)))
    for k in range(len(found)):
        (query,) = best[found.mask(k)].unique()
        assert found.labels[k] == prediction.labels[query]
    wanted: Tensor = torch.bincount(best.flatten(), minlength=kept)
    areas = (prediction.logits >= 0).sum((1, 2))
    is_kept = (areas > 0) & (wanted > 0) & (wanted >= 0.05 * areas)
    assert found.areas.tolist() == wanted[is_kept].tolist()


def test_flipped_and_scaled_images() -> None:
    prediction = segments(QueryFusion(), (0, 0.9, "99000000"), (3, 0.9, "00999999"))
    info = dataclasses.replace(ImageInfo.of(SIZE), flip="horizontal")
    assert classes_of(fused(prediction, info)) == [3, 3, 3, 3, 3, 3, 0, 0]
    # An image of four pixels, in an input that is twice as large.
    info = dataclasses.replace(ImageInfo.of(SIZE), original_size=(1, 4), scale=(2.0, 1.0))
    assert classes_of(fused(prediction, info)) == [0, 3, 3, 3]
