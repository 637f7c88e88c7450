from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detzoo.data.images import image_size, read_image
from detzoo.errors import DataError
from tests.data.files import noise


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def as_rgb(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))


@pytest.mark.parametrize("extension", ["jpg", "png", "bmp", "webp", "tif"])
def test_pixels_are_those_of_opencv(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"ünïcode.{extension}"
    path.write_bytes(cv2.imencode(f".{extension}", noise(41, 63))[1].tobytes())
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, cv2.imread(str(path), cv2.IMREAD_COLOR))
    assert image_size(path) == (41, 63)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    gray = noise(20, 30)[..., 0]
    image = read_image(save(tmp_path / "a.png", Image.fromarray(gray)))
    np.testing.assert_array_equal(image, np.dstack([gray] * 3))
    assert read_image(save(tmp_path / "a.jpg", Image.fromarray(gray))).shape == (20, 30, 3)


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    pixels = noise(20, 30)
    alpha = np.zeros((20, 30), np.uint8)
    rgba = Image.fromarray(np.dstack([pixels[..., ::-1], alpha]), "RGBA")
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgba)), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_16_bits_the_upper_eight_remain(tmp_path: Path, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (20, 30, channels)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    expected = np.broadcast_to((deep >> 8).astype(np.uint8), (20, 30, 3))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_cmyk(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", as_rgb(noise(40, 60)).convert("CMYK"), quality=95)
    expected = np.asarray(Image.open(path).convert("RGB"))[..., ::-1].astype(int)
    assert np.abs(read_image(path) - expected).max() <= 2
    assert image_size(path) == (40, 60)


def test_palette(tmp_path: Path) -> None:
    image = as_rgb(noise(20, 30)).quantize(16)
    expected = np.asarray(image.convert("RGB"))[..., ::-1]
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", image)), expected)


@pytest.mark.parametrize("extension", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, extension: str) -> None:
    stored = noise(24, 40)
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{extension}", as_rgb(stored), exif=exif)
    image = read_image(path)
    assert image.shape == upright.shape
    difference = np.abs(image.astype(int) - upright.astype(int)).mean()
    assert difference == 0 if extension == "png" else difference < 8
    assert image_size(path) == upright.shape[:2]


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "bmp"])
@pytest.mark.parametrize("part", [0.001, 0.5, 0.99])
def test_cut_off_files_are_errors(tmp_path: Path, extension: str, part: float) -> None:
    data = cv2.imencode(f".{extension}", noise(120, 160))[1].tobytes()
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(data[: int(len(data) * part) + 2])
    with pytest.raises(DataError, match=rf"cut\.{extension}: "):
        read_image(path)


def test_what_is_no_image_is_an_error(tmp_path: Path) -> None:
    text, empty = tmp_path / "text.jpg", tmp_path / "empty.jpg"
    text.write_text("<html>404</html>")
    empty.write_bytes(b"")
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r"text\.jpg: cannot be decoded"):
            read(text)
        with pytest.raises(DataError, match=r"empty\.jpg: the image file is empty"):
            read(empty)
        with pytest.raises(DataError, match=r"gone\.jpg: no such image file"):
            read(tmp_path / "gone.jpg")
        with pytest.raises(DataError, match="is a folder"):
            read(tmp_path)
