from __future__ import annotations

import gc
import io
from multiprocessing.reduction import ForkingPickler

import numpy as np
import torch

from detzoo.data.annotations import Annotation, Annotations, Strings, usable_for_training


def random_objects(count: int, images: int, seed: int = 0) -> list[Annotation]:
    rng = np.random.default_rng(seed)
    return [
        Annotation(
            image=int(rng.integers(images)),
            id=n + 1,
            label=int(rng.integers(5)),
            box=tuple(rng.random(4) * 100),
            area=float(rng.random()),
            is_crowd=bool(rng.integers(2)),
            is_ignored=bool(rng.integers(2)),
            polygons=tuple(rng.random(2 * rng.integers(3, 6)) for _ in range(rng.integers(3))),
            rle=b"abcdef"[: rng.integers(6)],
        )
        for n in range(count)
    ]


def check_equal(packed: Annotations, rows: list[Annotation]) -> None:
    assert len(packed) == len(rows)
    assert packed.segmentations is not None
    for n, item in enumerate(rows):
        assert packed.ids[n] == item.id
        assert packed.labels[n] == item.label
        assert tuple(packed.boxes[n].tolist()) == item.box
        assert packed.areas[n] == item.area
        assert bool(packed.is_crowd[n]) == item.is_crowd
        assert bool(packed.is_ignored[n]) == item.is_ignored
        polygons = packed.segmentations.polygons(n)
        assert [p.reshape(-1).tolist() for p in polygons] == [list(p) for p in item.polygons]
        assert packed.segmentations.code(n) == item.rle


def test_packing_sorts_by_image_and_keeps_everything_else() -> None:
    objects = random_objects(60, 9)
    packed = Annotations.build(10, objects)
    check_equal(packed, sorted(objects, key=lambda item: item.image))
    for image in range(10):
        expected = [item.id for item in objects if item.image == image]
        assert packed.ids[packed.rows(image)].tolist() == expected
    assert packed.image_index.tolist() == sorted(item.image for item in objects)


def test_subsets_and_new_labels() -> None:
    objects = random_objects(60, 9)
    packed = Annotations.build(9, objects)
    some = packed.of_images(torch.tensor([5, 0, 7]))
    expected = [item for image in (5, 0, 7) for item in objects if item.image == image]
    check_equal(some, expected)
    kept = packed.relabeled(torch.tensor([2, -1, 0, -1, 1]))
    rows = sorted((o for o in objects if o.label in (0, 2, 4)), key=lambda item: item.image)
    assert kept.ids.tolist() == [item.id for item in rows]
    assert kept.labels.tolist() == [{0: 2, 2: 0, 4: 1}[item.label] for item in rows]
    assert kept.image_index.tolist() == [item.image for item in rows]


def test_no_objects_at_all() -> None:
    packed = Annotations.build(3, [])
    assert len(packed) == 0
    assert packed.boxes.shape == (0, 4)
    assert packed.segmentations is None
    assert packed.rows(2) == slice(0, 0)
    assert len(packed.of_images(torch.tensor([2, 1]))) == 0
    assert len(Annotations.build(0, []).of_images(torch.tensor([], dtype=torch.int64))) == 0


def test_strings() -> None:
    texts = ["a.jpg", "", "größe/ü.png", "b" * 300]
    strings = Strings.of(texts)
    assert [strings[i] for i in range(len(strings))] == texts
    taken = strings.take(torch.tensor([2, 0]))
    assert [taken[0], taken[1], len(taken)] == [texts[2], texts[0], 2]


def test_objects_in_memory_do_not_grow_with_annotations() -> None:
    def growth(count: int) -> int:
        objects = random_objects(count, 5)
        gc.collect()
        before = len(gc.get_objects())
        packed = Annotations.build(5, objects)
        gc.collect()
        after = len(gc.get_objects())
        assert len(packed) == count
        return after - before

    assert abs(growth(2000) - growth(20)) < 20


def test_workers_receive_handles_not_copies() -> None:
    sizes = []
    for count in (20, 2000):
        buffer = io.BytesIO()
        ForkingPickler(buffer).dump(Annotations.build(5, random_objects(count, 5)))
        sizes.append(len(buffer.getvalue()))
    # 2000 annotations are about 200 kB; a handle is some tens of bytes for each array.
    assert sizes[1] < 8000
    assert sizes[1] - sizes[0] < 500


def test_which_boxes_can_be_learnt_from() -> None:
    cases = [
        ((10, 10, 5, 5), 25, True),
        ((10, 10, 0.99, 5), 5, False),
        ((10, 10, 5, 0.5), 5, False),
        ((10, 10, -5, 5), 25, False),
        ((10, 10, 5, 5), 0, False),
        ((-10, 10, 10, 5), 25, False),  # touches the image from outside
        ((-10, 10, 10.5, 5), 25, True),
        ((100, 10, 5, 5), 25, False),
        ((99, 10, 5, 5), 25, True),
        ((10, 50, 5, 5), 25, False),
        ((10, -5, 5, 5), 25, False),
        ((-10, -10, 500, 500), 25, True),
    ]
    boxes = torch.tensor([box for box, _, _ in cases], dtype=torch.float64)
    areas = torch.tensor([area for _, area, _ in cases], dtype=torch.float64)
    expected = [usable for _, _, usable in cases]
    assert usable_for_training(boxes, areas, torch.tensor([50, 100])).tolist() == expected
