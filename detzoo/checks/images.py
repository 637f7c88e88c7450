"""Image files that are missing or damaged, or of another size than declared."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from detzoo.checks.finding import Finding, Split, at_images, tally
from detzoo.data.dataset import DetectionDataset
from detzoo.data.images import header_of, read_image
from detzoo.errors import DataError
from detzoo.files import check_regular

# Bits of a side of the perceptual hash.
HASH_SIZE = 16
# Its input; reducing the image to it takes less time than decoding.
_REDUCED = (8 * HASH_SIZE, 8 * HASH_SIZE)


@dataclass(frozen=True)
class ImageFile:
    """What the file of an image holds.

    ``problem`` says why it cannot be read; ``is_missing`` if there is none. ``size`` (height,
    width) is that of the image, turned by its ``orientation`` (1 to 8, of EXIF). ``digest`` is the
    hash of the bytes, ``looks`` (HASH_SIZE²,) bool that of what is seen, if ImageHash is installed.
    """

    is_missing: bool = False
    problem: str = ""
    size: tuple[int, int] | None = None
    orientation: int = 1
    digest: bytes = b""
    looks: np.ndarray | None = None


def read_files(
    dataset: DetectionDataset, progress: Callable[[], object] = lambda: None
) -> list[ImageFile]:
    """Decodes every image, on all cores; ``progress`` is called after each."""
    with_looks = importlib.util.find_spec("imagehash") is not None

    def read(i: int) -> ImageFile:
        file = _read_file(dataset, i, with_looks)
        progress()
        return file

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(pool.map(read, range(len(dataset))))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest


def check_files(split: Split, files: list[ImageFile]) -> Iterator[Finding]:
    """Missing and unreadable images, wrong declared sizes, orientation tags.

    ``files`` are those of the split, which has its ``true_sizes``.
    """
    missing = torch.tensor([file.is_missing for file in files])
    if missing.any():
        yield Finding(
            "image-missing",
            "error",
            split.name,
            tally("missing images", int(missing.sum()), len(files)),
            "Restore them, correct their names, or remove them from the annotations.",
            at_images(split, missing),
        )
    damaged = torch.tensor([bool(file.problem) and not file.is_missing for file in files])
    if damaged.any():
        yield Finding(
            "image-unreadable",
            "error",
            split.name,
            tally("unreadable images", int(damaged.sum()), len(files)),
            "Replace them, or remove them from the annotations.",
            at_images(split, damaged, lambda i: files[i].problem),
        )
    yield from _wrong_sizes(split, files)
    turned = torch.tensor([file.orientation > 1 for file in files])
    if turned.any() and not split.dataset.ignore_exif:
        yield Finding(
            "image-turned",
            "info",
            split.name,
            tally("images rotated by their EXIF tag", int(turned.sum()), len(files)),
            "They are rotated when they are read. If the annotation tool did not do that, boxes "
            "are misplaced: then give --ignore-exif, here and in training.",
            at_images(split, turned, lambda i: f"orientation {files[i].orientation}"),
        )


def true_sizes(dataset: DetectionDataset, files: list[ImageFile]) -> torch.Tensor:
    """(I, 2) heights and widths of the images, as declared where the file cannot be read."""
    declared = dataset.sizes.tolist()
    return torch.tensor([file.size or size for file, size in zip(files, declared)])


def _wrong_sizes(split: Split, files: list[ImageFile]) -> Iterator[Finding]:
    declared, true = split.dataset.sizes, split.image_sizes
    wrong = (declared != true).any(1)
    if not wrong.any():
        return

    def note(i: int) -> str:
        (height, width), (true_height, true_width) = declared[i].tolist(), true[i].tolist()
        exif = files[i].orientation >= 5 and (height, width) == (true_width, true_height)
        turned = ", turned by its EXIF tag" if exif else ""
        return f"declared {width} x {height}, is {true_width} x {true_height}{turned}"

    # Boxes that leave the true images were drawn on images of the declared sizes.
    annotations = split.dataset.annotations
    far = (annotations.boxes[:, :2] + annotations.boxes[:, 2:] - 1).flip(1)
    of_wrong = wrong[annotations.image_index]
    fits = (far[of_wrong] <= true[annotations.image_index[of_wrong]]).all()
    advice = (
        "All their boxes lie within the true images, so probably only the sizes are wrong: look at "
        "the pictures, and declare the true sizes."
        if fits
        else "Some of their boxes reach outside the true images: they belong to other versions of "
        "them. Scale or turn the boxes, or get the images that were annotated."
    )
    yield Finding(
        "wrong-size",
        "error",
        split.name,
        tally("images of another size than declared", int(wrong.sum()), len(files)),
        advice,
        at_images(split, wrong, note),
    )


def _read_file(dataset: DetectionDataset, i: int, with_looks: bool) -> ImageFile:
    path = dataset.path(i)
    try:
        check_regular(path)
        digest = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
        image = read_image(path, dataset.channels, ignore_exif=dataset.ignore_exif)
    except FileNotFoundError:
        return ImageFile(is_missing=True, problem="no such file")
    except OSError as error:
        return ImageFile(problem=f"cannot be read ({error.strerror})")
    except DataError as error:
        return ImageFile(problem=str(error).removeprefix(f"{path}: "))
    looks = _looks(image) if with_looks else None
    size = (image.shape[0], image.shape[1])
    return ImageFile(size=size, orientation=header_of(path)[1], digest=digest, looks=looks)


def _looks(image: np.ndarray) -> np.ndarray:
    """The perceptual hash of an image (H, W, C): (HASH_SIZE²,) bool."""
    from imagehash import phash
    from PIL import Image

    gray = np.ascontiguousarray(image[..., : 3 if image.shape[2] >= 3 else 1])
    if gray.shape[2] == 3:
        gray = cv2.cvtColor(gray, cv2.COLOR_BGR2GRAY)
    reduced = cv2.resize(gray, _REDUCED, interpolation=cv2.INTER_AREA)
    bits: np.ndarray = phash(Image.fromarray(reduced), HASH_SIZE).hash
    return bits.reshape(-1)
