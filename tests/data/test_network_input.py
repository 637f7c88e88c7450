"""From image files to what the network sees, against OpenCV and NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detzoo.backbones.pretrained import CAFFE, CAFFE2, TENSORFLOW, TORCHVISION
from detzoo.data.coco import read_coco
from detzoo.data.loader import build_loader, collate
from detzoo.data.sample import apply
from detzoo.data.transforms import Flip, Pad, PhotometricDistortion, Resize
from detzoo.structures import Pixels
from tests.data.files import annotation, write_coco
from tests.tiny import tiny_retinanet

SIZES = [(40, 60), (50, 45)]
# By hand: the longer side becomes at most 96, the shorter at most 64.
RESIZED = [(64, 96), (71, 64)]


def reference(paths: list[Path], pixels: Pixels) -> np.ndarray:
    """Resize, mirror, swap channels, normalize, pad: (2, 3, 96, 96)."""
    out = np.zeros((2, 96, 96, 3))
    if pixels.padding is not None:
        out[:] = (pixels.padding - np.array(pixels.mean)) / pixels.std
    for row, path, (height, width) in zip(out, paths, RESIZED):
        image = cv2.flip(cv2.resize(cv2.imread(str(path)), (width, height)), 1)
        image = image[..., ::-1] if pixels.order == "rgb" else image
        row[:height, :width] = (image - np.array(pixels.mean)) / pixels.std
    return out.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    "pixels",
    [TORCHVISION, CAFFE, CAFFE2, TENSORFLOW, Pixels(mean=(0, 0, 0), std=(1, 1, 1), padding=114)],
)
def test_file_to_network_input(tmp_path: Path, pixels: Pixels) -> None:
    boxes = [annotation(1, 1, (3, 4, 30, 20))]
    data = read_coco(write_coco(tmp_path, SIZES, boxes), tmp_path / "train")
    transforms = (Resize(sizes=((96, 64),)), Flip(probability=1), Pad(divisor=32))
    samples = [apply(transforms, data.sample(i), np.random.default_rng(0)) for i in range(2)]
    batch = collate(samples, with_targets=False)
    assert [info.size for info in batch.infos] == RESIZED
    assert [info.padded_size for info in batch.infos] == [(64, 96), (96, 64)]
    detector = replace(tiny_retinanet().model, pixels=pixels).build(2)
    images = detector.preprocess(batch)
    expected = reference([tmp_path / "train" / name for name in ("1.png", "2.png")], pixels)
    np.testing.assert_allclose(images.pixels.numpy(), expected, atol=2e-5)
    assert batch.targets == ()
    # In evaluation, images of two sizes are two batches, which show the network the same.
    for k, alone in enumerate(build_loader(data, transforms, images_per_device=2, training=False)):
        (info,) = alone.infos
        height, width = info.size
        own = detector.preprocess(alone).pixels[0, :, :height, :width]
        np.testing.assert_allclose(own.numpy(), expected[k, :, :height, :width], atol=2e-5)


def test_float_images_cross_as_they_are(tmp_path: Path) -> None:
    data = read_coco(write_coco(tmp_path, SIZES, []), tmp_path / "train")
    transforms = (PhotometricDistortion(), Resize(sizes=((96, 64),)))
    batch = next(iter(build_loader(data, transforms, images_per_device=2, training=False)))
    detector = tiny_retinanet().model.build(2)
    pixels = detector.preprocess(batch).pixels
    first = data.sample(0)
    for transform in transforms:
        first = transform(first, np.random.default_rng((0, 0, 0)))
    assert first.image.dtype == np.float32
    expected = (first.image[..., ::-1] - TORCHVISION.mean) / TORCHVISION.std
    height, width = first.image.shape[:2]
    actual = pixels[0, :, :height, :width].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-4)
