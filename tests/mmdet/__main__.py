"""``python -m tests.mmdet [FOLDER]``: what of MMDetection's configuration files can be imported.

FOLDER holds the files; by default that of the wheel that ``make test`` unpacks. Files for other
hardware (``ascend_``) and those that only others are made of (``_base_``) do not count.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from detzoo import zoo
from detzoo.config import diff
from detzoo.errors import UserError
from detzoo.mmdet import import_file
from tests.mmdet.published import CONFIGS


def main(folder: Path) -> int:
    """Prints a line per file that is not as the zoo has it, and the counts; 0 if there is none."""
    entries = {f"{f.folder}/{e.name}.py": e for f in zoo.families() for e in f.entries}
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*/*.py")):
        key = path.relative_to(folder).as_posix()
        if key.startswith("_base_") or path.name.startswith("ascend_"):
            continue
        counts["files"] += 1
        try:
            found = import_file(path)
        except UserError as error:
            print(f"{key}: {str(error).removeprefix(f'{path}: ')}")
            continue
        counts["detect"] += 1
        if found.obstacles:
            print(f"{key}: {'; '.join(f'{one.path}: {one.reason}' for one in found.obstacles)}")
            continue
        counts["train"] += 1
        entry = entries.get(key)
        rows = [] if entry is None else diff(found.to_train(), entry.experiment)
        if entry is None or rows:
            print(f"{key}: {rows or 'is no entry of the zoo'}")
            continue
        counts["are the entry of their name"] += 1
    for what, count in counts.items():
        print(f"{count:5} {what}")
    return int(counts["are the entry of their name"] < counts["files"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else CONFIGS))
