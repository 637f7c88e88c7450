"""From raw pixels to network input, against NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from detzoo.backbones.pretrained import CAFFE, CAFFE2, TENSORFLOW, TORCHVISION
from detzoo.structures import Batch, ImageInfo, Pixels
from tests.detectors import models

YOLO = Pixels(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="bgr", padding=114.0)
HALF_GRAY = dataclasses.replace(TORCHVISION, padding=127.0)


def reference(images: list[np.ndarray], pixels: Pixels, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) BGR images -> (B, 3, H, W)."""
    mean, std = np.array(pixels.mean), np.array(pixels.std)
    out = np.zeros((len(images), *size, 3))
    if pixels.padding is not None:
        out += (pixels.padding - mean) / std
    for canvas, image in zip(out, images):
        height, width = image.shape[:2]
        channels = image if pixels.order == "bgr" else image[:, :, ::-1]
        canvas[:height, :width] = (channels.astype(np.float64) - mean) / std
    return out.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("pixels", [TORCHVISION, CAFFE, CAFFE2, TENSORFLOW, YOLO, HALF_GRAY])
def test_two_images_of_different_size(pixels: Pixels, dtype: type) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3)).astype(dtype) for size in ((20, 31), (27, 24))]
    raw = np.zeros((2, 32, 32, 3), dtype)
    for canvas, image in zip(raw, images):
        canvas[: image.shape[0], : image.shape[1]] = image
    infos = tuple(ImageInfo.of(image.shape[:2]).padded_to(32) for image in images)
    config = dataclasses.replace(models.MODELS["rpn"], pixels=pixels)
    batch = config.build(1).preprocess(Batch(torch.from_numpy(raw), infos))
    assert batch.pixels.dtype == torch.float32
    assert batch.pixels.shape == (2, 3, 32, 32)
    assert batch.infos == infos
    wanted = reference(images, pixels, (32, 32))
    np.testing.assert_allclose(batch.pixels.numpy(), wanted, rtol=1e-5, atol=1e-5)
    if dtype == np.float32:
        assert (raw[0, 20:] == 0).all()  # the raw pixels are not written to


def test_the_pretrained_weights_say_which_pixels() -> None:
    base = models.MODELS["rpn"]
    caffe = dataclasses.replace(base.backbone, pretrained="open-mmlab://detectron2/resnet50_caffe")
    assert dataclasses.replace(base, backbone=caffe).input_pixels == CAFFE
    assert dataclasses.replace(base, backbone=caffe, pixels=YOLO).input_pixels == YOLO
    assert base.input_pixels == TORCHVISION


def test_checkpoints_do_not_hold_the_pixels() -> None:
    names = models.MODELS["rpn"].build(1).state_dict()
    assert not any("pixel" in name for name in names)
