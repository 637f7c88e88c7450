"""Every family learns: one narrowed model each, from scratch, on generated scenes.

python -m benchmarks.learning [NAME ...] [--general] [--again] [--list]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.learning.families import CASES
from benchmarks.learning.heart import learn_by_heart
from benchmarks.record import write_result

RESULTS = Path(__file__).parents[1] / "results" / "learning.json"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--again", action="store_true", help="also what was measured already")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"no family is called {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    rows = _read(options.json)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if options.names and case.name not in options.names:
                continue
            if case.name in rows and not options.again:
                continue
            try:
                row = learn_by_heart(case, Path(folder))
            except Exception:  # one family's failure is not to keep the others waiting
                traceback.print_exc()
                failed += 1
                print(f"{case.name:18} FAILED", flush=True)
                continue
            rows[case.name] = row
            ordered = [rows[name] for name in names if name in rows]
            write_result(options.json, "learning", ordered)
            masks = "" if row["mask_ap50"] is None else f", masks {row['mask_ap50']:.3f}"
            print(
                f"{case.name:18} AP50 {row['box_ap50']:.3f}{masks} after {row['steps']} steps, "
                f"{row['seconds']:.0f} s; loss {row['curve'][0][1]} to {row['curve'][-1][1]}",
                flush=True,
            )
    return 1 if failed else 0


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    return {row["name"]: row for row in json.loads(path.read_text())["rows"]}


if __name__ == "__main__":
    sys.exit(main())
