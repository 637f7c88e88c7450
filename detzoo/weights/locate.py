"""Finds published weight files in folders of this machine, or downloads them.

A file is searched for in the folders of ``DETZOO_WEIGHTS`` (separated like ``PATH``), by its name
or its published path, then in detzoo's and torch's caches. Otherwise it is downloaded to detzoo's
cache: from the roots in ``DETZOO_MIRRORS`` (separated by spaces) in order, then from the hosts of
``weights/hosts.py``. If ``DETZOO_MIRRORS`` is set but empty, nothing is downloaded.
"""

from __future__ import annotations

import itertools
import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from detzoo.errors import CheckpointError, ConfigError
from detzoo.weights.hub import find_hub_file
from detzoo.weights.places import (
    HUB,
    Published,
    cache_directory,
    checkpoint_of_run,
    file_at,
    find_local_file,
    is_address,
    weight_directories,
)


def local_file(source: Path | str) -> Path:
    """Returns the path ``source``, the checkpoint in it if it is the folder of a run, or the local
    file of an address, downloaded if necessary.

    Raises :class:`CheckpointError` if a download fails.
    """
    if not is_address(source):
        return checkpoint_of_run(source)
    address = str(source)
    if address.startswith(HUB):
        return find_hub_file(address, offline=not downloads_allowed())
    return find_published_file((file_at(address),), address, "give the path of a file")


def find_published_file(
    files: Sequence[Published],
    purpose: str,
    alternative: str,
    unreachable: set[str] | None = None,
) -> Path:
    """Returns one of ``files``, which have the same weights, on this machine; downloads if
    necessary.

    Hosts in ``unreachable`` are skipped; those that cannot be reached are added.

    Raises :class:`CheckpointError`, which states what the file is for, the folders and addresses
    tried, and alternatives.
    """
    for file in files:
        local = find_local_file(file)
        if local is not None:
            return local
    why = ""
    requests = addresses(files)
    if requests:
        from detzoo.weights.download import DownloadError, download

        unreachable = set() if unreachable is None else unreachable
        failures = []
        for file, group in itertools.groupby(requests, key=lambda request: request[0]):
            target = cache_directory() / file.local_paths[0]
            try:
                download([address for _, address in group], target, unreachable)
                return target
            except DownloadError as error:
                failures += str(error).splitlines()
        listed = "\n  ".join(failures)
        why = f"It cannot be downloaded:\n  {listed}\n"
    tried = "\n  ".join(str(place) for place in weight_directories())
    names = " or ".join(file.local_paths[0] for file in files)
    raise CheckpointError(
        f"{purpose}: no file {names} in any of\n  {tried}\n{why}"
        "Put it into one of these folders, point DETZOO_WEIGHTS to its folder, set a mirror in "
        f"DETZOO_MIRRORS, or {alternative}."
    )


def addresses(files: Sequence[Published]) -> list[tuple[Published, str]]:
    """The addresses to try for ``files``, in order: those on the user's mirrors, then the files'
    own. Empty if downloads are turned off.

    Raises :class:`ConfigError` for a mirror without a web address.
    """
    if not downloads_allowed():
        return []
    roots = os.environ.get("DETZOO_MIRRORS", "").split()
    for root in roots:
        if urllib.parse.urlsplit(root).scheme not in ("http", "https"):
            raise ConfigError(
                f"DETZOO_MIRRORS: {root!r} is not an http or https address. Separate addresses "
                "with spaces; local folders belong in DETZOO_WEIGHTS."
            )
    mirrored = [
        (file, f"{root.rstrip('/')}/{urllib.parse.quote(file.path)}")
        for file in files
        for root in roots
    ]
    return mirrored + [(file, address) for file in files for address in file.addresses]


def downloads_allowed() -> bool:
    """Whether downloads are allowed: false if ``DETZOO_MIRRORS`` is set but empty."""
    return os.environ.get("DETZOO_MIRRORS", "default").strip() != ""
