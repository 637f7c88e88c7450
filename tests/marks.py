"""Marks of tests that do not run by default."""

from __future__ import annotations

import pytest

# CI runs them after the others: they take long together, and what they cover is covered by
# default as well, for another model of the kind.
ON_CI = (pytest.mark.slow, pytest.mark.ci)
