from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.coco import read_coco
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms import (
    Crop,
    Expand,
    Flip,
    MinIoUCrop,
    Pad,
    Resize,
    ShrinkSemanticMap,
    TorchvisionV2,
)
from detzoo.errors import DataError
from detzoo.structures import UNLABELED, Targets, stack_semantic_maps
from tests.data.files import annotation, write_coco
from tests.data.transforms.samples import sample


def labelled(height: int = 40, width: int = 60) -> Sample:
    """A sample whose gray levels are its semantic map."""
    one = sample(height, width)
    rows, columns = np.indices((height, width)) // 8
    classes = (8 * rows + columns).astype(np.uint8)
    image = np.repeat(classes[..., None], 3, 2)
    targets = replace(one.targets, semantic_map=torch.from_numpy(classes))
    return Sample(image, targets, one.info)


@pytest.mark.parametrize(
    "transform",
    [
        Flip(probability=1.0),
        Flip(probability=1.0, directions=("vertical",)),
        Flip(probability=1.0, directions=("diagonal",)),
        Crop(size=(20, 30), allow_empty=True),
        MinIoUCrop(),
        Expand(fill=(255.0, 255.0, 255.0), probability=1.0),
        TorchvisionV2(call="RandomHorizontalFlip(p=1.0)"),
    ],
)
def test_the_map_moves_with_the_image(transform: Transform) -> None:
    for seed in range(5):
        after = transform(labelled(), np.random.default_rng(seed))
        assert after.targets.semantic_map is not None
        assert np.array_equal(after.targets.semantic_map.numpy(), after.image[..., 0])


def test_resized_to_the_nearest() -> None:
    after = Resize(sizes=((90, 60),))(labelled(), np.random.default_rng(0))
    classes = after.targets.semantic_map
    assert classes is not None
    before = labelled().targets.semantic_map
    assert before is not None
    rows = (torch.arange(60) / 1.5).long()
    columns = (torch.arange(90) / 1.5).long()
    assert classes.equal(before[rows][:, columns])


def test_what_torchvision_brings_in_is_unlabeled() -> None:
    moved = TorchvisionV2(call="RandomAffine(degrees=0, translate=(0.5, 0.5))")
    after = moved(labelled(), np.random.default_rng(1))
    assert after.targets.semantic_map is not None
    outside = after.targets.semantic_map == UNLABELED
    assert outside.any()
    assert (after.image[..., 0][outside.numpy()] == 0).all()


def test_shrunk_to_an_eighth_after_padding() -> None:
    padded = Pad(divisor=32)(labelled(), np.random.default_rng(0))
    after = ShrinkSemanticMap()(padded, np.random.default_rng(0))
    classes = after.targets.semantic_map
    assert classes is not None
    before = labelled().targets.semantic_map
    assert before is not None
    assert classes.shape == (8, 8)
    assert classes[:5].equal(before[::8, ::8])
    assert (classes[5:] == UNLABELED).all()
    with pytest.raises(ConfigError, match="stride: 0 is not at least 1"):
        ShrinkSemanticMap(stride=0)


def test_samples_without_a_map() -> None:
    after = ShrinkSemanticMap()(sample(), np.random.default_rng(0))
    assert after.targets.semantic_map is None


def test_maps_of_a_batch() -> None:
    boxes, labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    maps = [torch.full((2, 3), 4, dtype=torch.uint8), torch.full((3, 2), 5, dtype=torch.uint8)]
    targets = [replace(Targets.of(boxes, labels), semantic_map=one) for one in maps]
    stacked = stack_semantic_maps(targets)
    n = UNLABELED
    assert stacked.tolist() == [
        [[4, 4, 4], [4, 4, 4], [n, n, n]],
        [[5, 5, n], [5, 5, n], [5, 5, n]],
    ]
    assert targets[0][torch.zeros(0, dtype=torch.int64)].semantic_map is maps[0]
    assert targets[0].to("cpu").semantic_map is not None


def test_read_from_a_folder(tmp_path: Path) -> None:
    file = write_coco(tmp_path, [(40, 60)], [annotation(1, 1, (1, 1, 9, 9))])
    data = read_coco(file, tmp_path / "train")
    folder = tmp_path / "stuff"
    folder.mkdir()
    with pytest.raises(DataError, match=r"stuff/1\.png: no such file; the folder of semantic maps"):
        data.with_semantic_maps(folder)
    classes = np.random.default_rng(0).integers(0, 183, (40, 60)).astype(np.uint8)
    cv2.imwrite(str(folder / "1.png"), classes)
    targets = data.with_semantic_maps(folder).sample(0).targets
    assert targets.semantic_map is not None
    assert np.array_equal(targets.semantic_map.numpy(), classes)
    assert data.sample(0).targets.semantic_map is None
    cv2.imwrite(str(folder / "1.png"), classes[:20])
    with pytest.raises(
        DataError, match=r"is not a semantic map of .*1\.png, which must be .*60 x 40"
    ):
        data.with_semantic_maps(folder).sample(0)
