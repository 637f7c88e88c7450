import numpy as np
import pytest
import torch
from pycocotools import mask as official_rle

from detzoo.evaluate.run_lengths import RunLengths
from detzoo.structures import BitmapMasks


def _masks():
    rng = np.random.default_rng(0)
    masks = np.zeros((9, 13, 17), np.uint8)
    masks[1] = 1
    masks[2, 0, 0] = 1
    masks[3, 12, 16] = 1
    masks[4, 3:8, 16] = 1
    masks[5, 12, 4:9] = 1
    masks[6, 2:5, 3:9] = 1
    masks[6, 9:11, 12:15] = 1
    masks[7] = rng.random((13, 17)) < 0.5
    masks[8] = rng.random((13, 17)) < 0.05
    return masks


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool])
def test_encodes_as_the_official_tool(dtype):
    masks = _masks()
    encoded = RunLengths.of(BitmapMasks(torch.from_numpy(masks).to(dtype)))
    expected = official_rle.encode(np.asfortranarray(masks.transpose(1, 2, 0)))
    assert encoded.counts == tuple(mask["counts"].decode() for mask in expected)
    assert encoded.size == (13, 17)
    assert encoded.areas().tolist() == masks.sum((1, 2)).tolist()
    np.testing.assert_array_equal(encoded.boxes(), official_rle.toBbox(expected))


def test_no_masks():
    encoded = RunLengths.of(BitmapMasks(torch.zeros((0, 13, 17), dtype=torch.uint8)))
    assert len(encoded) == 0
    assert encoded.areas().shape == (0,)
    assert encoded.boxes().shape == (0, 4)
    assert encoded.to_coco() == []


def test_reads_what_the_official_tool_writes():
    masks = _masks()
    expected = official_rle.encode(np.asfortranarray(masks.transpose(1, 2, 0)))
    stored = [{"size": [13, 17], "counts": mask["counts"].decode()} for mask in expected]
    read = RunLengths.read(stored, [""] * len(stored), (13, 17))
    assert read.to_coco() == stored


def test_long_run_lengths():
    """Of several characters each, growing and shrinking."""
    size = (2000, 3000)
    bitmap = torch.zeros((1, *size), dtype=torch.uint8)
    for i, width in enumerate([900, 3, 200, 1, 40]):
        bitmap[0, 10 * i : 1900 - 300 * i, 1000 * i // 2 : 1000 * i // 2 + width] = 1
    encoded = RunLengths.of(BitmapMasks(bitmap))
    assert RunLengths.read(encoded.to_coco(), [""], size) == encoded
    assert encoded.areas() == bitmap.sum().item()
