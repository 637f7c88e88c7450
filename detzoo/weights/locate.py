"""Where published files of weights are: in folders of this machine, or at mirrors.

A file is looked for in the folders of ``DETZOO_WEIGHTS`` (separated like ``PATH``), by its name or
by its published path, then in detzoo's and torch's caches. Otherwise it is downloaded into detzoo's
cache: from the roots in ``DETZOO_MIRRORS`` (separated by spaces) in order, then from where it was
published. With ``DETZOO_MIRRORS`` set to nothing, nothing is downloaded.
"""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

from detzoo.errors import CheckpointError, ConfigError
from detzoo.weights.places import Published, cache_directory, find_local_file, weight_directories


def find_published_file(file: Published, purpose: str, alternative: str) -> Path:
    """``file`` on this machine, downloaded if need be.

    Raises :class:`CheckpointError`, which says what the file was for, the places and addresses
    tried, and what else can be done.
    """
    local = find_local_file(file)
    if local is not None:
        return local
    target = cache_directory() / file.name
    addresses = _addresses(file)
    why = ""
    if addresses:
        from detzoo.weights.download import DownloadError, download

        try:
            download(addresses, target)
            return target
        except DownloadError as error:
            failures = str(error).replace("\n", "\n  ")
            why = f"It cannot be downloaded:\n  {failures}\n"
    tried = "\n  ".join(str(place) for place in weight_directories())
    raise CheckpointError(
        f"{purpose}: no file {file.name} in any of\n  {tried}\n{why}"
        "Put it into one of these folders, point DETZOO_WEIGHTS at its folder, name a mirror in "
        f"DETZOO_MIRRORS, or {alternative}."
    )


def _addresses(file: Published) -> list[str]:
    listed = os.environ.get("DETZOO_MIRRORS")
    if listed is not None and not listed.strip():
        return []
    roots = (listed or "").split()
    for root in roots:
        if urllib.parse.urlsplit(root).scheme not in ("http", "https"):
            raise ConfigError(
                f"DETZOO_MIRRORS: {root!r} is not an http or https address. Separate addresses by "
                "spaces; folders of this machine go into DETZOO_WEIGHTS."
            )
    below = urllib.parse.quote(file.path)
    return [*(f"{root.rstrip('/')}/{below}" for root in roots), *file.addresses]
