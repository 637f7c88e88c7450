"""Published weight files, and their locations on this machine. Imports nothing heavy."""

from __future__ import annotations

import os
import posixpath
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from detzoo.errors import CheckpointError
from detzoo.weights.hosts import OPENMMLAB

# How files of weights end.
SUFFIXES = (".pth", ".pt", ".tar", ".pyth", ".pkl", ".safetensors", ".npz")  # .pth.tar
# Of a run, in the order of preference.
RUN_CHECKPOINTS = ("best.pt", "last.pt")
# How addresses of files on the Hugging Face Hub start.
HUB = "hf://"
# Names of published files end with the first digits of their hash; a date is not a hash.
_DIGITS = re.compile(r"-(?!(?:19|20)[0-9]{6}\.)([0-9a-f]{8})\.\w+$")


@dataclass(frozen=True)
class Published:
    """A published file: its path below the root of a user's mirror, and its addresses, in the order
    in which they are tried.
    """

    path: str
    addresses: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return Path(self.path).name

    @property
    def local_paths(self) -> tuple[str, ...]:
        """Possible paths of the file in a folder of weights.

        A name without a hash, such as Detectron2's ``R-50.pkl``, is not sufficient by itself, since
        other files have the same name.
        """
        if hash_digits(self.name) is None:
            return (self.path,)
        return tuple(dict.fromkeys((self.name, self.path)))


def openmmlab_file(path: str) -> Published:
    """The file at ``path`` on OpenMMLab's hosts.

    Users' mirrors contain what was below ``mmdetection/v2.0`` and ``pretrain`` without these
    folders.
    """
    below_mirror = path.removeprefix("mmdetection/v2.0/").removeprefix("pretrain/")
    return Published(below_mirror, tuple(host.at(path) for host in OPENMMLAB))


def zoo_file(path: str) -> Published:
    """The weights of a detector in MMDetection's zoo, by their path below its version's folder."""
    return openmmlab_file(f"mmdetection/v2.0/{path}")


def is_address(source: Path | str) -> bool:
    """Whether ``source`` is a web address or a Hugging Face Hub address (``hf://``)."""
    return isinstance(source, str) and source.startswith(("https://", "http://", HUB))


def checkpoint_of_run(path: Path | str) -> Path:
    """The checkpoint in the folder of a run; any other path as it is."""
    files = (Path(path) / name for name in RUN_CHECKPOINTS)
    return next((file for file in files if file.is_file()), Path(path))


def file_at(address: str) -> Published:
    """The file at a web address; for OpenMMLab's files, all their hosts are tried.

    Raises :class:`CheckpointError` if the address contains no file name.
    """
    paths = (host.path_of(address) for host in OPENMMLAB)
    path = next((path for path in paths if path is not None), None)
    if path is not None:
        return openmmlab_file(_checked(path, address))
    below = address.partition("://")[2].partition("?")[0].partition("#")[0]
    return Published(_checked(urllib.parse.unquote(below), address), (address,))


def _checked(path: str, address: str) -> str:
    """Returns ``path`` if it has no ``..``, since it becomes a path in the cache."""
    path = posixpath.normpath(f"/{path}").lstrip("/")
    if not path.isprintable() or Path(path).suffix not in SUFFIXES:
        raise CheckpointError(
            f"{address}: is not the address of a weight file. It should end with one of "
            f"{', '.join(SUFFIXES)}."
        )
    return path


def hash_digits(name: str) -> str | None:
    """The hash digits at the end of a published file's name, if any."""
    found = _DIGITS.search(name)
    return None if found is None else found.group(1)


def find_local_file(file: Published) -> Path | None:
    """The path of ``file`` on this machine; None if it is not there."""
    paths = (place / path for place in weight_directories() for path in file.local_paths)
    return next((path for path in paths if path.is_file()), None)


def weight_directories() -> list[Path]:
    """The folders in which weights are searched for, in order."""
    listed = [Path(p) for p in os.environ.get("DETZOO_WEIGHTS", "").split(os.pathsep) if p]
    torch_home = Path(os.environ.get("TORCH_HOME", _caches() / "torch")).expanduser()
    return [*listed, cache_directory(), torch_home / "hub" / "checkpoints"]


def cache_directory() -> Path:
    """The folder of downloaded files."""
    return _caches() / "detzoo" / "weights"


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
