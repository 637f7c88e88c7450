"""Reading image files."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import cv2
import numpy as np

from detzoo.errors import DataError
from detzoo.files import check_regular

# What OpenCV decodes. It goes by the content: a file of another name is read as well.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".jp2", ".gif", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".ras", ".sr"),
)

_EXIF_ORIENTATION = 0x0112
_AVIF = b"ftyp"  # from the fifth byte on
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Formats, as Pillow calls them, whose size in the header is the one that OpenCV decodes.
_SIZED_BY_HEADER = ("JPEG", "MPO", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
_FLAGS = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}
_AS_STORED = cv2.IMREAD_UNCHANGED
_LFS_POINTER = b"version https://git-lfs.github.com"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Markers of a JPEG: where the pixels start; those that have no length.
_START_OF_SCAN, _BARE_MARKERS = 0xDA, (0x01, *range(0xD0, 0xD9))


def read_image(
    path: str | os.PathLike[str], channels: int = 3, *, ignore_exif: bool = False
) -> np.ndarray:
    """The pixels (H, W, 3) uint8 BGR, upright: exactly what ``cv2.imread`` returns.

    One channel is the image in gray, (H, W, 1). More than three are those of the file, as they are
    stored: BGR and alpha of a PNG, the bands of a TIFF.

    EXIF rotation is applied, see :func:`exif_orientation`, unless ``ignore_exif``: then images are
    as they lie in the file (but for TIFF, whose own orientation OpenCV always applies). Gray images
    become three equal channels, palettes and CMYK become BGR, of 16 bits the upper eight remain,
    and an alpha channel is dropped: transparent pixels show the color that is stored under them.
    Raises :class:`DataError` for a file that is missing, empty, cut off or no image.
    """
    return decode_image(_read_bytes(path), path, channels, ignore_exif=ignore_exif)


def decode_image(
    data: bytes,
    path: str | os.PathLike[str],
    channels: int = 3,
    *,
    ignore_exif: bool = False,
) -> np.ndarray:
    """What :func:`read_image` returns for a file of this content; errors name ``path``."""
    if data.startswith(_JPEG_START) and data.find(_JPEG_END, _first_scan(data)) < 0:
        # Decoders before OpenCV 5 fill what is missing with gray and say nothing.
        raise DataError(
            f"{path}: the image is cut off (no end marker). Copy it again or remove it."
        )
    flags = _FLAGS.get(channels, _AS_STORED)
    if ignore_exif:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is not None and image.ndim == 2:
        image = image[..., None]
    is_unturned = channels not in _FLAGS and not data.startswith(_TIFF_STARTS)
    if image is not None and not ignore_exif and (is_unturned or data[4:8] == _AVIF):
        # OpenCV leaves those as they lie in the file.
        image = upright(image, _header(io.BytesIO(data))[1])
    if image is not None and image.shape[2] != channels:
        raise DataError(
            f"{path}: has {image.shape[2]} channels, and the model looks at {channels} (as many "
            "as its pixels.mean has). Convert the image, or take a model for such images."
        )
    if image is None and data.startswith(_LFS_POINTER):
        raise DataError(
            f"{path}: is a pointer of Git LFS, not the image itself. Run 'git lfs pull' in its "
            "repository."
        )
    if image is None or image.dtype != np.uint8:
        raise DataError(
            f"{path}: cannot be decoded as an image: it is damaged, cut off, or of a kind that "
            "OpenCV cannot read. Replace it, or leave it out."
        )
    return image


def read_gray(path: str | os.PathLike[str]) -> np.ndarray:
    """The values (H, W) of an image of one channel, as stored: uint8 or uint16.

    Raises :class:`DataError` for a file that is missing, damaged or of another kind.
    """
    try:
        image = cv2.imdecode(np.frombuffer(_read_bytes(path), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # such as of sizes that nobody has
        image = None
    if image is None or image.ndim != 2:
        raise DataError(f"{path}: is damaged, or not an image of one channel.")
    return image


def image_size(path: str | os.PathLike[str], *, ignore_exif: bool = False) -> tuple[int, int]:
    """(height, width) of :func:`read_image`'s result, from the header in all common formats."""
    size, orientation = header_of(path)
    if size is None:
        height, width = read_image(path, ignore_exif=ignore_exif).shape[:2]
        return height, width
    height, width = size
    return (width, height) if orientation >= 5 and not ignore_exif else (height, width)


def header_of(path: str | os.PathLike[str]) -> tuple[tuple[int, int] | None, int]:
    """The (height, width) as stored and the EXIF orientation; None where decoding must tell the
    size.

    Orientations of TIFF are part of the format: they are applied to its size, and 1 is returned.
    """
    check_regular(path)
    return _header(path)


def _header(file: str | os.PathLike[str] | io.BytesIO) -> tuple[tuple[int, int] | None, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, which are not decoded here.
            warnings.simplefilter("ignore")
            with Image.open(file) as header:
                width, height = header.size
                orientation = exif_orientation(header.info.get("exif", b""))
                size = (height, width) if header.format in _SIZED_BY_HEADER else None
                return size, orientation
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None, 1


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1 (upright) to 8, in a block of EXIF, as OpenCV understands it.

    It is the first two bytes of the tag's value, whatever the type of that; 1 where there is no
    tag, or one that says anything else. What XMP says of it does not count.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = "big" if tiff.startswith(b"MM") else "little"

    def number(start: int, length: int) -> int:
        return int.from_bytes(tiff[start : start + length], order)  # type: ignore[arg-type]

    directory = number(4, 4)
    for k in range(number(directory, 2)):
        entry = directory + 2 + 12 * k
        if number(entry, 2) == _EXIF_ORIENTATION:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image (H, W, C) that is stored in an EXIF ``orientation``, turned and mirrored back."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _first_scan(data: bytes) -> int:
    """Where the pixels of a JPEG start: a thumbnail before them has an end of its own."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != _START_OF_SCAN:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
        elif marker in _BARE_MARKERS:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    file = Path(path)
    check_regular(file)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such image file.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not an image file.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:  # a null byte or half a character in the name
        raise DataError(f"{path}: is no name of a file ({error}).") from None
    if not data:
        raise DataError(f"{path}: the image file is empty. Copy it again or remove it.")
    return data
