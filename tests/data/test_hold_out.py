from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from detzoo.data.annotations import Annotation, Annotations, Strings
from detzoo.data.dataset import DetectionDataset
from detzoo.data.hold_out import Division, HoldOut
from detzoo.errors import ConfigError, DataError


def dataset(labels: Sequence[Sequence[int]]) -> DetectionDataset:
    """Images with an object of each of their ``labels``."""
    objects = [
        Annotation(image=i, id=0, label=label, box=(0, 0, 9, 9), area=81)
        for i, found in enumerate(labels)
        for label in found
    ]
    count = 1 + max((label for found in labels for label in found), default=0)
    return DetectionDataset(
        source="data",
        image_dir="",
        class_names=tuple(f"class {k}" for k in range(count)),
        category_ids=tuple(range(count)),
        image_ids=torch.arange(len(labels)),
        file_names=Strings.of(map(str, range(len(labels)))),
        sizes=torch.full((len(labels), 2), 100),
        annotations=Annotations.build(len(labels), objects),
    )


def photos(count: int) -> list[str]:
    return [f"IMG_{k:04}.jpg" for k in range(count)]


def test_about_a_fraction_is_held_out_and_the_seed_decides_which() -> None:
    data = dataset([[0]] * 1000)
    held_out = HoldOut.fraction(0.2, 0).held_out(photos(1000), data)
    assert 160 <= held_out.sum() <= 240
    assert torch.equal(held_out, HoldOut.fraction(0.2, 0).held_out(photos(1000), data))
    other = HoldOut.fraction(0.2, 1).held_out(photos(1000), data)
    assert 0.1 < (held_out & other).sum() / held_out.sum() < 0.35
    # A larger part holds the smaller one.
    assert (held_out <= HoldOut.fraction(0.3, 0).held_out(photos(1000), data)).all()


@pytest.mark.parametrize("hold_out", [HoldOut.fraction(0.2, 0), HoldOut.fold("2/5", 0)])
def test_added_images_move_no_other(hold_out: HoldOut) -> None:
    names, labels = photos(200), [[k % 3, k % 2] for k in range(200)]
    before = hold_out.held_out(names[:150], dataset(labels[:150]))
    order = np.random.default_rng(0).permutation(200).tolist()
    after = hold_out.held_out([names[i] for i in order], dataset([labels[i] for i in order]))
    assert [bool(after[order.index(i)]) for i in range(150)] == before.tolist()


def test_added_images_of_a_rare_class_let_go_of_those_that_stood_in_for_them() -> None:
    names, labels = photos(150), [[0] for _ in range(150)]
    hold_out = HoldOut.fraction(0.2, 0)
    by_hash = hold_out.held_out(names, dataset(labels))
    for i in (~by_hash).nonzero()[:3, 0].tolist():
        labels[i].append(1)  # all to be trained on, so one of them is held out instead
    assert (hold_out.held_out(names, dataset(labels)) != by_hash).sum() == 1
    for i in by_hash.nonzero()[:3, 0].tolist():
        labels[i].append(1)
    assert torch.equal(hold_out.held_out(names, dataset(labels)), by_hash)


def test_folds_hold_out_every_image_once() -> None:
    names, data = photos(103), dataset([[k % 3] for k in range(103)])
    folds = [HoldOut.fold(f"{k}/5", 0).held_out(names, data) for k in range(1, 6)]
    assert torch.stack(folds).sum(0).tolist() == [1] * 103


@pytest.mark.parametrize("seed", range(20))
def test_every_part_has_its_share_of_every_class(seed: int) -> None:
    # Classes of 100, 20, 10, 5 and 2 images, and one of a single image.
    labels = [[0] for _ in range(100)]
    for label, count in enumerate((20, 10, 5, 2, 1), 1):
        for k in range(count):
            labels[(7 * k + 13 * label) % 100].append(label)
    data, names = dataset(labels), photos(100)
    counts = torch.bincount(data.annotations.labels)
    folds = [HoldOut.fold(f"{k}/5", seed).held_out(names, data) for k in range(1, 6)]
    per_fold = torch.stack([_classes(data, fold) for fold in folds])
    assert (per_fold >= (counts / 10).floor()).all()
    assert (per_fold[:, :4] >= 1).all()
    held_out = HoldOut.fraction(0.2, seed).held_out(names, data)
    assert (_classes(data, held_out) >= torch.tensor([10, 2, 1, 1, 1, 0])).all()
    assert (_classes(data, ~held_out) >= torch.tensor([40, 8, 4, 2, 1, 0])).all()


def _classes(data: DetectionDataset, chosen: torch.Tensor) -> torch.Tensor:
    labels = data.take(chosen.nonzero()[:, 0]).annotations.labels
    return torch.bincount(labels, minlength=len(data.class_names))


def test_scenes_stay_on_one_side() -> None:
    names = [f"clip{k // 30}/frame_{k:05}.jpg" for k in range(600)]
    held_out = HoldOut.fraction(0.2, 0).held_out(names, dataset([[k % 2] for k in range(600)]))
    of_clip = held_out.view(20, 30)
    assert (of_clip.all(1) | ~of_clip.any(1)).all()
    assert 1 <= of_clip.any(1).sum() <= 8


def test_a_single_video_is_divided_into_stretches() -> None:
    names = [f"frame_{k}.jpg" for k in range(1, 101)]
    held_out = HoldOut.fraction(0.2, 0).held_out(names, dataset([[0]] * 100))
    assert 10 <= held_out.sum() <= 50
    # Ten frames in a row, in the order of their numbers.
    stretches = held_out.view(10, 10)
    assert (stretches.all(1) | ~stretches.any(1)).all()


def test_what_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="its 1 images cannot be divided into 2 parts"):
        HoldOut.fraction(0.2, 0).held_out(["a.jpg"], dataset([[0]]))
    for text in ("0/5", "6/5", "1/1", "2", "a/b", "1/5/5", "-1/5"):
        with pytest.raises(ConfigError, match="--fold"):
            HoldOut.fold(text, 0)


def test_images_that_come_and_go() -> None:
    names = [["a.jpg", "b.jpg", "c.jpg"], ["a.jpg", "d.jpg"]]
    held_out = [torch.tensor([False, True, False]), torch.tensor([True, False])]
    division = Division.of("train", "rule", names, held_out)
    assert division.train == (("a.jpg", "c.jpg"), ("d.jpg",))
    assert division.val == (("b.jpg",), ("a.jpg",))
    assert Division.from_json(division.to_json(), "here") == division
    later = [["c.jpg", "new.jpg", "a.jpg"], ["d.jpg", "a.jpg"]]
    found, notes = division.find("train", later, "here")
    assert [part.tolist() for part in found] == [[0, 2], [0]]
    assert notes == ["1 image not yet divided, so neither trained nor tested on"]
    found, notes = division.find("val", later, "here")
    assert [part.tolist() for part in found] == [[], [1]]
    assert notes[0] == "1 image of the division no longer in the data"
    with pytest.raises(DataError, match="here: was made for 2 data sets, not 1"):
        division.find("val", later[:1], "here")
    with pytest.raises(DataError, match="here: none of its 2 images is in the data"):
        division.find("val", [["x.jpg"], ["y.jpg"]], "here")
    for damaged in (None, [], {"split": "train"}, {"split": "a", "rule": "b", "sets": [1]}):
        with pytest.raises(DataError, match="here: is damaged"):
            Division.from_json(damaged, "here")
