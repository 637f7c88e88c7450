"""Code blocks of the documentation, and what their comments say of them.

A comment on the line before a block tells what becomes of it: ``<!-- not run: why -->``,
``<!-- slow -->``, ``<!-- file: path -->``, the block is the content of that file, or
``<!-- fails -->``, its commands end with an error on purpose. All other ``bash`` and ``python``
blocks are run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>.+?) -->\n)?```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SHELL = ("bash", "sh")


@dataclass(frozen=True)
class Block:
    """``line`` is where it begins in the page, counted from 1."""

    language: str
    code: str
    mark: str
    line: int

    @property
    def is_run(self) -> bool:
        return self.language in (*SHELL, "python") and not self.mark.startswith("not run")

    def commands(self) -> Iterator[str]:
        """Those of a shell block, without comments and line breaks."""
        for line in self.code.replace("\\\n", " ").splitlines():
            text = re.sub(r"(?:^|\s)#.*", "", line).strip()
            if text:
                yield text


def read_blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["code"], m["mark"] or "", text.count("\n", 0, m.start()) + 1)
        for m in BLOCK.finditer(text)
    ]
