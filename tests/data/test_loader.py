from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detzoo.config import config
from detzoo.data.batches import Key, batches_in_order, grouped_batches
from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import Loader, build_loader, collate
from detzoo.data.sample import Sample, SkipSample, Transform
from detzoo.data.transforms import (
    Crop,
    Flip,
    MixUp,
    Mosaic,
    Pad,
    PhotometricDistortion,
    Resize,
)
from detzoo.errors import DataError
from detzoo.structures import Batch, ImageInfo, Targets
from tests.data.files import annotation, noise, write_coco

# Where there are fewer processors than workers, torch says so.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

WIDE, HIGH = (40, 60), (60, 40)
RANDOM = (Resize(sizes=((60, 40), (72, 48))), Flip(), Crop(size=(0.6, 0.6), kind="relative_range"))


@pytest.fixture
def data(tmp_path: Path) -> DetectionDataset:
    """Seven wide and four high images, each with an object that fills it."""
    sizes = [WIDE] * 4 + [HIGH] * 4 + [WIDE] * 3
    boxes = [annotation(n, n, (0, 0, w, h)) for n, (h, w) in enumerate(sizes, 1)]
    return read_coco(write_coco(tmp_path, sizes, boxes), tmp_path / "train")


def ids(loader: Loader) -> list[list[int | str]]:
    return [[info.id for info in batch.infos] for batch in loader]


def check_same(a: Batch, b: Batch) -> None:
    assert torch.equal(a.pixels, b.pixels)
    assert a.infos == b.infos
    for x, y in zip(a.targets, b.targets, strict=True):
        assert torch.equal(x.boxes, y.boxes)
        assert torch.equal(x.labels, y.labels)
        assert (x.masks is None) == (y.masks is None)
        if x.masks is not None and y.masks is not None:
            assert torch.equal(x.masks.to_bitmaps().bitmaps, y.masks.to_bitmaps().bitmaps)


# ------------------------------------------------------------------------------- order of images


def appearances(batches: list[list[Key]]) -> dict[int, int]:
    flat = [key.index for batch in batches for key in batch]
    return {index: flat.count(index) for index in flat}


def test_batches_are_of_one_orientation_and_hold_every_image() -> None:
    is_landscape = np.array([True] * 7 + [False] * 4)
    batches = grouped_batches(is_landscape, 3, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [3] * 5  # 7 and 4 filled up to 9 and 6
    for batch in batches:
        assert len({bool(is_landscape[key.index]) for key in batch}) == 1
    counts = appearances(batches)
    assert sorted(counts) == list(range(11))
    assert sum(counts[i] for i in range(7)) == 9
    assert sum(counts[i] for i in range(7, 11)) == 6


def test_order_depends_on_seed_and_epoch_alone() -> None:
    is_landscape = np.arange(50) % 3 > 0
    first = grouped_batches(is_landscape, 4, seed=1, epoch=2)
    assert grouped_batches(is_landscape, 4, seed=1, epoch=2) == first
    assert grouped_batches(is_landscape, 4, seed=2, epoch=2) != first
    other = grouped_batches(is_landscape, 4, seed=1, epoch=3)
    order = [[key.index for key in batch] for batch in first]
    assert [[key.index for key in batch] for batch in other] != order


def test_processes_share_the_batches_of_one_large_process() -> None:
    is_landscape = np.arange(23) % 3 > 0
    whole = grouped_batches(is_landscape, 6, seed=0, epoch=1)
    parts = [
        grouped_batches(is_landscape, 2, seed=0, epoch=1, rank=rank, world_size=3)
        for rank in range(3)
    ]
    assert {len(part) for part in parts} == {len(whole)}
    for step, batch in enumerate(whole):
        assert [key for part in parts for key in part[step]] == batch


def test_small_groups_are_repeated_as_often_as_needed() -> None:
    batches = grouped_batches(np.array([True]), 4, seed=0, epoch=0)
    assert batches == [[Key(0, 0)] * 4]


def test_repeats_are_told_apart() -> None:
    batches = grouped_batches(
        np.array([True, False, True]), 2, seed=0, epoch=5, copies=np.full(3, 4)
    )
    keys = [key for batch in batches for key in batch]
    assert set(keys) == {Key(i, 5, r) for i in range(3) for r in range(4)}
    assert len(keys) == 12


def test_evaluation_takes_every_image_once_and_in_order() -> None:
    batches = batches_in_order(5, 2)
    assert [[key.index for key in batch] for batch in batches] == [[0, 1], [2, 3], [4]]
    ranks = [batches_in_order(5, 2, rank, 2) for rank in range(2)]
    shared = sorted(key.index for part in ranks for batch in part for key in batch)
    assert shared == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------------------------------- batches


def test_collation_pads_with_zeros() -> None:
    def one(height: int, width: int, padded: tuple[int, int], dtype: type) -> Sample:
        image = np.full((height, width, 3), 7, dtype)
        info = Pad(size=padded)(
            Sample(image, no_targets(), ImageInfo.of((height, width))), np.random.default_rng()
        ).info
        return Sample(image, no_targets(), info)

    batch = collate([one(3, 5, (4, 8), np.uint8), one(6, 2, (6, 2), np.uint8)])
    assert batch.pixels.shape == (2, 6, 8, 3)
    assert batch.pixels[0].sum() == 7 * 3 * 5 * 3
    assert (batch.pixels[0, :3, :5] == 7).all()
    assert (batch.pixels[1, :6, :2] == 7).all()
    assert len(batch.targets) == 2
    mixed = collate([one(3, 5, (4, 8), np.uint8), one(6, 2, (6, 2), np.float32)])
    assert mixed.pixels.dtype == torch.float32


def no_targets() -> Targets:
    return Targets.of(torch.zeros((0, 4)), torch.zeros((0,), dtype=torch.int64))


@pytest.mark.parametrize("masks", ["none", "bitmap", "polygon"])
def test_batches_do_not_depend_on_the_number_of_workers(data: DetectionDataset, masks: str) -> None:
    runs = []
    for workers in (0, 1, 3):
        loader = build_loader(
            data,
            (*RANDOM, PhotometricDistortion()),
            images_per_device=2,
            training=True,
            workers=workers,
            seed=3,
            masks=masks,  # type: ignore[arg-type]
        )
        run = []
        for epoch in (0, 1):
            loader.set_epoch(epoch)
            run += list(loader)
        assert len(run) == 2 * len(loader) == 12
        runs.append(run)
    for other in runs[1:]:
        for a, b in zip(runs[0], other, strict=True):
            check_same(a, b)
    first, second = runs[0][:6], runs[0][6:]
    assert any(not torch.equal(a.pixels, b.pixels) for a, b in zip(first, second))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_can_be_entered_in_the_middle(data: DetectionDataset, workers: int) -> None:
    loader = build_loader(data, RANDOM, images_per_device=2, training=True, workers=workers)
    loader.set_epoch(4)
    whole = list(loader)
    loader.set_epoch(4, start=2)
    assert len(loader) == len(whole)  # still the length of the epoch
    for a, b in zip(whole[2:], loader, strict=True):
        check_same(a, b)
    # Neither leaving an epoch half done nor closing the loader spoils the next one.
    loader.set_epoch(4)
    next(iter(loader))
    for a, b in zip(whole, loader, strict=True):
        check_same(a, b)
    loader.close()
    for a, b in zip(whole, loader, strict=True):
        check_same(a, b)


@config
class Draw(Transform):
    """Notes the first random number in the image's id."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        info = ImageInfo.of(sample.info.size, id=f"{sample.info.id} {rng.random()}")
        return Sample(sample.image, sample.targets, info)


def test_randomness_is_that_of_seed_epoch_and_index(data: DetectionDataset) -> None:
    loader = build_loader(data, (Draw(),), images_per_device=1, training=True, seed=8, repeats=2)
    loader.set_epoch(3)
    found = sorted(str(info.id) for batch in loader for info in batch.infos)
    expected = [
        f"{index + 1} {np.random.default_rng((8, 3, index, repeat)).random()}"
        for index in range(11)
        for repeat in range(2)
    ]
    assert found == sorted(expected)
    # The first pass needs no fourth number.
    first = np.random.default_rng((8, 3, 5)).random()
    assert first == np.random.default_rng((8, 3, 5, 0)).random()


@config
class OnlyLarge(Transform):
    """Makes nothing of images whose id is under ``least``."""

    least: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if int(sample.info.id) < self.least:
            raise SkipSample
        return sample


def test_skipped_images_are_replaced_by_others_of_their_orientation(
    data: DetectionDataset,
) -> None:
    loader = build_loader(data, (OnlyLarge(least=8),), images_per_device=2, training=True)
    batches = list(loader)
    assert {info.id for batch in batches for info in batch.infos} == {8, 9, 10, 11}
    for batch in batches:
        assert len({info.size for info in batch.infos}) == 1
    assert ids(loader) == [[info.id for info in batch.infos] for batch in batches]
    hopeless = build_loader(data, (OnlyLarge(least=99),), images_per_device=2, training=True)
    with pytest.raises(DataError, match="leave no object in any of 100 images tried"):
        list(hopeless)


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_images_stop_with_their_name(
    data: DetectionDataset, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "train" / "5.png").write_bytes(b"no image")
    for training in (True, False):
        loader = build_loader(data, (), images_per_device=1, training=training, workers=workers)
        with pytest.raises(DataError) as error:
            list(loader)
        assert str(error.value).startswith(f"{tmp_path / 'train' / '5.png'}: cannot be decoded")
        assert "Traceback" not in str(error.value)


def test_impossible_loaders(data: DetectionDataset) -> None:
    with pytest.raises(DataError, match=r"a batch of 12 images is larger than the data.* has 11"):
        build_loader(data, (), images_per_device=6, training=True, world_size=2)
    assert len(build_loader(data, (), images_per_device=12, training=True, repeats=2)) == 3
    assert len(build_loader(data, (), images_per_device=12, training=False)) == 1
    for training in (True, False):
        with pytest.raises(DataError, match=r"train\.json: there is no image to (train|evaluate)"):
            build_loader(data.take([]), (), images_per_device=1, training=training)


def test_masks_that_are_not_there(tmp_path: Path) -> None:
    file = write_coco(tmp_path, [WIDE], [annotation(1, 1, (1, 1, 9, 9), segmentation=None)])
    data = read_coco(file, tmp_path / "train")
    with pytest.raises(DataError, match="has no masks"):
        build_loader(data, (), images_per_device=1, training=True, masks="bitmap")


def test_images_of_every_kind_in_one_training(tmp_path: Path) -> None:
    """Gray, RGBA, 16-bit and empty images, crowds and unusable boxes pass like any other."""
    boxes = [
        annotation(1, 1, (5, 5, 20, 20)),
        annotation(2, 2, (5, 5, 20, 20), iscrowd=1),
        annotation(3, 3, (5, 5, 0, 20)),
        annotation(4, 4, (-50, 5, 20, 20)),
        annotation(5, 4, (50, 5, 20, 20)),
    ]
    file = write_coco(tmp_path, [WIDE] * 5, boxes)
    folder = tmp_path / "train"
    gray = noise(*WIDE)[..., 0]
    cv2.imwrite(str(folder / "1.png"), gray)
    cv2.imwrite(str(folder / "2.png"), np.dstack([noise(*WIDE), gray]))
    cv2.imwrite(str(folder / "3.png"), noise(*WIDE).astype(np.uint16) * 257)
    data = read_coco(file, folder)
    transforms = (Resize(sizes=((90, 60),)), Flip(), Pad())
    loader = build_loader(data, transforms, images_per_device=5, training=True, masks="bitmap")
    (batch,) = loader
    assert batch.pixels.shape == (5, 64, 96, 3)
    found = {
        info.id: (len(target), len(target.ignored_boxes))
        for info, target in zip(batch.infos, batch.targets)
    }
    assert found == {1: (1, 0), 2: (0, 1), 3: (0, 0), 4: (1, 0), 5: (0, 0)}
    for target in batch.targets:
        assert target.masks is not None
        assert len(target.masks) == len(target)
        assert target.boxes.shape == (len(target), 4)
    assert json.loads(file.read_text())["annotations"][4]["bbox"] == [50, 5, 20, 20]


# ------------------------------------------------------------- several images, the final epochs


@pytest.mark.parametrize("workers", [0, 2])
def test_mixing_images_depends_on_seed_epoch_and_image_alone(
    data: DetectionDataset, workers: int
) -> None:
    def batches(start: int) -> list[Batch]:
        loader = build_loader(
            data,
            (Mosaic(size=(32, 48)), MixUp(size=(64, 96))),
            images_per_device=2,
            training=True,
            workers=workers if start else 0,
            seed=3,
        )
        loader.set_epoch(1, start)
        found = list(loader)
        loader.close()
        return found

    whole, rest = batches(0), batches(2)
    assert len(rest) == len(whole) - 2
    for a, b in zip(whole[2:], rest, strict=True):
        check_same(a, b)
    assert all(batch.pixels.shape[1:] == (64, 96, 3) for batch in whole)
    assert max(len(target) for batch in whole for target in batch.targets) > 4


@pytest.mark.parametrize("workers", [0, 2])
def test_the_final_epochs_have_transforms_of_their_own(
    data: DetectionDataset, workers: int
) -> None:
    loader = build_loader(
        data,
        (Mosaic(size=(32, 48)),),
        images_per_device=2,
        training=True,
        workers=workers,
        final_transforms=(Resize(sizes=((30, 30),), keep_ratio=False),),
        final_epoch=1,
    )
    for epoch, shape in ((0, (64, 96)), (1, (30, 30)), (2, (30, 30)), (0, (64, 96))):
        loader.set_epoch(epoch)
        assert {tuple(batch.pixels.shape[1:3]) for batch in loader} == {shape}
    loader.close()
