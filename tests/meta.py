"""Models without values, for tests of their names and shapes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor


@contextlib.contextmanager
def on_meta() -> Iterator[None]:
    """Tensors made within have no memory, and drawing their values is skipped.

    For the meta device, torch draws normal values in Python, which takes most of the time of
    building a model there.
    """
    unchanged = mock.patch.object(Tensor, "normal_", lambda tensor, *_, **__: tensor)
    with torch.device("meta"), unchanged:
        yield
