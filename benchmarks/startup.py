"""How long a user waits before anything happens: ``python -m benchmarks.startup``.

Each command runs in a process of its own, all in turns; the table has medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.record import write_result

COMMANDS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import torch, torchvision": ["-c", "import torch, torchvision"],
    "import detzoo": ["-c", "import detzoo"],
    "detzoo --help": ["-m", "detzoo", "--help"],
    "detzoo models": ["-m", "detzoo", "models"],
    "the zoo": ["-c", "from detzoo import zoo; zoo.entries()"],
    "the importer": ["-c", "import detzoo.mmdet"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    of_torch = statistics.median(seconds["import torch"])
    rows = []
    for name, times in seconds.items():
        median = statistics.median(times)
        rows.append({"command": name, "seconds": median, "of_torch": median / of_torch})
        print(f"{name:28} {median:6.2f} s  {median / of_torch:5.2f} of torch's own import")
    if options.json:
        write_result(options.json, "startup", rows)


if __name__ == "__main__":
    main()
