"""Repeating images with rare classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from detzoo.config import ConfigError
from detzoo.data.batches import copies_by_class, copies_for_rare_classes, grouped_batches
from detzoo.data.coco import read_coco
from detzoo.data.loader import build_loader
from detzoo.experiment import DataConfig
from tests.data.files import annotation, write_coco


def test_repeat_factors_by_hand() -> None:
    # Of 10 images 8 show class 0, 2 show class 1, 1 shows class 2; the last one shows nothing.
    image = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 8])
    label = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2])
    # Threshold .9: sqrt(.9 / .8) = 1.06, sqrt(.9 / .2) = 2.12, sqrt(.9 / .1) = 3.
    expected = [2] * 7 + [3, 3, 1]
    assert copies_for_rare_classes(image, label, 10, 0.9).tolist() == expected
    # Threshold .5: 1, sqrt(.5 / .2) = 1.58, sqrt(.5 / .1) = 2.24.
    expected = [1] * 7 + [2, 3, 1]
    assert copies_for_rare_classes(image, label, 10, 0.5).tolist() == expected
    assert copies_for_rare_classes(image, label, 10, 0.05).tolist() == [1] * 10


def test_no_objects_at_all() -> None:
    nothing = np.zeros(0, np.int64)
    assert copies_for_rare_classes(nothing, nothing, 3, 0.5).tolist() == [1, 1, 1]


def test_images_appear_so_often_and_processes_share_them() -> None:
    is_landscape = np.array([True, True, False, True, False, True])
    copies = np.array([1, 3, 2, 1, 1, 2])
    alone = grouped_batches(is_landscape, 2, seed=3, epoch=1, copies=copies)
    keys = [key for batch in alone for key in batch]
    counts = Counter(key.index for key in set(keys))
    assert counts == dict(enumerate(copies))
    for batch in alone:
        assert len({bool(is_landscape[key.index]) for key in batch}) == 1
    assert alone == grouped_batches(is_landscape, 2, seed=3, epoch=1, copies=copies)
    assert alone != grouped_batches(is_landscape, 2, seed=3, epoch=2, copies=copies)
    parts = [
        grouped_batches(is_landscape, 1, seed=3, epoch=1, copies=copies, rank=rank, world_size=2)
        for rank in range(2)
    ]
    assert [[*a, *b] for a, b in zip(*parts)] == alone


def test_the_loader_repeats_and_resumes(tmp_path: Path) -> None:
    boxes = [annotation(n, n, (1, 1, 9, 9)) for n in (1, 2, 3)]
    boxes.append(annotation(4, 4, (1, 1, 9, 9), category_id=7))
    file = write_coco(tmp_path, [(40, 60)] * 4, boxes)
    data = read_coco(file, tmp_path / "train")
    # Cats are in 3 of 4 images, the dog in 1: sqrt(.7 / .25) = 1.67.
    loader = build_loader(
        data, (), images_per_device=1, training=True, repeats=2, oversample_threshold=0.7
    )
    assert len(loader) == 10
    ids = [batch.infos[0].id for batch in loader]
    assert Counter(ids) == {1: 2, 2: 2, 3: 2, 4: 4}
    loader.set_epoch(0, start=6)
    assert [batch.infos[0].id for batch in loader] == ids[6:]


def test_thresholds_are_parts() -> None:
    with pytest.raises(ConfigError, match=r"oversample_threshold: 1\.5 is not less than 1"):
        DataConfig(train_transforms=(), test_transforms=(), oversample_threshold=1.5)
    with pytest.raises(ConfigError, match="train_proposals: 0 is not at least 1"):
        DataConfig(train_transforms=(), test_transforms=(), train_proposals=0)


def test_every_class_is_drawn_as_often() -> None:
    # Class 0 in images 0 to 5, class 1 in image 6, class 2 in images 0 and 7, nothing in image 8.
    image = np.array([0, 0, 1, 2, 3, 4, 5, 6, 0, 7])
    label = np.array([0, 0, 0, 0, 0, 0, 0, 1, 2, 2])
    counts = [copies_by_class(image, label, 9, 30, seed=1, epoch=epoch) for epoch in range(20)]
    for copies in counts:
        assert copies.sum() == 30
        assert copies[6] == 10
        assert copies[7] == 5
        assert 1 <= copies[1] <= 2
        assert copies[0] == 30 - copies[1:].sum()
        assert copies[8] == 0
    # What is left over goes to other images, and classes, in other epochs.
    assert len({tuple(copies) for copies in counts}) > 10
    rare = [copies_by_class(image, label, 9, 31, seed=1, epoch=epoch)[6] for epoch in range(20)]
    assert set(rare) == {10, 11}
    again = copies_by_class(image, label, 9, 30, seed=1, epoch=3)
    assert again.tolist() == counts[3].tolist()


def test_balanced_epochs_have_as_many_batches(tmp_path: Path) -> None:
    """Whatever is drawn; images of both formats share a batch."""
    sizes = [(60, 40) if number % 3 else (40, 60) for number in range(8)]
    boxes = [annotation(n, n, (1, 1, 9, 9)) for n in range(1, 8)]
    boxes.append(annotation(8, 8, (1, 1, 9, 9), category_id=7))
    data = read_coco(write_coco(tmp_path, sizes, boxes), tmp_path / "train")
    loader = build_loader(
        data, (), images_per_device=3, training=True, seed=2, repeats=2, balance_classes=True
    )
    seen: Counter[int] = Counter()
    for epoch in range(4):
        loader.set_epoch(epoch)
        batches = [[info.id for info in batch.infos] for batch in loader]
        assert len(batches) == len(loader) == 6  # of 16 images
        seen.update(image for batch in batches for image in batch)
    # The only image of the dog is half of all, but for those that fill the last batch.
    assert 32 <= seen[8] <= 40


def test_one_way_to_draw_images() -> None:
    with pytest.raises(ConfigError, match="both say how often images occur"):
        DataConfig(
            train_transforms=(), test_transforms=(), oversample_threshold=0.1, balance_classes=True
        )
