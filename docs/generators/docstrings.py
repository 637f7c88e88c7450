"""Docstrings as Markdown."""

from __future__ import annotations

import itertools
import re


def markdown(text: str) -> str:
    """The text of a docstring: Sphinx' roles and double backquotes become code."""
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text).replace("``", "`")


def cell(text: str) -> str:
    """On one line, for a table; within code, a bar needs no escape."""
    line = " ".join(text.split())
    return "`".join(
        part if within else part.replace("|", "\\|")
        for part, within in zip(line.split("`"), itertools.cycle((False, True)))
    )
