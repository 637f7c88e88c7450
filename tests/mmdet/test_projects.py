"""Files as projects on MMDetection 2.x write them: all of them train here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mmdet.projects import PROJECTS
from tests.mmdet.small_files import imported


@pytest.mark.parametrize("name", PROJECTS)
def test_projects(tmp_path: Path, name: str) -> None:
    base, text = PROJECTS[name]
    imported(tmp_path, base, text).to_train()
