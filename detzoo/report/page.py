"""Self-contained HTML pages: sections of texts, tables, charts and pictures."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from detzoo.errors import DataError
from detzoo.report.charts import Drawing


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    paragraphs: Sequence[str]
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Table:
    """Rows of cells. The first ``text_columns`` are left-aligned, numbers right-aligned."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Chart:
    """A drawing of ``charts.py``, and its caption."""

    drawing: Drawing
    caption: str = ""
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Picture:
    """A JPEG image, and its caption."""

    jpeg: bytes
    caption: str

    @classmethod
    def of(cls, image: np.ndarray, caption: str) -> Picture:
        """Encodes an image (H, W, 3) BGR uint8."""
        return cls(
            cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 85))[1].tobytes(), caption
        )

    @property
    def base64(self) -> str:
        return base64.b64encode(self.jpeg).decode("ascii")


@dataclass(frozen=True)
class Gallery:
    """Pictures in a grid; in ``pairs``, consecutive pictures belong together."""

    pictures: Sequence[Picture]
    pairs: bool = False
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Charts:
    """Charts next to each other."""

    charts: Sequence[Chart]
    kind: ClassVar[str] = "charts"


Block = Text | Table | Chart | Charts | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and its content.

    A ``badge`` ("error", "warning", "info") is shown before the title, and adds it to the list at
    the top of the page.
    """

    title: str
    blocks: Sequence[Block]
    badge: str | None = None


@dataclass(frozen=True)
class Page:
    title: str
    sections: Sequence[Section]
    facts: Sequence[str] = ()

    def to_html(self) -> str:
        """Renders the page; all texts are escaped."""
        # Imported here to keep commands that write no page fast.
        from jinja2 import Environment, PackageLoader

        environment = Environment(
            loader=PackageLoader("detzoo", "report"), autoescape=True, trim_blocks=True
        )
        return environment.get_template("page.html").render(page=self)

    def _repr_html_(self) -> str:
        """Renders the page for notebooks, in a frame that isolates its style."""
        return f'<iframe srcdoc="{escape(self.to_html())}" width="100%" height="600"></iframe>'


def write_page(path: str | os.PathLike[str], page: Page) -> Path:
    """Writes ``page``, creating its folder. Raises :class:`DataError` if it cannot be written."""
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page.to_html(), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror}).") from None
    return file
