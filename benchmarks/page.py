"""Writes ``docs/benchmarks.md`` from the results in ``benchmarks/results``.

    python -m benchmarks.page

A result is what a benchmark's ``--json`` wrote: what was measured, on which machine, and rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.learning import table as learning

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
HEADER = """\
# Benchmarks

What was measured, and on what. Times are medians; in brackets the fastest and the slowest tenth, or
of few rounds the extremes. What is compared ran in turns, so that a noisy machine is noisy for all.
This page is generated from `benchmarks/results`; see `benchmarks/page.py`.
"""

Result = dict[str, Any]


def main() -> None:
    (ROOT / "docs" / "benchmarks.md").write_text(page())


def page(folder: Path = RESULTS) -> str:
    """The whole of ``docs/benchmarks.md``: a section per kind of result, a table per file."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    parts = [HEADER]
    for what, (title, text, body) in SECTIONS.items():
        of_kind = [result for result in results if result["what"] == what]
        if of_kind:
            parts.append(f"## {title}\n\n{text}\n")
            parts += [f"{body(result)}\n\n{_machine(result['machine'])}\n" for result in of_kind]
    return "\n".join(parts)


def _side_by_side(result: Result) -> str:
    head = ("model", "job", "toolbox", "precision", "seconds", "times as fast", "GFLOP/s")
    return _table(
        (*head, "of a convolution's"),
        (
            (
                row["model"],
                row["job"],
                row["toolbox"],
                row["precision"],
                _spread(row["seconds"], 3),
                _spread(row["times_as_fast"], 2),
                f"{row['gflop_per_second']:.0f}",
                f"{100 * row['part_of_best']:.0f} %",
            )
            for row in result["rows"]
        ),
    )


def _profile(result: Result) -> str:
    return _table(
        ("model", "job", "operation", "part of the time"),
        (
            (row["model"], row["job"], f"`{row['operation']}`", f"{100 * row['part']:.1f} %")
            for row in result["rows"]
        ),
    )


def _operators(result: Result) -> str:
    head = ("operator", "on", "straightforward", "detzoo", "times as fast")
    return _table(
        head,
        (
            (
                f"`{row['name']}`",
                row["on"],
                f"{row['straightforward_ms']:.1f} ms",
                f"{row['detzoo_ms']:.1f} ms",
                f"{row['straightforward_ms'] / row['detzoo_ms']:.2f}",
            )
            for row in result["rows"]
        ),
    )


def _inference(result: Result) -> str:
    head = ("model", "images per second", "ms per image", "ms to load one", "objects", "GB")
    return _table(
        head,
        (
            (
                f"`{row['name']}`",
                f"{row['images_per_second']:.2f}",
                _spread(row["seconds"], 1, 1000),
                f"{1000 * row['loading_seconds']['median']:.1f}",
                f"{row['detections_per_image']:.0f}",
                f"{row['memory_gb']:.2f}",
            )
            for row in result["models"]
        ),
    ) + _settings(result)


def _training(result: Result) -> str:
    head = ("model", "images per second", "seconds per step", "data, forward, backward, optimizer")
    return _table(
        (*head, "GB"),
        (
            (
                f"`{row['name']}`",
                f"{row['images_per_second']:.2f}",
                _spread(row["seconds"], 3),
                ", ".join(f"{seconds:.3f}" for seconds in row["phases"].values()),
                f"{row['memory_gb']:.2f}",
            )
            for row in result["models"]
        ),
    ) + _settings(result)


def _evaluation(result: Result) -> str:
    head = ("metric", "images", "objects", "detections per image", "seconds", "MiB")
    return _table(
        head,
        (
            (
                row["kind"],
                str(row["images"]),
                str(row["annotations"]),
                str(row["per_image"]),
                f"{row['seconds']:.1f}",
                f"{row['peak_mib']:.0f}",
            )
            for row in result["rows"]
        ),
    )


def _allocator(result: Result) -> str:
    return _table(
        ("model", "settings of the allocator", "seconds per image", "GB"),
        (
            (
                f"`{row['model']}`",
                row["allocator"],
                f"{row['seconds']:.3f}",
                f"{row['memory_gb']:.2f}",
            )
            for row in result["rows"]
        ),
    )


def _startup(result: Result) -> str:
    return _table(
        ("command", "seconds", "of torch's own import"),
        (
            (f"`{row['command']}`", f"{row['seconds']:.2f}", f"{row['of_torch']:.2f}")
            for row in result["rows"]
        ),
    )


def _learning(result: Result) -> str:
    return learning.body(result, _table)


SECTIONS: dict[str, tuple[str, str, Callable[[Result], str]]] = {
    "side by side": (
        "Beside other toolboxes",
        "From raw pixels to boxes and masks in the pixels of the image, one image; and a training\n"
        "step of two. All sides hold the same weights, frozen batch norms, trainable layers and\n"
        "numbers of proposals, and find about 100 objects. Compared with torchvision in fp32, or\n"
        "with detzoo where torchvision has no such model. The last column: our count of the\n"
        "model's operations per second, as a part of the best rate that a single convolution\n"
        "reached in the same run (`python -m benchmarks.side_by_side`).",
        _side_by_side,
    ),
    "profile": (
        "Where the time goes",
        "Of an image or a training step on the CPU (`python -m benchmarks.profile`).",
        _profile,
    ),
    "inference": (
        "Inference",
        "Forward pass and post-processing, image by image (`detzoo benchmark inference`).",
        _inference,
    ),
    "training": (
        "Training",
        "Whole steps, loading included (`detzoo benchmark training`).",
        _training,
    ),
    "ops": (
        "Operators",
        "Against the straightforward formulation in PyTorch (`python -m benchmarks.ops`).",
        _operators,
    ),
    "allocator": (
        "Memory that is kept",
        "The command line lets glibc's allocator keep what is freed for the next image. The\n"
        "tables above do without (`python -m benchmarks.allocator`).",
        _allocator,
    ),
    "evaluation": (
        "Evaluation",
        "Scoring detections, on one core (`python -m benchmarks.evaluation`).",
        _evaluation,
    ),
    "learning": (learning.TITLE, learning.TEXT, _learning),
    "startup": (
        "Startup",
        "Whole processes (`python -m benchmarks.startup`).",
        _startup,
    ),
}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(values: dict[str, float], digits: int, unit: float = 1) -> str:
    """Median, and what lies around it."""
    median, low, high = (f"{unit * values[key]:.{digits}f}" for key in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _settings(result: Result) -> str:
    shown = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    return f"\n\nSettings: {shown}."


def _machine(machine: dict[str, Any]) -> str:
    return (
        f"*{machine['processor']}, {machine['device']}, {machine['threads']} threads; torch "
        f"{machine['torch']}, torchvision {machine['torchvision']}, Python {machine['python']}; "
        f"detzoo {machine['detzoo']}, {machine['date']}.*"
    )


if __name__ == "__main__":
    main()
