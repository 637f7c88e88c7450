"""The configuration files of MMDetection 2.28.2, from its published wheel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# ``make test`` unpacks the wheel there.
CONFIGS = Path(__file__).parents[2] / ".venv" / "mmdet" / "mmdet" / ".mim" / "configs"


def published_configs() -> Path:
    """The folder of the files. Where it is not there, the test is skipped, but on CI it fails."""
    if not CONFIGS.is_dir():
        message = "MMDetection's wheel is not unpacked; `make test` does it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return CONFIGS
