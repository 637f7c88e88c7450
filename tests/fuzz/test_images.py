from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detzoo.data.images import image_size, read_gray, read_image
from tests.data.files import noise
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import broken_bytes

KINDS = (".jpg", ".png", ".bmp", ".webp", ".tif")


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_broken_images(rule: Rule, folder: Path, kind: str, data: st.DataObject) -> None:
    valid = cv2.imencode(kind, noise(24, 32))[1].tobytes()
    path = folder / f"x{kind}"
    path.write_bytes(data.draw(broken_bytes(valid)))
    rule.read(image_size, path)
    rule.read(read_gray, path)
    image = rule.read(read_image, path)
    if image is not None:
        assert image.ndim == 3
        assert image.shape[2] == 3
