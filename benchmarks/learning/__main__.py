"""Every family learns: one narrowed model each, from scratch, on generated scenes.

    python -m benchmarks.learning [NAME ...] [--general] [--again] [--json FILE]

By heart: eight scenes until they are known. With --general: scenes that were held out. What was
measured already is left as it is, so that it can be interrupted at any time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.learning import general, heart
from benchmarks.learning.families import CASES, Case
from benchmarks.record import write_result

RESULTS = Path(__file__).parents[1] / "results" / "learning.json"


@dataclass(frozen=True)
class Bar:
    """``measure`` makes a row's result of this kind, ``is_met`` judges the row."""

    measure: Callable[[Case, Path], dict[str, Any]]
    is_met: Callable[[dict[str, Any]], bool]
    meaning: str


BARS = {
    "heart": Bar(
        heart.learn_by_heart,
        heart.is_known,
        f"AP50 over {heart.LEAST_AP50} in {heart.MOST_SECONDS} s",
    ),
    "general": Bar(general.learn_in_general, general.is_learned, f"AP50 of {general.LEAST_AP50}"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--general", action="store_true", help="on scenes that were held out")
    parser.add_argument("--again", action="store_true", help="also what was measured already")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"no family is called {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    kind = "general" if options.general else "heart"
    bar = BARS[kind]
    rows = _read(options.json)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            row = rows.setdefault(case.name, {})
            is_wanted = not options.names or case.name in options.names
            if not is_wanted or (kind in row and not options.again):
                continue
            row |= {"name": case.name, "entry": case.entry, "head": case.head}
            try:
                row[kind] = bar.measure(case, Path(folder))
            except Exception:  # one family's failure is not to keep the others waiting
                traceback.print_exc()
                failed += 1
                continue
            write_result(options.json, "learning", [rows[n] for n in names if rows.get(n)])
            print(f"{case.name:18} {kind}: {_summary(row[kind])}", flush=True)
    missed = [n for n in names if kind in rows.get(n, {}) and not bar.is_met(rows[n])]
    if missed:
        print(f"missed the bar {bar.meaning}: {', '.join(missed)}")
    return 1 if failed or missed else 0


def _summary(result: dict[str, Any]) -> str:
    masks = "" if result["mask_ap50"] is None else f", masks {result['mask_ap50']:.3f}"
    return (
        f"AP50 {result['box_ap50']:.3f}{masks} after {result['steps']} steps, "
        f"{result['seconds']:.0f} s; loss {result['curve'][0][1]:g} to {result['curve'][-1][1]:g}"
    )


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    return {row["name"]: row for row in json.loads(path.read_text())["rows"]}


if __name__ == "__main__":
    sys.exit(main())
