"""Published files of weights, and where on this machine they may be. Imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# MMDetection's hosts, the present one and the one before. Neither can be relied on: the first no
# longer answers, the second was left when the first was opened.
OPENMMLAB = (
    "https://download.openmmlab.com/mmdetection/v2.0",
    "https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/v2.0",
)
# How files of weights end.
SUFFIXES = (".pth", ".pt", ".pyth", ".pkl", ".safetensors", ".npz")


@dataclass(frozen=True)
class Published:
    """A published file: its path below the root of a mirror, and where its publisher put it."""

    path: str
    addresses: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return Path(self.path).name


def find_local_file(file: Published) -> Path | None:
    """``file`` on this machine, None where it is not there."""
    paths = (place / name for place in weight_directories() for name in (file.name, file.path))
    return next((path for path in paths if path.is_file()), None)


def weight_directories() -> list[Path]:
    """Where weights are looked for, in order."""
    listed = [Path(p) for p in os.environ.get("DETZOO_WEIGHTS", "").split(os.pathsep) if p]
    torch_home = Path(os.environ.get("TORCH_HOME", _caches() / "torch")).expanduser()
    return [*listed, cache_directory(), torch_home / "hub" / "checkpoints"]


def cache_directory() -> Path:
    """Where downloads are kept."""
    return _caches() / "detzoo" / "weights"


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
