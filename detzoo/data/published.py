"""Data sets to download: where their archives are, and how they are verified and unpacked."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detzoo.errors import CheckpointError, DataError
from detzoo.weights.download import DownloadError, download

_COCO = "http://images.cocodataset.org"
_LVIS = "https://dl.fbaipublicfiles.com/LVIS"
_VOC = ("http://host.robots.ox.ac.uk/pascal/VOC", "https://thor.robots.ox.ac.uk/pascal/VOC")
_OBJECTS365 = (
    "https://dorc.ks3-cn-beijing.ksyun.com/data-set/2020Objects365%E6%95%B0%E6%8D%AE%E9%9B%86"
)
_BLOCK = 1 << 22
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error)


@dataclass(frozen=True)
class Archive:
    """An archive of ``size`` bytes at any of ``addresses``, whose content goes into ``folder``.

    ``digits`` are its SHA-256, or its MD5 where only that has been published; size and hash are
    None where neither has. Those of one data set have names of their own: ``is_in_folder`` adds the
    folder to them, where archives are called alike. A JSON file is taken as it is.
    """

    addresses: tuple[str, ...]
    size: int | None = None
    digits: str | None = None
    folder: str = ""
    is_in_folder: bool = False

    @property
    def name(self) -> str:
        name = self.addresses[0].rpartition("/")[2]
        return f"{self.folder}/{name}" if self.is_in_folder else name


def _voc(path: str, size: int, digits: str) -> Archive:
    return Archive(tuple(f"{host}/{path}" for host in _VOC), size, digits)


_COCO_IMAGES = (
    Archive(
        (f"{_COCO}/zips/val2017.zip",),
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
    ),
    Archive(
        (f"{_COCO}/zips/train2017.zip",),
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
    ),
)


def _objects365(path: str, folder: str) -> Archive:
    return Archive((f"{_OBJECTS365}/{path}",), folder=folder, is_in_folder=True)


# Small archives come first. Sizes and hashes are those that TensorFlow Datasets and torchvision
# verify.
DATA_SETS: dict[str, tuple[Archive, ...]] = {
    "coco2017": (
        Archive(
            (f"{_COCO}/annotations/annotations_trainval2017.zip",),
            252_907_541,
            "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        ),
        *_COCO_IMAGES,
    ),
    "lvis": (
        Archive(
            (f"{_LVIS}/lvis_v1_val.json.zip",),
            64_026_968,
            "5cae9a3c79aadb667550c2b5dcf7f4d86e059a41ec91ef690225b667e28e9ba5",
            "annotations",
        ),
        Archive(
            (f"{_LVIS}/lvis_v1_train.json.zip",),
            350_264_821,
            "334a4caa374030a7817cf050364525e910f7960f9b6968cef47cffbf3893f8ba",
            "annotations",
        ),
        *_COCO_IMAGES,
    ),
    "voc2007": (
        _voc("voc2007/VOCtest_06-Nov-2007.tar", 451_020_800, "b6e924de25625d8de591ea690078ad9f"),
        _voc(
            "voc2007/VOCtrainval_06-Nov-2007.tar", 460_032_000, "c52e279531787c972589f7e41ab4ae64"
        ),
    ),
    "voc2012": (
        _voc(
            "voc2012/VOCtrainval_11-May-2012.tar", 1_999_639_040, "6cd6e144f989b92b3379bac3b3de84fd"
        ),
    ),
    # Its authors have published neither sizes nor hashes.
    "objects365v2": (
        _objects365("val/zhiyuan_objv2_val.json", "annotations"),
        _objects365("train/zhiyuan_objv2_train.tar.gz", "annotations"),
        *(_objects365(f"val/images/v1/patch{k}.tar.gz", "val") for k in range(16)),
        *(_objects365(f"val/images/v2/patch{k}.tar.gz", "val") for k in range(16, 44)),
        *(_objects365(f"train/patch{k}.tar.gz", "train") for k in range(51)),
    ),
}


def get_archive(archive: Archive, folder: Path, *, mirror: str | None = None, keep: bool) -> bool:
    """Downloads, verifies and unpacks an archive into ``folder``; False if it was there already.

    ``mirror`` is an address to which its name is added, and which is tried first. The archive is
    removed afterwards unless ``keep``. An interrupted download is resumed. Raises
    :class:`DataError`.
    """
    path = folder / archive.name
    mark = path.with_name(f".{path.name}.unpacked")
    if mark.is_file():
        return False
    addresses = archive.addresses
    if mirror is not None:
        addresses = (f"{mirror.rstrip('/')}/{archive.name}", *addresses)
    _check_space(archive, folder, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(addresses, path, verify=lambda file: _fault_of(file, archive))
    except DownloadError as error:
        raise DataError(
            f"{archive.name}: cannot be downloaded. Download it in another way, put it into "
            f"{folder}, and give the same command again.\n{error}"
        ) from None
    except CheckpointError as error:  # it cannot be written
        raise DataError(str(error)) from None
    fault = _fault_of(path, archive)  # another program may have put it there
    if fault is not None:
        raise DataError(f"{path}: {fault}. Remove it, and give the same command again.")
    try:
        _unpack(path, folder / archive.folder, archive.digits is not None)
        mark.touch()
        if not keep and path.suffix != ".json":
            path.unlink()
    except _DAMAGE as error:
        raise DataError(
            f"{path}: cannot be unpacked ({error}). Remove it, and give the same command again."
        ) from None
    except OSError as error:
        raise DataError(
            f"{folder}: {archive.name} cannot be unpacked ({error.strerror}). Free some disk "
            "space, and give the same command again."
        ) from None
    return True


def _check_space(archive: Archive, folder: Path, path: Path) -> None:
    """Images hardly shrink, so an archive needs its size twice."""
    if archive.size is None:
        return
    needed = archive.size * (1 if path.is_file() else 2)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {archive.name} needs {needed / 1e9:.1f} GB to be downloaded and unpacked, "
            f"and {free / 1e9:.1f} GB are free. Free some space, or give another folder."
        )


def _fault_of(path: Path, archive: Archive) -> str | None:
    """What is wrong with a downloaded archive, if anything is known of it."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"it has {size} bytes instead of {archive.size}"
    if archive.digits is None:
        return None
    digest = hashlib.sha256() if len(archive.digits) == 64 else hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != archive.digits:
        return f"its content does not match the published hash {archive.digits}"
    return None


def _unpack(path: Path, folder: Path, is_known: bool) -> None:
    """``is_known`` says that its content is that of a published hash, so that names are trusted."""
    folder.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        return
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as content:
            content.extractall(folder)
    else:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(folder, filter="data")  # nothing outside of the folder
            elif is_known:
                tar.extractall(folder)
            else:
                raise tarfile.TarError("this Python cannot unpack it safely; update it")
            while stream.read(_BLOCK):  # gzip's checksum is at the end
                pass


def chosen(name: str, only: Sequence[str]) -> list[Archive]:
    """The archives of a data set whose names start with any of ``only``; all, if it is empty."""
    archives = DATA_SETS[name]
    if not only:
        return list(archives)
    wanted = [one for one in archives if one.name.startswith(tuple(only))]
    missing = [text for text in only if not any(one.name.startswith(text) for one in archives)]
    if missing:
        raise DataError(
            f"--only {missing[0]}: no archive of {name} is called so; there are "
            f"{', '.join(one.name for one in archives)}."
        )
    return wanted
