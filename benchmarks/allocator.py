"""What it brings that the command line keeps freed memory: ``python -m benchmarks.allocator``.

``detzoo benchmark inference`` in processes of its own, in turns: as it is, and with the system's
settings, which it leaves alone when the allocator's variables are set.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import write_result

MODEL = "retinanet_r50_fpn_1x_coco"
# glibc's own default, which changes nothing but that the variable is set.
SETTINGS = {"the system's": {"MALLOC_TOP_PAD_": "131072"}, "detzoo's": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=MODEL)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--num-images", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for _ in range(options.rounds):
        for name, variables in SETTINGS.items():
            found[name].append(_benchmark(options.model, options.num_images, variables))
    rows = []
    for name, results in found.items():
        seconds = statistics.median(result["seconds"]["median"] for result in results)
        memory = statistics.median(result["memory_gb"] for result in results)
        rows.append(
            {"model": options.model, "allocator": name, "seconds": seconds, "memory_gb": memory}
        )
        print(f"{name:14} {seconds:7.3f} s per image, {memory:.2f} GB")
    if options.json:
        write_result(options.json, "allocator", rows)


def _benchmark(model: str, num_images: int, variables: dict[str, str]) -> dict[str, Any]:
    """What ``detzoo benchmark inference`` finds out with these environment variables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = ["-m", "detzoo", "benchmark", "inference", model, "--device", "cpu"]
        command += ["--num-images", str(num_images), "--json", str(path)]
        subprocess.run(
            [sys.executable, *command],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **variables},
        )
        (result,) = json.loads(path.read_text())["models"]
        return result


if __name__ == "__main__":
    main()
