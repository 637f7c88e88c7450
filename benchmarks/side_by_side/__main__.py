"""Our models against those of other toolboxes, in turns, and against the machine's arithmetic.

All sides hold the same weights, frozen batch norms, the same trainable layers, numbers of proposals
and sampling ratio, and see the same uint8 images of 800 x 1216 (YOLOX: 640 x 640); score layers are
scaled so that each finds about 100 objects per image. torchvision is always there; MMDetection 2.x
and Detectron2 take part where they are installed. Each model has a process of its own: one that
has run others holds memory that a user's first model must ask the system for.

    python -m benchmarks.side_by_side [MODEL ...] [--rounds 5] [--precisions fp32 bf16] [--json F]
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.record import write_result
from benchmarks.side_by_side.measure import JOBS, compare_model
from benchmarks.side_by_side.task import SUBJECTS, Task
from detzoo.devices import resolve_device


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(SUBJECTS))
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=2, help="of training steps")
    parser.add_argument("--device")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unknown = [name for name in options.models if name not in SUBJECTS]
    if unknown:
        parser.error(f"no model is called {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    device = resolve_device(options.device)
    rows: list[dict[str, Any]] = []
    for name in options.models or SUBJECTS:
        task = functools.partial(Task.make, name, options.batch_size, device)
        how = (options.jobs, options.precisions, options.rounds)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            rows += process.submit(compare_model, task, *how).result()
    if options.json:
        write_result(options.json, "side by side", rows, device)


if __name__ == "__main__":
    main()
