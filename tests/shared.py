"""Where tests find the data sets and references that are too large for the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared(*parts: str) -> Path:
    """The path below ``$DETZOO_SHARED``, or below ``shared`` beside the repository.

    Skips the test where it is absent.
    """
    beside = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("DETZOO_SHARED", beside)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not there; DETZOO_SHARED names the folder that holds it")
    return path
