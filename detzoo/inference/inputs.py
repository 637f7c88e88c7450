"""Reads the inputs of a predictor one by one: files, folders, patterns, addresses, pixels."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from detzoo.data.images import EXTENSIONS, decode_image, exif_orientation, read_image, upright
from detzoo.errors import DataError
from detzoo.files import check_regular

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from typing_extensions import TypeIs

ImageLike = Union[str, "os.PathLike[str]", bytes, np.ndarray, "Image", "Tensor"]
_PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
# Of an image that is downloaded.
MOST_BYTES = 1 << 28
VIDEO_EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def is_picture_address(item: str) -> bool:
    """Whether it is a web address that ends like the name of an image file."""
    return is_web_address(item) and re.split(r"[?#]", item)[0].lower().endswith(EXTENSIONS)


def is_web_address(item: object) -> TypeIs[str]:
    return isinstance(item, str) and item.lower().startswith(("http://", "https://"))


def read_web_image(address: str, channels: int = 3) -> np.ndarray:
    """Downloads the image at a web address; see :func:`detzoo.data.images.read_image`.

    Raises :class:`DataError` where it cannot be had.
    """
    # Not for commands that take no such image: these import PyTorch.
    from detzoo.weights.download import DownloadError, read_address
    from detzoo.weights.locate import downloads_allowed

    why = "downloads are turned off, since DETZOO_MIRRORS is empty"
    if downloads_allowed():
        try:
            return decode_image(read_address(address, MOST_BYTES), address, channels)
        except DownloadError as error:
            why = str(error)
    raise DataError(
        f"{address}: cannot be downloaded ({why}). Check the address, or give the image as a file."
    )


def find_files(item: str | os.PathLike[str]) -> list[Path]:
    """Returns the images that ``item`` refers to: a file, a folder of images, or a pattern.

    The images of a folder or pattern are sorted by name. Raises :class:`DataError` if there are
    none.
    """
    path = Path(item)
    check_regular(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if is_image(file))
        if not files:
            raise DataError(
                f"{path}: contains no image ({', '.join(EXTENSIONS)}). To find images in "
                f"subfolders, use a pattern: '{path}/**/*.jpg'."
            )
        return files
    if path.is_file():
        return [path]
    if glob.has_magic(str(item)):
        files = [Path(name) for name in sorted(glob.glob(str(item), recursive=True))]
        files = [file for file in files if is_image(file) or is_video(file)]
        if files:
            return files
        raise DataError(f"{item}: the pattern matches no image.")
    raise DataError(f"{path}: no such image file or folder.")


def left_out(item: str | os.PathLike[str], files: Sequence[Path]) -> str:
    """Describes what a folder or pattern contains besides ``files``; empty if nothing."""
    path = Path(item)
    names = [] if path.is_file() else glob.glob(str(item), recursive=True)
    others = sorted({*path.iterdir()} if path.is_dir() else {Path(name) for name in names})
    others = [other for other in others if other not in files and not other.name.startswith(".")]
    folders = [other for other in others if other.is_dir()]
    videos = [other for other in others if is_video(other)]
    rest = [other for other in others if other not in folders and other not in videos]
    kinds = sorted({other.suffix.lower() or "no extension" for other in rest})
    counted = (
        (len(folders), "sub-folder" if len(folders) == 1 else "sub-folders"),
        (len(videos), "video" if len(videos) == 1 else "videos"),
        (len(rest), f"of types that OpenCV does not read ({', '.join(kinds)})"),
    )
    return ", ".join(f"{count} {what}" for count, what in counted if count)


def is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_EXTENSIONS


def read_inputs(
    inputs: ImageLike | Iterable[ImageLike],
    channels: int = 3,
    on_error: Callable[[DataError], None] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (path, image) for every input in order; the path is empty for inputs without a file,
    and the address of an image on the web (http, https), which is downloaded.

    Images are (H, W, 3) uint8 BGR. Arrays must be BGR, as in OpenCV, or grayscale (H, W); Pillow
    images are converted as :func:`detzoo.data.images.read_image` converts their files, including
    EXIF rotation and 16-bit values; bytes are the content of such a file. Tensors are (3, H, W)
    RGB or (1, H, W) gray, on any device, uint8 or floats from 0 to 1, as torchvision has them.
    Arrays and tensors with another dimension before these are as many images. For other numbers of
    ``channels`` see there. Raises :class:`DataError` for anything that is not an image, or passes
    the error to ``on_error`` and continues.
    """
    if isinstance(inputs, (str, os.PathLike, bytes, np.ndarray)) or (
        _is_pillow(inputs) or _is_tensor(inputs)
    ):
        inputs = [inputs]
    for item in inputs:
        for source in _images_of(item):
            try:
                if isinstance(source, Path):
                    pair = str(source), read_image(source, channels)
                elif isinstance(source, str):
                    pair = source, read_web_image(source, channels)
                else:
                    pair = "", _to_array(source, channels)
            except DataError as error:
                if on_error is None:
                    raise
                on_error(error)
                continue
            yield pair


def _images_of(item: ImageLike) -> Sequence[object]:
    """The files, or the images of a batch; otherwise the item itself."""
    if isinstance(item, (str, os.PathLike)) and not is_web_address(item):
        return find_files(item)
    if (isinstance(item, np.ndarray) or _is_tensor(item)) and item.ndim == 4:
        return list(item)
    return [item]


def _is_tensor(item: object) -> TypeIs[Tensor]:
    torch = sys.modules.get("torch")  # without which there are none
    return torch is not None and isinstance(item, torch.Tensor)


def _is_pillow(item: object) -> TypeIs[Image]:
    return type(item).__module__.startswith("PIL.")


def _to_array(item: object, channels: int) -> np.ndarray:
    if _is_pillow(item):
        return _from_pillow(item, channels)
    if _is_tensor(item):
        return _from_tensor(item, channels)
    if isinstance(item, bytes):
        return decode_image(item, f"{len(item)} bytes", channels)
    if not isinstance(item, np.ndarray):
        raise DataError(
            f"a {type(item).__name__} is not an image: give paths, bytes of image files, "
            "NumPy arrays, tensors or Pillow images."
        )
    if item.dtype != np.uint8:
        raise DataError(
            f"an array of {item.dtype} is not an image: give uint8 values from 0 to 255 (BGR)."
        )
    if item.ndim == 2 and channels in (1, 3):
        item = np.repeat(item[..., None], channels, axis=2)
    if item.ndim != 3 or item.shape[2] != channels or 0 in item.shape:
        color = " in BGR, or (height, width) in grayscale" if channels == 3 else ""
        raise DataError(
            f"an array of shape {item.shape} is not an image for this model: give (height, width, "
            f"{channels}){color}."
        )
    return item


def _from_pillow(item: Image, channels: int) -> np.ndarray:
    """Converts a Pillow image to what :func:`read_image` returns for its file."""
    mode = _PILLOW_MODES.get(channels)
    if mode is None:
        raise DataError(
            f"a Pillow image cannot have the {channels} channels that the model expects: "
            "give files or arrays."
        )
    if item.mode in ("I", "F"):
        raise DataError(
            f"a Pillow image of mode {item.mode!r} has no known value range: scale its "
            "values to 0 ... 255 and convert it to mode 'L'."
        )
    try:
        if item.mode.startswith("I;16"):
            upper = (np.asarray(item) >> 8).astype(np.uint8)
            pixels = upper[..., None].repeat(channels, axis=2)
        else:
            pixels = np.asarray(item.convert(mode))
    except OSError as error:  # Pillow reads files lazily
        raise DataError(f"a Pillow image cannot be decoded: {error}.") from None
    pixels = _swap_red_and_blue(pixels.reshape(*pixels.shape[:2], channels))
    return upright(pixels, exif_orientation(item.info.get("exif", b"")))


def _from_tensor(item: Tensor, channels: int) -> np.ndarray:
    """(C, H, W) in RGB as torchvision reads images -> (H, W, C) uint8 BGR."""
    import torch

    grays = (1,) if channels == 3 else ()
    if item.ndim != 3 or item.shape[0] not in (channels, *grays) or 0 in item.shape:
        color = " in RGB, or (1, height, width) in grayscale" if channels == 3 else ""
        raise DataError(
            f"a tensor of shape {tuple(item.shape)} is not an image for this model: give "
            f"({channels}, height, width){color}, or a batch of them."
        )
    item = item.detach()
    if item.is_floating_point():
        item = item.float()
        low, high = (value.item() for value in item.aminmax())
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"a tensor of values from {low:.3g} to {high:.3g} is not an image: give floats "
                "from 0 to 1, which are not normalized, or uint8 values from 0 to 255."
            )
        item = (item * 255).round().to(torch.uint8)
    if item.dtype != torch.uint8:
        raise DataError(
            f"a tensor of {item.dtype} is not an image: give uint8 values from 0 to 255, or "
            "floats from 0 to 1."
        )
    pixels = item.cpu().expand(channels, -1, -1).permute(1, 2, 0).numpy()
    return _swap_red_and_blue(pixels)


def _swap_red_and_blue(pixels: np.ndarray) -> np.ndarray:
    """RGB or RGBA (H, W, C) as BGR or BGRA; the channels of other images stay as they are."""
    if pixels.shape[2] not in (3, 4):
        return pixels
    return np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)
