from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The goldens are models of full size: they take all the threads there are."""
