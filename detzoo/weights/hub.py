"""Files of the Hugging Face hub: ``hf://user/repo/file``, through ``huggingface_hub``.

The package is optional (``pip install huggingface_hub``) and imported only when such a file is
asked for. It downloads, resumes and caches; gated repositories need ``hf auth login``.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from detzoo.errors import CheckpointError, ConfigError
from detzoo.weights.files import reason

# As huggingface_hub writes addresses: hf://user/repo@revision/folder/file.
_FILE = re.compile(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")
_REPOSITORY = re.compile(r"hf://([^/@]+/[^/@]+)/?")


def find_hub_file(address: str, *, offline: bool) -> Path:
    """The file at ``hf://user/repo/file`` on this machine, downloaded unless ``offline``.

    Raises :class:`CheckpointError` where the hub does not give it, :class:`ConfigError` without the
    package ``huggingface_hub``.
    """
    parts = _FILE.fullmatch(address)
    if parts is None:
        raise CheckpointError(
            f"{address}: is not the address of a file on the Hugging Face hub. Write "
            "hf://user/repo/file, or hf://user/repo@revision/file."
        )
    repository, revision, name = parts.groups()
    hub = hub_package(address)
    # The hub's client raises errors of its own, of its HTTP library and of the system.
    try:
        path: str = hub.hf_hub_download(
            repository, name, revision=revision, local_files_only=offline
        )
    except Exception as error:
        raise CheckpointError(
            f"{address}: cannot be had from the Hugging Face hub ({reason(error)}). Check the "
            "address, log in with `hf auth login` if the repository is private or gated, or "
            "download the file and give its path."
        ) from error
    return Path(path)


def repository_of(address: str) -> str:
    """The repository ``user/repo`` that ``hf://user/repo`` names; :class:`ConfigError` if none."""
    parts = _REPOSITORY.fullmatch(address)
    if parts is None:
        raise ConfigError(
            f"{address}: is not a repository on the Hugging Face hub. Write hf://user/repo."
        )
    return parts[1]


def hub_package(address: str) -> Any:
    """The package ``huggingface_hub``; :class:`ConfigError` where it is not installed."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ConfigError(
            f"{address}: requires the package huggingface_hub: pip install huggingface_hub"
        )
    import huggingface_hub

    return huggingface_hub
