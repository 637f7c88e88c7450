from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from detzoo.errors import DataError
from detzoo.report import (
    Chart,
    Charts,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
    Text,
    bar_chart,
    heat_map,
    histogram,
    line_chart,
    scatter_plot,
    write_page,
)

HOSTILE = '<script>alert("1")</script> & $x$'


class _Parsed(HTMLParser):
    """The tags of a page, its texts, and what it refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_stands_alone_and_escapes_what_it_shows(tmp_path: Path) -> None:
    chart = Chart(bar_chart({HOSTILE: [1, 2], "b": [3, 4]}, [HOSTILE, "b"], HOSTILE), HOSTILE)
    picture = Picture.of(np.zeros((4, 6, 3), np.uint8), HOSTILE)
    blocks = (
        Text([HOSTILE]),
        Table([HOSTILE, "n"], [[HOSTILE, "1"]]),
        chart,
        Charts([chart]),
        Gallery([picture, picture], pairs=True),
    )
    page = Page(HOSTILE, [Section(HOSTILE, blocks, badge="error")], [HOSTILE])
    path = write_page(tmp_path / "new" / "page.html", page)
    html = path.read_text("utf-8")
    parsed = _Parsed(html)
    assert "script" not in parsed.tags
    assert parsed.text.count(HOSTILE) >= 10
    # What it refers to is in it: pictures, sections, and parts of its drawings.
    assert [s for s in parsed.sources if not s.startswith(("data:image/jpeg;base64,", "#"))] == []
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", html)


def test_the_badge_is_in_the_list_at_the_top() -> None:
    sections = [Section("quiet", ()), Section("loud", (), badge="warning")]
    html = Page("p", sections).to_html()
    nav = html[html.index("<nav>") : html.index("</nav>")]
    assert "loud" in nav
    assert "quiet" not in nav
    assert 'href="#s1"' in nav
    assert 'id="s1"' in html
    assert "<nav>" not in Page("p", sections[:1]).to_html()


def test_numbers_are_aligned_right() -> None:
    html = Page("p", [Section("s", [Table(["a", "b"], [["x", "1"]])])]).to_html()
    assert '<td class="text">x</td><td>1</td>' in html


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_page(tmp_path / "file" / "page.html", Page("p", []))


def test_charts_have_the_colors_of_the_page() -> None:
    values = np.array([3.0, 4.0, 8.0, 8.0])
    charts = [
        line_chart({"a": ([1, 2], [3, 4]), "b": ([1, 2], [1, 1])}, "x", "y"),
        bar_chart({"a": [1, 2]}, ["one", "two"], "n"),
        histogram({"a": values}, "x", "n", log=True, marks={"anchors": [4.0, 16.0]}),
        histogram({"a": values}, "x", "n"),
        scatter_plot({"a": (values, values)}, "x", "y"),
        heat_map(np.array([[1.0, 0.0], [0.25, 0.75]]), ["a", "b"], ["a", "b"]),
    ]
    for svg in (chart.svg for chart in charts):
        assert svg.startswith("<svg")
        assert "var(--accent)" in svg
        assert "currentColor" in svg
        # White is the background, which is transparent; black is only what clips.
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#ffffff", "#000000"}, svg
    assert "anchors" in charts[2].svg


def test_names_keep_their_letters() -> None:
    """Formulas, other scripts, and long names."""
    names = ["$\\frac", "猫", "x" * 60]
    text = _Parsed(bar_chart({"a": [1, 2, 3]}, names, "n").svg).text
    assert "$\\frac" in text
    assert "猫" in text
    assert "x" * 27 + "…" in text


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0], [1.5, 1e9]])
def test_any_numbers_have_a_histogram(values: list[float], log: bool) -> None:
    assert histogram({"a": np.array(values)}, "x", "n", log=log).svg.startswith("<svg")


def test_charts_do_not_change_from_run_to_run() -> None:
    assert len({line_chart({"a": ([1, 2], [3, 4])}, "x", "y").svg for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_charts_as_files(tmp_path: Path, ending: str, start: bytes) -> None:
    chart = line_chart({"a": ([1, 2], [3, 4])}, "x", "y")
    chart.save(tmp_path / f"chart.{ending}")
    content = (tmp_path / f"chart.{ending}").read_bytes()
    assert content.startswith(start)
    assert b"var(" not in content
