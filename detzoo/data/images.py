"""Reading image files."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import cv2
import numpy as np

from detzoo.errors import DataError

# What a data set's folder may hold; OpenCV decodes them all.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2")

_EXIF_ORIENTATION = 0x0112
_FLAGS = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}
_AS_STORED = cv2.IMREAD_UNCHANGED
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def read_image(path: str | os.PathLike[str], channels: int = 3) -> np.ndarray:
    """The pixels (H, W, 3) uint8 BGR, upright: exactly what ``cv2.imread`` returns.

    One channel is the image in gray, (H, W, 1). More than three are those of the file, as they are
    stored: BGR and alpha of a PNG, the bands of a TIFF.

    EXIF rotation is applied. Gray images become three equal channels, palettes and CMYK become
    BGR, of 16 bits the upper eight remain, and an alpha channel is dropped: transparent pixels
    show the color that is stored under them. Raises :class:`DataError` for a file that is
    missing, empty, cut off or no image.
    """
    data = _read_bytes(path)
    if data.startswith(_JPEG_START) and _JPEG_END not in data:
        # Decoders before OpenCV 5 fill what is missing with gray and say nothing.
        raise DataError(
            f"{path}: the image is cut off (no end marker). Copy it again or remove it."
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS.get(channels, _AS_STORED))
    except cv2.error:
        image = None
    if image is not None and image.ndim == 2:
        image = image[..., None]
    if image is not None and image.shape[2] != channels:
        raise DataError(
            f"{path}: has {image.shape[2]} channels, and the model looks at {channels} (as many "
            "as its pixels.mean has). Convert the image, or take a model for such images."
        )
    if image is None or image.dtype != np.uint8:
        raise DataError(
            f"{path}: cannot be decoded as an image: it is damaged, cut off, or of a kind that "
            "OpenCV cannot read. Replace it, or remove it from the data set."
        )
    return image


def read_grey(path: str | os.PathLike[str]) -> np.ndarray:
    """The values (H, W) of an image of one channel, as stored: uint8 or uint16.

    Raises :class:`DataError` for a file that is missing, damaged or of another kind.
    """
    image = cv2.imdecode(np.frombuffer(_read_bytes(path), np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        raise DataError(f"{path}: is damaged, or not an image of one channel.")
    return image


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of :func:`read_image`'s result; of a JPEG or PNG only the header is read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, which are not decoded here.
            warnings.simplefilter("ignore")
            with Image.open(path) as header:
                kind, (width, height) = header.format, header.size
                turned = header.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError):
        kind = None
    if kind not in ("JPEG", "PNG"):
        height, width = read_image(path).shape[:2]
        return height, width
    return (width, height) if turned else (height, width)


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    file = Path(path)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such image file.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not an image file.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    if not data:
        raise DataError(f"{path}: the image file is empty. Copy it again or remove it.")
    return data
