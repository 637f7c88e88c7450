"""``detzoo data``: getting data sets, looking at them, and writing them in other forms."""

from __future__ import annotations

import typer

from detzoo.cli.data.anchors import anchors
from detzoo.cli.data.browse import browse
from detzoo.cli.data.check import check
from detzoo.cli.data.convert import convert
from detzoo.cli.data.get import get
from detzoo.cli.data.split import split

data = typer.Typer(
    no_args_is_help=True,
    help="Download a data set, check it, look at it, convert it, divide it.",
    rich_markup_mode="rich",
)
data.command("check")(check)
data.command("anchors")(anchors)
data.command("browse")(browse)
data.command("convert")(convert)
data.command("split")(split)
data.command("get")(get)
