"""``python -m tests.mmdet [FOLDER]``: what of MMDetection's configuration files can be imported.

FOLDER holds the files; by default that of the wheel that ``make test`` unpacks.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from detzoo import zoo
from detzoo.config import diff
from detzoo.errors import UserError
from detzoo.mmdet import read_experiment
from tests.mmdet.published import CONFIGS


def main(folder: Path) -> int:
    """Prints a line per file that is not as the zoo has it, and the counts; 0 if there is none."""
    entries = {f"{f.folder}/{e.name}.py": e for f in zoo.families() for e in f.entries}
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*/*.py")):
        key = path.relative_to(folder).as_posix()
        if key.startswith("_base_"):
            continue
        of_the_zoo = key in entries
        counts["files of the zoo" if of_the_zoo else "other files"] += 1
        try:
            imported = read_experiment(path)
        except UserError as error:
            if of_the_zoo:
                print(f"refused  {error}")
            counts["of the zoo, refused" if of_the_zoo else "others, refused"] += 1
            continue
        if not of_the_zoo:
            counts["others, imported"] += 1
        elif rows := diff(imported, entries[key].experiment):
            print(f"differs  {key}: {rows[:3]}")
            counts["of the zoo, different"] += 1
        else:
            counts["of the zoo, equal"] += 1
    for what, count in sorted(counts.items()):
        print(f"{count:5} {what}")
    return int(counts["of the zoo, different"] > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else CONFIGS))
