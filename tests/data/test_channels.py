"""Images of other than three channels, from the file to the detection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import detzoo
from detzoo.backbones.input_channels import fit_input_kernel
from detzoo.checkpoints.transfer import initialize
from detzoo.cli.common import apply_setting
from detzoo.config import ConfigError
from detzoo.data.images import read_image
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms import (
    Expand,
    Flip,
    MixUp,
    Mosaic,
    Pad,
    PhotometricDistortion,
    RandomAffine,
    RandomHSV,
    Resize,
)
from detzoo.detectors.base import DetectorConfig
from detzoo.errors import DataError
from detzoo.structures import Batch, ImageInfo, Targets
from detzoo.structures.pixels import Pixels
from detzoo.train.loop import train
from tests.detectors import models
from tests.train.tiny import build, make_data, tiny_experiment

PIXELS = {
    1: Pixels(mean=(110.0,), std=(60.0,)),
    4: Pixels(mean=(123.0, 116.0, 103.0, 90.0), std=(58.0, 57.0, 56.0, 50.0)),
}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", PIXELS)
def test_training_and_detecting(tmp_path: Path, channels: int) -> None:
    """One setting makes the detector; its checkpoint opens like any other."""
    data = make_data(tmp_path / "data", images=4)
    if channels == 4:
        for i in range(len(data)):
            image = cv2.imread(data.path(i))
            heat = RNG.integers(0, 255, (*image.shape[:2], 1), dtype=np.uint8)
            cv2.imwrite(data.path(i), np.concatenate([image, heat], 2))
    experiment = apply_setting(tiny_experiment(), "model.bbox_head.select.min_score=0.001")
    mean, std = (list(values) for values in (PIXELS[channels].mean, PIXELS[channels].std))
    setting = json.dumps({"type": "Pixels", "mean": mean, "std": std})
    experiment = apply_setting(experiment, f"model.pixels={setting}")
    assert experiment.model.input_pixels == PIXELS[channels]
    train(experiment, build(experiment), data, data, tmp_path / "run", quiet=True)
    predictor = detzoo.load(tmp_path / "run" / "best.pt")
    assert predictor.model.backbone.conv1.in_channels == channels
    image = read_image(data.path(0), channels)
    assert image.shape == (64, 64, channels)
    from_file, from_array = predictor.predict([data.path(0), image], min_score=0.0)
    assert torch.equal(from_file.boxes, from_array.boxes)
    assert len(from_file) > 0
    assert from_file.draw().shape == (64, 64, 3)


def test_pixels_of_each_channel_are_normalized() -> None:
    raw = torch.randint(0, 255, (1, 64, 64, 4), dtype=torch.uint8)
    config = replace(models.retinanet(), pixels=PIXELS[4])
    found = config.build(2).preprocess(Batch(raw, (ImageInfo.of((64, 64)),))).pixels[0]
    values = raw[0].permute(2, 0, 1).float()[[2, 1, 0, 3]]  # BGR and more -> RGB and more
    mean, std = (torch.tensor(v)[:, None, None] for v in (PIXELS[4].mean, PIXELS[4].std))
    torch.testing.assert_close(found, (values - mean) / std)


def test_files_in_grey_and_with_alpha(tmp_path: Path) -> None:
    color = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    alpha = RNG.integers(0, 255, (20, 30, 4), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "color.png"), color)
    cv2.imwrite(str(tmp_path / "alpha.png"), alpha)
    gray = cv2.cvtColor(color, cv2.COLOR_BGR2GRAY)
    found = read_image(tmp_path / "color.png", 1)
    assert np.abs(found.astype(int) - gray[..., None]).max() <= 1  # rounded otherwise
    assert np.array_equal(read_image(tmp_path / "alpha.png", 4), alpha)
    with pytest.raises(DataError, match=r"has 3 channels, and the model looks at 4"):
        read_image(tmp_path / "color.png", 4)


def test_images_of_pillow(tmp_path: Path) -> None:
    experiment = tiny_experiment()
    rgba = RNG.integers(0, 255, (64, 64, 4), dtype=np.uint8)
    for channels, array in ((4, rgba[..., [2, 1, 0, 3]]), (1, None)):
        model = replace(experiment.model, pixels=PIXELS[channels])
        predictor = detzoo.Predictor(replace(experiment, model=model), model.build(2))
        (result,) = predictor.predict(
            Image.fromarray(rgba, "RGBA") if array is not None else Image.fromarray(rgba[..., 0])
        )
        wanted = rgba[..., :1] if array is None else array
        assert np.array_equal(result.image, wanted)
        with pytest.raises(DataError, match=rf"\(height, width, {channels}\)"):
            next(predictor.predict(rgba[..., :3]))


TRANSFORMS: tuple[Transform, ...] = (
    Resize(sizes=((48, 40),)),
    Flip(),
    Pad(divisor=32),
    Expand(probability=1.0),
    Mosaic(size=(32, 32)),
    MixUp(size=(32, 32)),
    PhotometricDistortion(),
    RandomHSV(),
    RandomAffine(),
)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("channels", PIXELS)
def test_transforms_keep_the_channels(transform: Transform, channels: int) -> None:
    from detzoo.data.sample import apply

    image = RNG.integers(0, 255, (36, 44, channels), dtype=np.uint8)
    boxes, labels = torch.tensor([[3.0, 4.0, 30.0, 33.0]]), torch.tensor([0])
    sample = Sample(image, Targets.of(boxes, labels), ImageInfo.of((36, 44)))
    for seed in range(3):
        out = apply((transform,), sample, np.random.default_rng(seed))
        assert out.image.shape[2] == channels


@pytest.mark.parametrize(("old", "channels"), [(3, 1), (3, 4), (3, 7), (12, 4), (12, 16)])
def test_a_fitted_kernel_answers_alike(old: int, channels: int) -> None:
    """To an image whose channels all are the same."""
    kernel = torch.randn(5, old, 3, 3)
    fitted = fit_input_kernel(kernel, channels)
    assert fitted.shape == (5, channels, 3, 3)
    groups = old // 3
    torch.testing.assert_close(
        fitted.view(5, groups, -1, 3, 3).sum(2), kernel.view(5, groups, 3, 3, 3).sum(2)
    )


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn_r50_fpn_1x_coco",
        "yolox_nano_8x8_300e_coco",
        "ssd300_coco",
        "cascade_rcnn_r50_sac_1x_coco",
        "retinanet_pvtv2-b0_fpn_1x_coco",
    ],
)
def test_every_backbone_can(name: str) -> None:
    config: DetectorConfig = detzoo.find(name).experiment.model
    with torch.device("meta"):
        model = replace(config, pixels=PIXELS[4]).build(2)
        features = model.extract_features(torch.zeros(1, 4, 320, 320))
    assert features[0].ndim == 4


def test_weights_for_color_images_are_a_start() -> None:
    color = models.retinanet().build(2)
    config = replace(models.retinanet(), pixels=PIXELS[1])
    gray = config.build(2)
    names = ("a", "b")
    initialize(gray, color.state_dict(), from_names=names, to_names=names)
    old, new = (m.backbone.get_parameter("conv1.weight") for m in (color, gray))
    torch.testing.assert_close(new, old.sum(1, keepdim=True))


def test_pixels_need_as_many_deviations_as_means() -> None:
    with pytest.raises(ConfigError, match="has 2 values and std has 1"):
        Pixels(mean=(1.0, 2.0), std=(1.0,))
