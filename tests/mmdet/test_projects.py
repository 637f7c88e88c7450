"""Files as projects on MMDetection 2.x write them: all of them train here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.mmdet.projects import PROJECTS
from tests.mmdet.small_files import FASTER, imported


@pytest.mark.parametrize("name", PROJECTS)
def test_projects(tmp_path: Path, name: str) -> None:
    base, text = PROJECTS[name]
    imported(tmp_path, base, text).to_train()


def test_resnet_v1d(tmp_path: Path) -> None:
    """V2's ResNetV1d is a ResNet with two switches."""
    text = "model = dict(backbone=dict({}, init_cfg=None))"
    both = text.format("deep_stem=True, avg_down=True")
    experiments = [
        imported(tmp_path, FASTER, one).to_train()
        for one in (text.format("type='ResNetV1d'"), both)
    ]
    assert experiments[0] == experiments[1]
    backbone: Any = experiments[0].model.backbone
    assert backbone.deep_stem
    assert backbone.average_shortcuts
