"""Writes what follows from the code: ``docs/zoo.md``, the list that ``detzoo models`` shows, and
the table of formats in ``docs/data.md``.

python docs/generate.py          # counts the parameters of new entries
python docs/generate.py --all    # of all entries anew: minutes
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from detzoo import zoo
from detzoo.data.formats.table import FORMATS
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo_list import FILE, zoo_rows

ROOT = Path(__file__).parents[1]
HEADER = """\
# The model zoo

Every named configuration, by family, with the figures that MMDetection's V2 model zoo published:
box and mask AP in percent on the validation set of its data (AP50, AR of 1000 proposals, or
panoptic quality where it says so), training memory in GB per GPU and milliseconds per image on a
V100. Parameters are counted. `detzoo models` lists and filters the same. This page is generated;
see `docs/generate.py`.
"""
TABLE_START, TABLE_END = "<!-- The table of formats, by docs/generate.py -->", "<!-- end -->"
COLUMNS = ("name", "box AP", "mask AP", "memory", "ms", "parameters", "weights")


def main() -> None:
    known = {} if "--all" in sys.argv else {e.name: e.parameters for e in zoo.entries()}
    FILE.write_text(listing(count_parameters(known)))
    zoo_rows.cache_clear()
    (ROOT / "docs" / "zoo.md").write_text(page())
    data = ROOT / "docs" / "data.md"
    data.write_text(data_page(data.read_text()))


def data_page(text: str) -> str:
    """``docs/data.md`` with the table of formats as the code has it now."""
    rows = [
        f"| {item.name} | {item.layout.replace('|', '/')} | {item.flags} | {item.given} |"
        for item in FORMATS
    ]
    table = [
        "| format | what is recognized | flags | `--data` |",
        "|---|---|---|---|",
        *sorted(rows, key=str.lower),
    ]
    before, rest = text.split(f"{TABLE_START}\n")
    after = rest[rest.index(TABLE_END) :]
    return before + "\n".join([TABLE_START, *table, after])


def count_parameters(known: Mapping[str, int | None]) -> dict[str, int]:
    """Those of every entry; only what is not ``known`` is counted."""
    counts = {}
    for entry in zoo.entries():
        count = known.get(entry.name)
        if count is not None:
            counts[entry.name] = count
            continue
        with torch.device("meta"):
            model = entry.experiment.build_model()
        counts[entry.name] = sum(parameter.numel() for parameter in model.parameters())
    return counts


def listing(parameters: Mapping[str, int | None]) -> str:
    """A row per entry, so that the zoo can be listed without importing torch."""
    rows = [
        {
            "name": entry.name,
            "family": family.folder,
            "backbone": entry.backbone,
            "starts_from": entry.starts_from,
            "box_ap": entry.box_ap,
            "box_ap50": entry.box_ap50,
            "mask_ap": entry.mask_ap,
            "pq": entry.pq,
            "ar1000": entry.ar1000,
            "memory_gb": entry.memory_gb,
            "inference_ms": entry.inference_ms,
            "parameters": parameters[entry.name],
            "weights": entry.weights,
            "path": family.weights_path(entry),
        }
        for family in zoo.families()
        for entry in family.entries
    ]
    return json.dumps(rows, indent=0) + "\n"


def page() -> str:
    """The whole of ``docs/zoo.md``."""
    families = zoo.families()
    listed = ", ".join(f"[{f.title}](#{_anchor(f.title)})" for f in families)
    count = f"{len(zoo.entries())} configurations in {len(families)} families: {listed}.\n"
    return "\n".join([HEADER, count, *(_section(family) for family in families)])


def _section(family: Family) -> str:
    rows = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    rows += [f"| {' | '.join(_cells(entry))} |" for entry in family.entries]
    table = "\n".join(rows)
    return f"## {family.title}\n\n[{family.folder}]({family.paper})\n\n{table}\n"


def _cells(entry: Entry) -> tuple[str, ...]:
    box = _figure(entry.box_ap)
    if entry.box_ap50 is not None:
        box = f"{entry.box_ap50:.1f} (AP50)"
    if entry.ar1000 is not None:
        box = f"{entry.ar1000:.1f} (AR)"
    if entry.pq is not None:
        box = f"{entry.pq:.1f} (PQ)"
    weights = "" if entry.weights is None else entry.weights.rsplit("/", 1)[-1]
    return (
        f"`{entry.name}`",
        box,
        _figure(entry.mask_ap),
        _figure(entry.memory_gb),
        _figure(entry.inference_ms),
        "" if entry.parameters is None else f"{entry.parameters / 1e6:.1f} M",
        f"`{weights}`" if weights else "",
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _anchor(title: str) -> str:
    """As the usual renderers of Markdown make anchors of headings."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    main()
