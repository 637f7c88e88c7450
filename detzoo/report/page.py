"""A page: sections of texts, tables, charts and pictures, in one HTML file that needs no other."""

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
    """Rows of cells. The first ``text_columns`` are aligned left, numbers right."""

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
    """The bytes of a JPEG, and its caption."""

    jpeg: bytes
    caption: str

    @classmethod
    def of(cls, image: np.ndarray, caption: str) -> Picture:
        """Of an image (H, W, 3) BGR uint8."""
        return cls(
            cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 85))[1].tobytes(), caption
        )

    @property
    def base64(self) -> str:
        return base64.b64encode(self.jpeg).decode("ascii")


@dataclass(frozen=True)
class Gallery:
    """Pictures in a grid; in ``pairs``, each two in a row belong together."""

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
    """A heading and what is below it.

    A ``badge`` ("error", "warning", "info") stands before the title, and puts it into the list at
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
        """The page; whatever texts hold is escaped."""
        # Imported here, so that commands that write no page need not wait.
        from jinja2 import Environment, PackageLoader

        environment = Environment(
            loader=PackageLoader("detzoo", "report"), autoescape=True, trim_blocks=True
        )
        return environment.get_template("page.html").render(page=self)

    def _repr_html_(self) -> str:
        """For notebooks: in a frame of its own, which keeps its style to itself."""
        return f'<iframe srcdoc="{escape(self.to_html())}" width="100%" height="600"></iframe>'


def write_page(path: str | os.PathLike[str], page: Page) -> Path:
    """Writes ``page``; its folder is made. Raises :class:`DataError` where that is impossible."""
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page.to_html(), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror}).") from None
    return file
