"""Recipes for images of another size."""

from __future__ import annotations

import pytest

from detzoo import zoo
from detzoo.config import ConfigError
from detzoo.data.image_size import resized
from detzoo.data.transforms import Crop, Flip, Pad, Resize


def test_one_size() -> None:
    pipeline = (Resize(sizes=((1333, 800),)), Flip(), Pad(divisor=32))
    train, test = resized(pipeline, pipeline, (640, 480))
    assert train == test == (Resize(sizes=((640, 480),)), Flip(), Pad(divisor=32))


def test_several_sizes_keep_their_proportions() -> None:
    train = (Resize(sizes=((1333, 640), (1333, 800), (800, 1333)), mode="value"),)
    test = (Resize(sizes=((1333, 800),)),)
    new_train, new_test = resized(train, test, (2000, 1600))
    assert new_train == (Resize(sizes=((2000, 1280), (2000, 1600), (1600, 2000)), mode="value"),)
    assert new_test == (Resize(sizes=((2000, 1600),)),)


def test_sizes_elsewhere_are_refused() -> None:
    fixed = (Resize(),)
    with pytest.raises(ConfigError, match=r"Crop\.size"):
        resized((*fixed, Crop(size=(300, 300))), fixed, (640, 640))
    with pytest.raises(ConfigError, match=r"Pad\.size"):
        resized(fixed, (*fixed, Pad(size=(800, 1333))), (640, 640))
    with pytest.raises(ConfigError, match="no single size"):
        resized(fixed, (Flip(),), (640, 640))


def test_names_of_the_zoo() -> None:
    data = zoo.find("faster_rcnn_r50_fpn_1x_coco").experiment.data
    assert data.with_image_size((1333, 800)) == data
    data = data.with_image_size((640, 640))
    sizes = [
        one.sizes
        for one in (*data.train_transforms, *data.test_transforms)
        if isinstance(one, Resize)
    ]
    assert sizes == [((640, 640),)] * 2
    with pytest.raises(ConfigError, match="batch_resize"):
        zoo.find("yolox_s_8x8_300e_coco").experiment.data.with_image_size((640, 640))
