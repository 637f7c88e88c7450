"""``detzoo weights``: lists, locates and downloads published weights."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import json
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detzoo.cli.common import plain_console, wide_console
from detzoo.cli.models import read_rows
from detzoo.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from detzoo.weights.places import Published

weights = typer.Typer(
    no_args_is_help=True,
    help="List published weights, show where they come from, and download them.",
    rich_markup_mode="rich",
)

Row = dict[str, Any]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="Models of the zoo, names of backbone weights, addresses, or patterns such as "
        "'retinanet_r50*'.",
        show_default=False,
    ),
]
FamilyOption = Annotated[
    str | None, typer.Option(help="All models of a family: faster_rcnn, retinanet, ...")
]
Only = Annotated[
    Literal["detector", "pretrained"] | None,
    typer.Option(
        help="Only trained detectors, or only the pretrained backbone weights that their training "
        "starts from. Default: both."
    ),
]


@dataclass(frozen=True)
class Wanted:
    """Requested weights by name: those of a detector, of a backbone, or at an address.

    Any one of ``files`` is sufficient; there are none if timm or the Hugging Face Hub locates them.
    """

    name: str
    files: tuple[Published, ...] = ()


@weights.command("list")
def list_weights(
    pattern: Annotated[
        str, typer.Argument(help="Part of a name, or a pattern such as 'mask_rcnn_r50*'.")
    ] = "*",
    available: Annotated[
        bool, typer.Option("--available", help="Only weights on this machine.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List published weights and their location on this machine.

    Examples:

      detzoo weights list

      detzoo weights list retinanet --available

      detzoo weights list 'torchvision://*' --json
    """
    from detzoo.backbones.pretrained import all_pretrained
    from detzoo.weights.places import find_local_file, zoo_file

    detectors = [
        Wanted(row["name"], (zoo_file(row["path"]),)) for row in read_rows() if row["path"]
    ]
    backbones = [Wanted(name, known.files) for name, known in all_pretrained().items()]
    rows = []
    for wanted in (*detectors, *backbones):
        found = filter(None, map(find_local_file, wanted.files))
        rows.append((wanted.name, [file.name for file in wanted.files], next(found, None)))
    shown = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    rows = [row for row in rows if fnmatch.fnmatch(row[0], shown)]
    if not rows:
        raise UserError(f"no weights match {pattern!r}. `detzoo weights list` shows them all.")
    count = sum(local is not None for *_, local in rows)
    if available:
        rows = [row for row in rows if row[2] is not None]
    if as_json:
        keys = ("name", "files", "local")
        print(json.dumps([dict(zip(keys, row)) for row in rows], indent=1, default=str))
        return
    from rich.table import Table

    table = Table("name", "file", "on this machine", box=None)
    table.columns[0].no_wrap = True
    for name, files, local in rows:
        table.add_row(name, " or ".join(files), "" if local is None else str(local))
    console = wide_console()
    console.print(table)
    console.print(f"{len(rows)} shown; {count} on this machine")


@weights.command("where")
def where(names: Names = None, family: FamilyOption = None, only: Only = None) -> None:
    """Show where weights are on this machine, and where they would be downloaded from.

    Nothing is downloaded. Files on this machine are checked against the hash in
    their name; the exit code is 1 if one is damaged.

    Examples:

      detzoo weights where faster_rcnn_r50_fpn_1x_coco

      detzoo weights where torchvision://resnet50
    """
    from detzoo.weights.locate import downloads_allowed
    from detzoo.weights.places import weight_directories

    console = plain_console()
    say = functools.partial(console.print, soft_wrap=True)
    faults = 0
    for wanted in _select(names, family, only):
        say(wanted.name)
        if not wanted.files:
            _describe_foreign(wanted.name, say)
        faults += sum(not _describe_local(file, say) for file in wanted.files)
        if wanted.files and downloads_allowed():
            _describe_addresses(wanted.files, say)
    say("folders searched:")
    for folder in weight_directories():
        say(f"  {folder}")
    if not downloads_allowed():
        say("nothing would be downloaded: DETZOO_MIRRORS is empty")
    if faults:
        files = "1 file is" if faults == 1 else f"{faults} files are"
        say(f"{files} damaged. Deleted files are downloaded again when they are needed.")
        raise typer.Exit(1)


@weights.command("get")
def get(names: Names = None, family: FamilyOption = None, only: Only = None) -> None:
    """Download weights in advance, for use without a network.

    Existing files are kept. The exit code is 1 if some could not be downloaded, and 2 if none
    could.

    Examples:

      detzoo weights get retinanet_r50_fpn_1x_coco

      detzoo weights get --family yolox --only detector

      detzoo weights get torchvision://resnet50 open-mmlab://regnetx_3.2gf
    """
    from detzoo.weights.locate import find_published_file

    console = plain_console()
    selected = _select(names, family, only)
    unreachable: set[str] = set()
    missing = []
    for wanted in selected:
        try:
            if wanted.files:
                advice = "try again later"
                path = find_published_file(wanted.files, wanted.name, advice, unreachable)
                console.print(f"{wanted.name}  {path}", soft_wrap=True)
            else:
                console.print(f"{wanted.name}  {_get_foreign(wanted.name)}", soft_wrap=True)
        except CheckpointError as error:
            print(f"error: {error}", file=sys.stderr)
            missing.append(wanted.name)
    if missing:
        listed = ", ".join(missing)
        console.print(f"{len(missing)} of {len(selected)} not downloaded: {listed}", soft_wrap=True)
        raise typer.Exit(2 if len(missing) == len(selected) else 1)


# ---------------------------------------------------------------------------------- internals


def _select(names: Sequence[str] | None, family: str | None, only: str | None) -> list[Wanted]:
    """The requested weights, without duplicates."""
    from detzoo.weights.places import zoo_file

    rows = read_rows()
    models = {row["name"]: row for row in rows}
    found: dict[str, Wanted] = {}

    def add_model(row: Row) -> None:
        if only != "pretrained" and row["path"] is not None:
            found.setdefault(row["name"], Wanted(row["name"], (zoo_file(row["path"]),)))
        start = row["starts_from"]
        if only != "detector" and start is not None:
            if start in models:
                add = Wanted(start, (zoo_file(models[start]["path"]),))
            else:
                add = _pretrained(start)
            found.setdefault(start, add)

    chosen = [row for row in rows if family is not None and row["family"] == family]
    if family is not None and not chosen:
        families = dict.fromkeys(row["family"] for row in rows)
        raise UserError(f"--family {family}: no such family. Choose one of {', '.join(families)}.")
    if not names and family is None:
        raise UserError("name the weights: a model, a pattern, or --family NAME")
    for name in names or ():
        matching = [row for row in rows if fnmatch.fnmatchcase(row["name"], name)]
        chosen += matching
        if not matching:
            for wanted in _others(name, models):
                found.setdefault(wanted.name, wanted)
    for row in chosen:
        add_model(row)
    if not found:
        raise UserError(
            "no weights were published for these models. `detzoo weights list` shows all."
        )
    return list(found.values())


def _others(name: str, models: Collection[str]) -> list[Wanted]:
    """Resolves a ``name`` that is not a model: backbone weights, an address, or a pattern."""
    from detzoo.backbones.pretrained import all_pretrained
    from detzoo.backbones.timm import SCHEME
    from detzoo.weights.places import is_address

    if any(c in name for c in "*?["):
        matching = fnmatch.filter(all_pretrained(), name)
        if not matching:
            raise UserError(f"no weights match {name!r}. `detzoo weights list` shows them all.")
        return [_pretrained(each) for each in matching]
    if name in all_pretrained() or name.startswith(SCHEME) or is_address(name):
        return [_pretrained(name)]
    near = difflib.get_close_matches(name, [*models, *all_pretrained()], n=3, cutoff=0.5)
    hint = f"the closest names are {', '.join(near)}" if near else "no name is similar"
    raise UserError(f"no weights are called {name!r}: {hint}. `detzoo weights list` shows all.")


def _pretrained(name: str) -> Wanted:
    """The weights of a backbone, or those at an address."""
    from detzoo.backbones.pretrained import all_pretrained
    from detzoo.weights.places import HUB, file_at, is_address

    known = all_pretrained().get(name)
    if known is not None:
        return Wanted(name, known.files)
    if is_address(name) and not name.startswith(HUB):
        return Wanted(name, (file_at(name),))
    return Wanted(name)


def _describe_local(file: Published, say: Callable[[str], None]) -> bool:
    """Prints whether the file is on this machine; returns whether it is intact or absent."""
    from detzoo.weights.files import has_digits
    from detzoo.weights.places import find_local_file, hash_digits

    local, digits = find_local_file(file), hash_digits(file.name)
    if local is None:
        say(f"  {file.local_paths[0]}: not on this machine")
        return True
    is_whole = digits is None or has_digits(local, digits)
    state = (
        "" if digits is None else ", intact" if is_whole else ", DAMAGED: its hash does not match"
    )
    say(f"  {file.local_paths[0]}: {local}{state}")
    return is_whole


def _describe_addresses(files: Sequence[Published], say: Callable[[str], None]) -> None:
    from detzoo.weights.hosts import host_of
    from detzoo.weights.locate import addresses

    requests = addresses(files)
    say("  addresses, in the order in which they are tried:" if requests else "  no known address")
    for number, (file, address) in enumerate(requests, start=1):
        host = host_of(address)
        say(f"  {number}. {address}")
        if address not in file.addresses:
            say("     your mirror, from DETZOO_MIRRORS")
        elif host is not None:
            say(f"     {host.description}; documented at {host.documented}")


def _describe_foreign(name: str, say: Callable[[str], None]) -> None:
    """Prints where weights are that timm or the Hugging Face Hub's client loads."""
    from detzoo.backbones.timm import SCHEME, timm_place
    from detzoo.weights.hub import cached_hub_file

    if name.startswith(SCHEME):
        say(f"  timm loads them from {timm_place(name)}")
        return
    local = cached_hub_file(name)
    say("  not on this machine" if local is None else f"  {local}")
    say("  huggingface_hub loads them from the Hugging Face Hub")


def _get_foreign(name: str) -> Path | str:
    from detzoo.backbones.timm import SCHEME, get_timm_weights
    from detzoo.weights.locate import local_file

    if name.startswith(SCHEME):
        get_timm_weights(name)
        return "in timm's cache"
    return local_file(name)
