"""Downloads files from the Hugging Face Hub, ``hf://user/repo/file``, by ``huggingface_hub``.

The package is optional (``pip install huggingface_hub``) and imported only when such a file is
requested. It downloads, resumes and caches; gated repositories need ``hf auth login``.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from detzoo.errors import CheckpointError, ConfigError
from detzoo.weights.files import reason

# The address format of huggingface_hub: hf://user/repo@revision/folder/file.
_FILE = re.compile(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")
_REPOSITORY = re.compile(r"hf://([^/@]+/[^/@]+)/?")


def find_hub_file(address: str, *, offline: bool) -> Path:
    """Returns the local file of ``hf://user/repo/file``, downloaded unless ``offline``.

    Raises :class:`CheckpointError` if it is not available, and :class:`ConfigError` if the package
    ``huggingface_hub`` is not installed.
    """
    repository, revision, name = _parts(address)
    hub = hub_package(address)
    # The hub's client raises its own errors, those of its HTTP library, and OSErrors.
    try:
        path: str = hub.hf_hub_download(
            repository, name, revision=revision, local_files_only=offline
        )
    except Exception as error:
        raise CheckpointError(
            f"{address}: not available from the Hugging Face Hub ({hub_reason(error)}). Check "
            "the address, log in with `hf auth login` if the repository is private or gated, or "
            "download the file and give its path."
        ) from error
    return Path(path)


def cached_hub_file(address: str) -> Path | None:
    """The file at ``hf://user/repo/file`` in the cache of the hub's client; None if it is not
    there.
    """
    repository, revision, name = _parts(address)
    found = hub_package(address).try_to_load_from_cache(repository, name, revision=revision)
    return Path(found) if isinstance(found, str) else None


def hub_reason(error: Exception) -> str:
    """Describes an error of the hub's client on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith(("4", "5")):  # "404 Client Error.", followed by the cause
        return " ".join(lines[:2])[:200].rstrip(".")
    return reason(error)


def _parts(address: str) -> tuple[str, str | None, str]:
    """Splits an address into repository, revision and file."""
    parts = _FILE.fullmatch(address)
    if parts is None:
        raise CheckpointError(
            f"{address}: is not the address of a file on the Hugging Face Hub. Write "
            "hf://user/repo/file, or hf://user/repo@revision/file."
        )
    return parts[1], parts[2], parts[3]


def repository_of(address: str) -> str:
    """The repository of ``hf://user/repo``. Raises :class:`ConfigError` for other addresses."""
    parts = _REPOSITORY.fullmatch(address)
    if parts is None:
        raise ConfigError(
            f"{address}: is not a repository on the Hugging Face Hub. Write hf://user/repo."
        )
    return parts[1]


def hub_package(address: str) -> Any:
    """Imports ``huggingface_hub``. Raises :class:`ConfigError` if it is not installed."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ConfigError(
            f"{address}: requires the package huggingface_hub: pip install huggingface_hub"
        )
    import huggingface_hub

    return huggingface_hub
