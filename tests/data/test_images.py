from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from detzoo.data import images
from detzoo.data.images import (
    EXTENSIONS,
    exif_orientation,
    image_size,
    read_gray,
    read_image,
)
from detzoo.errors import DataError
from detzoo.inference.inputs import is_image, read_inputs
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


WITH_EXIF = ("jpg", "png", "webp", "avif")


@pytest.mark.parametrize(
    ("extension", "orientation"),
    [
        *((extension, number) for extension in WITH_EXIF for number in (1, 3, 5, 6, 8, 9)),
        *(("tif", number) for number in range(1, 10)),
        *((extension, 1) for extension in ("bmp", "gif", "ppm", "jp2", "mpo")),
    ],
)
def test_sizes_come_from_headers(
    tmp_path: Path, extension: str, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}
    if extension == "tif":
        options["tiffinfo"] = {0x0112: orientation}
    elif extension in WITH_EXIF:
        options["exif"] = b"Exif\0\0" + exif_block("<", "H", orientation)
    if extension == "mpo":
        options |= {"save_all": True, "append_images": [as_rgb(noise(24, 40, 1))]}
    path = save(tmp_path / f"a.{extension}", as_rgb(noise(24, 40)), **options)
    decoded = read_image(path).shape[:2]
    assert decoded == ((40, 24) if 5 <= orientation <= 8 else (24, 40))
    monkeypatch.setattr(images, "read_image", None)  # what decodes
    assert image_size(path) == decoded


@pytest.mark.parametrize(
    ("extension", "channels"),
    [*((extension, channels) for extension in WITH_EXIF for channels in (1, 3)), ("png", 4)],
)
def test_exif_rotation_can_be_ignored(tmp_path: Path, extension: str, channels: int) -> None:
    stored = as_rgb(noise(24, 40)).convert("RGBA" if channels == 4 else "RGB")
    plain = read_image(save(tmp_path / f"plain.{extension}", stored), channels)
    exif = b"Exif\0\0" + exif_block("<", "H", 6)
    turned = save(tmp_path / f"turned.{extension}", stored, exif=exif)
    assert read_image(turned, channels).shape[:2] == (40, 24)
    np.testing.assert_array_equal(read_image(turned, channels, ignore_exif=True), plain)
    assert image_size(turned, ignore_exif=True) == (24, 40)


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


def exif_block(order: str, kind: str, value: int) -> bytes:
    """EXIF with nothing but the orientation, as a number of a ``kind`` of :mod:`struct`."""
    mark = {"<": b"II", ">": b"MM"}[order]
    number = struct.pack(order + kind, value).ljust(4, b"\0")
    types = {"B": 1, "H": 3, "I": 4, "h": 8, "i": 9}
    entry = struct.pack(f"{order}HHI", 0x0112, types[kind], 1) + number
    return mark + struct.pack(f"{order}HIH", 42, 8, 1) + entry + bytes(4)


ODD_ORIENTATIONS = [
    *(("<", "H", value) for value in (0, 6, 9, 65535)),
    *((">", "H", value) for value in (0, 6, 9, 65535)),
    *(("<", "I", value) for value in (6, 9, 65537, 6 << 16)),
    *((">", "I", value) for value in (6, 9, 65537, 6 << 16)),
    *((order, "B", value) for order in "<>" for value in (6, 9)),
    ("<", "h", 6),
    (">", "i", 6),
]


@pytest.mark.parametrize(("order", "kind", "value"), ODD_ORIENTATIONS)
def test_odd_orientations_are_what_opencv_makes_of_them(
    tmp_path: Path, order: str, kind: str, value: int
) -> None:
    block = exif_block(order, kind, value)
    for extension in ("jpg", "png", "webp"):
        prefix = b"Exif\0\0" if extension == "jpg" else b""
        path = save(tmp_path / f"a.{extension}", as_rgb(noise(24, 40)), exif=prefix + block)
        height, width = read_image(path).shape[:2]
        assert image_size(path) == (height, width)
        assert (exif_orientation(block) >= 5) == ((height, width) == (40, 24))
        ((_, found),) = read_inputs(Image.open(path))
        assert found.shape[:2] == (height, width)


def test_orientation_in_xmp_does_not_count(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    path = save(tmp_path / "a.jpg", as_rgb(noise(24, 40)), xmp=xmp)
    assert read_image(path).shape == (24, 40, 3)
    assert image_size(path) == (24, 40)
    with Image.open(path) as opened:
        assert opened.getexif().get(0x0112) == 6
        ((_, found),) = read_inputs(opened)
    assert found.shape == (24, 40, 3)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 9])
def test_orientation_of_a_tiff(tmp_path: Path, orientation: int) -> None:
    path = save(tmp_path / "a.tif", as_rgb(noise(24, 40)), tiffinfo={0x0112: orientation})
    image = read_image(path)
    assert image.shape == ((40, 24, 3) if orientation in (6, 8) else (24, 40, 3))
    assert image_size(path) == image.shape[:2]
    ((_, found),) = read_inputs(Image.open(path))
    np.testing.assert_array_equal(found, image)


def test_more_than_three_channels_are_upright_too(tmp_path: Path) -> None:
    rgba = Image.fromarray(np.dstack([noise(24, 40), np.full((24, 40), 9, np.uint8)]), "RGBA")
    path = save(tmp_path / "a.png", rgba, exif=exif_block("<", "H", 6))
    image = read_image(path, 4)
    assert image.shape == (40, 24, 4)
    np.testing.assert_array_equal(image[..., :3], read_image(path))
    assert image_size(path) == (40, 24)


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_cut_photo_with_a_thumbnail_is_an_error(tmp_path: Path, part: float) -> None:
    """The thumbnail in its EXIF has an end marker of its own."""
    buffer = io.BytesIO()
    as_rgb(noise(24, 40)).save(buffer, "JPEG")
    thumbnail = b"Exif\0\0" + exif_block("<", "H", 1) + buffer.getvalue()
    path = save(tmp_path / "whole.jpg", as_rgb(noise(400, 600)), exif=thumbnail)
    data = path.read_bytes()
    assert b"\xff\xd9" in data[: len(thumbnail) + 100]
    assert read_image(path).shape == (400, 600, 3)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(DataError, match=r"cut\.jpg: the image is cut off \(no end marker\)"):
        read_image(cut)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "RGBA", "P", "1", "CMYK"])
def test_a_pillow_image_is_its_file(tmp_path: Path, mode: str, orientation: int) -> None:
    if mode == "I;16":
        image = Image.fromarray(noise(24, 40)[..., 0].astype(np.uint16) * 257)
    else:
        image = as_rgb(noise(24, 40)).convert(mode)
    extension = "jpg" if mode == "CMYK" else "png"
    exif = exif_block(">", "H", orientation)
    path = save(tmp_path / f"a.{extension}", image, exif=exif)
    ((_, of_file),) = read_inputs(path)
    opened = Image.open(path)
    assert opened.mode == mode
    ((_, of_image),) = read_inputs(opened)
    assert of_image.shape == of_file.shape
    tolerance = 2 if mode == "CMYK" else 0
    assert np.abs(of_image.astype(int) - of_file).max() <= tolerance


def test_a_pillow_image_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mode 'F' has no known value range"):
        list(read_inputs(Image.fromarray(np.zeros((4, 4), np.float32))))
    path = save(tmp_path / "a.png", as_rgb(noise(100, 100)))
    path.write_bytes(path.read_bytes()[:2000])
    with (
        Image.open(path) as opened,
        pytest.raises(DataError, match="a Pillow image cannot be decoded"),
    ):
        list(read_inputs(opened))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_kind_that_is_looked_for_can_be_read(tmp_path: Path, extension: str) -> None:
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".mpo": "MPO", ".avif": "AVIF", ".dib": "BMP"}
    path = tmp_path / f"a{extension}"
    if extension in (".ras", ".sr"):  # Pillow reads them, and writes none
        path.write_bytes(cv2.imencode(extension, noise(40, 60))[1].tobytes())
    else:
        mode = "1" if extension == ".pbm" else "RGB"
        save(path, as_rgb(noise(40, 60)).convert(mode), format=formats.get(extension))
    image = read_image(path)
    assert image.shape == (40, 60, 3)
    assert image_size(path) == (40, 60)
    if extension != ".pbm":
        assert np.abs(image.astype(int) - noise(40, 60)).mean() < 12
    assert is_image(path)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_avif_is_upright(tmp_path: Path, orientation: int) -> None:
    """OpenCV leaves it as it is stored."""
    exif = exif_block(">", "H", orientation)
    path = save(tmp_path / "a.avif", as_rgb(noise(24, 40)), exif=exif)
    image = read_image(path)
    assert image.shape == ((40, 24, 3) if orientation >= 5 else (24, 40, 3))
    assert image_size(path) == image.shape[:2]
    with Image.open(path) as opened:
        ((_, found),) = read_inputs(opened)
    assert np.abs(found.astype(int) - image).mean() < 3


def test_a_size_that_no_image_has(tmp_path: Path) -> None:
    """OpenCV raises an error of its own there."""
    content = bytearray(cv2.imencode(".bmp", np.zeros((8, 8), np.uint8))[1].tobytes())
    content[18:22] = (2**21).to_bytes(4, "little")  # its width
    path = tmp_path / "x.bmp"
    path.write_bytes(content)
    for read in (read_gray, read_image):
        with pytest.raises(DataError, match=r"x\.bmp: .*(damaged|not an image)"):
            read(path)
