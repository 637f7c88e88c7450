"""Which operations an image and a training step spend their time in.

    python -m benchmarks.profile [MODEL ...] [--top 8] [--precision fp32] [--json FILE]

The same models, images and weights as ``benchmarks.side_by_side``, in detzoo alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.record import write_result
from benchmarks.side_by_side.measure import JOBS, Run
from benchmarks.side_by_side.ours import Detzoo
from benchmarks.side_by_side.task import SUBJECTS, Task
from detzoo.devices import resolve_device


def profile_run(run: Run, top: int) -> list[dict[str, Any]]:
    """The ``top`` operations by the time that they take themselves, after one run to warm up."""
    run.prepare()
    run()
    activities = [ProfilerActivity.CPU]
    on_gpu = run.side.task.device.type == "cuda"
    if on_gpu:
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        run()
    events = profiler.key_averages()
    attribute = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    times = {event.key: float(getattr(event, attribute)) for event in events}
    whole = sum(times.values())
    largest = sorted(times, key=lambda key: -times[key])[:top]
    return [
        {
            "model": run.side.task.model,
            "job": run.job,
            "precision": run.precision,
            "operation": key,
            "part": times[key] / whole,
        }
        for key in largest
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(SUBJECTS))
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--top", type=int, default=8)
    parser.add_argument("--device")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = resolve_device(options.device)
    rows = []
    for name in options.models or SUBJECTS:
        side = Detzoo.make(Task.make(name, 2, device))
        for job in options.jobs:
            found = profile_run(Run(side, job, options.precision), options.top)
            rows += found
            print(f"{name}, {job}")
            for row in found:
                print(f"  {100 * row['part']:5.1f} %  {row['operation']}", flush=True)
    if options.json:
        write_result(options.json, "profile", rows, device)


if __name__ == "__main__":
    main()
