"""Corruptions of images: those of the package, with the sample's own random numbers."""

from __future__ import annotations

import sys
from typing import get_args

import numpy as np
import pytest
import torch

from detzoo.data.sample import Sample, apply
from detzoo.data.transforms import Corrupt
from detzoo.data.transforms.corrupt import CORRUPTIONS, Corruption
from detzoo.errors import ConfigError, DataError
from detzoo.structures import ImageInfo, Targets


def sample_of(image: np.ndarray) -> Sample:
    targets = Targets.of(torch.tensor([[2.0, 3, 20, 30]]), torch.tensor([0]))
    return Sample(image, targets, ImageInfo.of((image.shape[0], image.shape[1])))


@pytest.fixture
def sample() -> Sample:
    rows, columns = np.mgrid[:48, :64]
    image = np.stack([rows * 4, columns * 3, (rows + columns) % 200], -1).astype(np.uint8)
    return sample_of(image)


def test_kinds() -> None:
    kinds = ("noise", "blur", "weather", "digital")
    assert CORRUPTIONS["benchmark"] == sum((CORRUPTIONS[kind] for kind in kinds), ())
    assert (len(CORRUPTIONS["benchmark"]), len(CORRUPTIONS["extra"])) == (15, 4)
    assert CORRUPTIONS["all"] == get_args(Corruption)


# Compiling the loop of glass_blur takes seconds.
QUICK = [name for name in CORRUPTIONS["all"] if name != "glass_blur"]


@pytest.mark.parametrize("name", QUICK)
def test_what_the_package_computes(sample: Sample, name: Corruption) -> None:
    package = pytest.importorskip("imagecorruptions")
    assert package.get_corruption_names("all") == list(CORRUPTIONS["all"])
    before = np.random.get_state()[1]
    transform = Corrupt(corruption=name, severity=4)
    first = transform(sample, np.random.default_rng(7))
    again = transform(sample, np.random.default_rng(7))
    assert (np.random.get_state()[1] == before).all()
    assert first.image.dtype == np.uint8
    assert first.image.shape == sample.image.shape
    assert (first.image == again.image).all()
    assert (first.image != sample.image).mean() > 0.1
    assert first.targets is sample.targets

    # With the same random numbers, it is the package's own result.
    seeds = np.random.default_rng(7).integers(2**31, size=2)
    np.random.seed(seeds[0])
    more = {"seed": int(seeds[1])} if name == "impulse_noise" else {}
    expected = package.corrupt(sample.image, severity=4, corruption_name=name, **more)
    assert (first.image == expected).all()


@pytest.mark.slow
@pytest.mark.ci
def test_glass(sample: Sample) -> None:
    pytest.importorskip("imagecorruptions")
    transform = Corrupt(corruption="glass_blur", severity=2)
    first, again, other = (transform(sample, np.random.default_rng(k)).image for k in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_gray_and_small_images(sample: Sample) -> None:
    pytest.importorskip("imagecorruptions")
    fog = Corrupt(corruption="fog")
    gray = fog(sample_of(sample.image[..., :1]), np.random.default_rng(0))
    assert gray.image.shape == (48, 64, 1)
    with pytest.raises(
        DataError, match=r"as it comes at 64 x 20 pixels .* takes 32 x 32 pixels or more"
    ):
        apply((fog,), sample_of(sample.image[:20]), np.random.default_rng(0))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    with pytest.raises(ConfigError, match="pip install --no-deps imagecorruptions-imaug"):
        Corrupt(corruption="fog").check()
