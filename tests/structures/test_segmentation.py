from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as official

from detzoo.errors import DataError
from detzoo.structures.segmentation import (
    NO_MASK,
    decode_rle,
    is_missing,
    read_mask,
    read_segmentation,
)

SIZE = (90, 120)
TRIANGLE = [[1, 1, 30, 2, 5, 40.5]]


def blobs() -> np.ndarray:
    noise = np.random.default_rng(3).random((9, 12)).astype(np.float32)
    return (cv2.resize(noise, (SIZE[1], SIZE[0])) > 0.55).astype(np.uint8)


def compressed() -> str:
    code: str = official.encode(np.asfortranarray(blobs()))["counts"].decode()
    return code


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        [[]],
        [[], []],
        [[1, 2, 3, 4]],
        [[[1, 2], [3, 4]]],
        [[1, 2], [3, 4]],
        {"size": list(SIZE), "counts": [90 * 120]},
        {"size": list(SIZE), "counts": "`a:"},  # the same compressed
    ],
)
def test_no_mask(value: Any) -> None:
    assert read_segmentation(value, SIZE, "here") == NO_MASK
    assert is_missing(value)
    assert decode_rle(NO_MASK.encode(SIZE), SIZE).sum() == 0


@pytest.mark.parametrize(
    "value",
    [TRIANGLE, [[[1, 1], [30, 2], [5, 40.5]]], [[1, 1], [30, 2], [5, 40.5]], [*TRIANGLE, [1, 2]]],
)
def test_points_may_be_pairs(value: Any) -> None:
    read = read_segmentation(value, SIZE, "here")
    assert read.polygons == (TRIANGLE[0],)
    assert not is_missing(value)
    expected = official.merge(official.frPyObjects(TRIANGLE, *SIZE))
    assert read.area(SIZE) == official.area(expected)
    assert read_mask(value, SIZE, "here") == expected["counts"]


def test_run_lengths_plain_and_compressed() -> None:
    runs = np.flatnonzero(np.diff(blobs().T.reshape(-1), prepend=0, append=2))
    plain = np.diff(runs, prepend=0).tolist()
    for counts in (compressed(), plain):
        read = read_segmentation({"size": list(SIZE), "counts": counts}, SIZE, "here")
        np.testing.assert_array_equal(decode_rle(read.code, SIZE), blobs())
        assert read.area(SIZE) == blobs().sum()


def damaged() -> dict[str, str]:
    good = compressed()
    return {
        "doubled backslashes": good.replace("\\", "\\\\"),
        "repr of bytes": str(good.encode()),
        "base64": base64.b64encode(good.encode()).decode(),
        "a character lost": good[:10] + good[11:],
        "a character added": good[:10] + "1" + good[10:],
        "cut in half": good[: len(good) // 2],
        "nothing": "",
    }


@pytest.mark.parametrize("kind", damaged())
def test_damaged_run_lengths(kind: str) -> None:
    value = {"size": list(SIZE), "counts": damaged()[kind]}
    for read in (read_segmentation, read_mask):
        with pytest.raises(DataError, match=r"^file: object 3: its segmentation cannot be read"):
            read(value, SIZE, "file: object 3")


def test_a_detection_must_have_a_mask() -> None:
    empty = {"size": list(SIZE), "counts": [90 * 120]}
    assert decode_rle(read_mask(empty, SIZE, "here"), SIZE).sum() == 0
    for value in (None, [], [[1, 2, 3, 4]]):
        with pytest.raises(DataError, match="is not a mask"):
            read_mask(value, SIZE, "here")
