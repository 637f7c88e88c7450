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

Times are medians, with the 10th and 90th percentiles in parentheses (the extremes where there were
few rounds). Contenders are measured alternately within one run, so that noise affects all of them.
This page is generated from `benchmarks/results` by `python -m benchmarks.page`.
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
    head = ("model", "job", "toolbox", "precision", "seconds", "speedup", "GFLOP/s")
    return _table(
        (*head, "of peak convolution"),
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
        ("model", "job", "operation", "share of time"),
        (
            (row["model"], row["job"], f"`{row['operation']}`", f"{100 * row['part']:.1f} %")
            for row in result["rows"]
        ),
    )


def _operators(result: Result) -> str:
    head = ("operator", "input", "plain PyTorch", "detzoo", "speedup")
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
        ("model", "allocator settings", "seconds per image", "GB"),
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


def _opening(result: Result) -> str:
    return _table(
        ("data", "images", "opened by", "seconds", "MiB held"),
        (
            (
                row["data"],
                f"{row['images']:,}",
                row["tool"],
                _spread(row["seconds"], 1),
                f"{row['memory_mib']:.0f}",
            )
            for row in result["rows"]
        ),
    )


def _runtimes(result: Result) -> str:
    return _table(
        ("model", "input", "part", "runtime", "precision", "seconds", "relative to detzoo fp32"),
        (
            (
                f"`{row['model']}`",
                " x ".join(map(str, row["size"])),
                row["part"],
                row["runtime"],
                row["precision"],
                _spread(row["seconds"], 3),
                _spread(row["times_as_fast"], 2),
            )
            for row in result["rows"]
        ),
    )


def _startup(result: Result) -> str:
    return _table(
        ("command", "seconds", "relative to importing torch"),
        (
            (f"`{row['command']}`", f"{row['seconds']:.2f}", f"{row['of_torch']:.2f}")
            for row in result["rows"]
        ),
    )


def _learning(result: Result) -> str:
    return learning.body(result, _table)


SECTIONS: dict[str, tuple[str, str, Callable[[Result], str]]] = {
    "side by side": (
        "Compared with other toolboxes",
        "Inference takes one image from raw pixels to boxes and masks in image coordinates; a\n"
        "training step takes two. All toolboxes have the same weights, frozen batch norms,\n"
        "trainable layers and number of proposals, and find about 100 objects per image. The\n"
        "baseline is torchvision in fp32, or detzoo where torchvision lacks the model. The last\n"
        "column is the model's operation rate relative to the highest rate that a single\n"
        "convolution reached in the same run (`python -m benchmarks.side_by_side`).",
        _side_by_side,
    ),
    "profile": (
        "Where the time goes",
        "Operations in one image or training step on a CPU (`python -m benchmarks.profile`).",
        _profile,
    ),
    "inference": (
        "Inference",
        "Forward pass and post-processing, one image at a time (`detzoo benchmark inference`).",
        _inference,
    ),
    "training": (
        "Training",
        "Complete steps, including data loading (`detzoo benchmark training`).",
        _training,
    ),
    "runtimes": (
        "Exported files",
        "One image from normalized pixels to detections (whole), and all layers up to the\n"
        "predictions of the head (dense): our own inference and exported files, in turns in one\n"
        "run, whose process keeps freed memory as `detzoo` does. The last column is how many\n"
        "times as fast (`python -m benchmarks.runtimes`).",
        _runtimes,
    ),
    "ops": (
        "Operators",
        "Compared with the straightforward formulation in PyTorch (`python -m benchmarks.ops`).",
        _operators,
    ),
    "allocator": (
        "Allocator",
        "The command line lets glibc's allocator keep freed memory for the next image. The tables\n"
        "above were measured without that (`python -m benchmarks.allocator`).",
        _allocator,
    ),
    "evaluation": (
        "Evaluation",
        "Scoring detections, on one core (`python -m benchmarks.evaluation`).",
        _evaluation,
    ),
    "learning": (learning.TITLE, learning.TEXT, _learning),
    "opening": (
        "Opening data sets",
        "The first opening of images like those of COCO train2017, with polygons, and of PNGs of\n"
        "1920x1080 pixels whose sizes only their headers tell. detzoo checks that all images are\n"
        "there, pycocotools does not look at them, and Ultralytics verifies the checksums of\n"
        "each PNG (`python -m benchmarks.opening`).",
        _opening,
    ),
    "startup": (
        "Startup",
        "Time of a complete process (`python -m benchmarks.startup`).",
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
