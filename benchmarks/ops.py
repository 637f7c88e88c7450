"""Our operators against their straightforward formulations: milliseconds, medians.

Both compute the same numbers from the same inputs; runs are interleaved.

    python -m benchmarks.ops [NAME ...] [--rounds 7] [--device cpu] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detzoo.assigners.hungarian import FocalCost, HungarianAssigner, TargetTable, solve
from detzoo.ops.deformable_attention import deformable_attention
from detzoo.structures import ImageInfo, Targets

Run = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Two ways to the same result. ``prepare`` makes the inputs on a device and returns both."""

    what: str
    prepare: Callable[[torch.device], tuple[Run, Run]]


# ----------------------------------------------------------------------- deformable attention

# Deformable DETR on a picture of 400 x 672.
GRIDS = ((50, 84), (25, 42), (13, 21), (7, 11))


def straightforward_attention(
    values: Tensor, grids: Sequence[tuple[int, int]], places: Tensor, weights: Tensor
) -> Tensor:
    """All samples of all levels side by side, then multiplied and summed."""
    batch, _, heads, channels = values.shape
    queries = places.shape[1]
    samples = []
    for level, (grid, cells) in enumerate(zip(grids, values.split([h * w for h, w in grids], 1))):
        cells = cells.flatten(2).transpose(1, 2).reshape(batch * heads, channels, *grid)
        at = (2 * places[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
        samples.append(F.grid_sample(cells, at, align_corners=False))
    shares = weights.transpose(1, 2).reshape(batch * heads, 1, queries, -1)
    total = (torch.stack(samples, -2).flatten(-2) * shares).sum(-1)
    return total.view(batch, heads * channels, queries).transpose(1, 2)


def attention_inputs(device: torch.device, queries: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    cells = sum(h * w for h, w in GRIDS)
    values = torch.randn((1, cells, 8, 32), generator=generator)
    places = torch.rand((1, queries, 8, 4, 4, 2), generator=generator)
    weights = torch.rand((1, queries, 8, 4, 4), generator=generator)
    return values.to(device), places.to(device), weights.to(device)


def prepare_attention(device: torch.device, *, training: bool) -> tuple[Run, Run]:
    values, places, weights = attention_inputs(device, sum(h * w for h, w in GRIDS))
    inputs = [x.requires_grad_(training) for x in (values, places, weights)]

    def run(function: Callable[..., Tensor]) -> Run:
        def once() -> object:
            out = function(values, GRIDS, places, weights)
            return torch.autograd.grad(out.sum(), inputs) if training else out

        return once

    return run(straightforward_attention), run(deformable_attention)


# ------------------------------------------------------------------------- Hungarian matching

STAGES, IMAGES, QUERIES, CLASSES, OBJECTS = 6, 4, 300, 80, 20


def straightforward_matching(
    logits: Tensor, boxes: Tensor, targets: Sequence[Targets], scale: Tensor
) -> list[Tensor]:
    """Image by image and stage by stage, each with its own move to the host."""
    matched = []
    for stage_logits, stage_boxes in zip(logits, boxes):
        for own_logits, own_boxes, target in zip(stage_logits, stage_boxes, targets):
            p = own_logits.sigmoid()
            negative = -(1 - p + 1e-12).log() * 0.75 * p.pow(2)
            positive = -(p + 1e-12).log() * 0.25 * (1 - p).pow(2)
            cost = 2 * (positive - negative)[:, target.labels]
            pair = [_centre_size(x / scale) for x in (own_boxes, target.boxes)]
            cost = cost + 5 * torch.cdist(*pair, p=1) - 2 * _giou(own_boxes, target.boxes)
            rows, columns = linear_sum_assignment(cost.cpu().numpy())
            index = torch.full((len(own_boxes),), -1, device=boxes.device)
            index[torch.from_numpy(rows).to(index.device)] = torch.from_numpy(columns).to(
                index.device
            )
            matched.append(index)
    return matched


def prepare_matching(device: torch.device) -> tuple[Run, Run]:
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([1333.0, 800.0]).repeat(2)

    def random_boxes(*shape: int) -> Tensor:
        corners = torch.rand((*shape, 2, 2), generator=generator).sort(-2).values
        return (corners.flatten(-2) * size).to(device)

    logits = torch.randn((STAGES, IMAGES, QUERIES, CLASSES), generator=generator).to(device)
    boxes = random_boxes(STAGES, IMAGES, QUERIES)
    labels = torch.randint(CLASSES, (IMAGES, OBJECTS), generator=generator).to(device)
    targets = [Targets.of(random_boxes(OBJECTS), own) for own in labels]
    infos = [ImageInfo.of((800, 1333))] * IMAGES
    assigner = HungarianAssigner(class_cost=FocalCost(weight=2.0))

    def ours() -> object:
        table = TargetTable.of(targets, infos)
        return solve([assigner.cost(logits, boxes, table)], table.counts)

    return lambda: straightforward_matching(logits, boxes, targets, size.to(device)), ours


def _centre_size(boxes: Tensor) -> Tensor:
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    union = areas[0][:, None] + areas[1] - common
    low, high = torch.min(a[:, None, :2], b[:, :2]), torch.max(a[:, None, 2:], b[:, 2:])
    hull = (high - low).prod(-1)
    return common / union - (hull - union) / hull


# ---------------------------------------------------------------------------------- the frame

COMPARISONS: dict[str, Comparison] = {
    "deformable_attention": Comparison(
        "encoder layer of Deformable DETR, inference",
        lambda device: prepare_attention(device, training=False),
    ),
    "deformable_attention_training": Comparison(
        "the same, forward and backward",
        lambda device: prepare_attention(device, training=True),
    ),
    "hungarian": Comparison(
        f"{STAGES} decoder layers, {IMAGES} images, {QUERIES} queries, {OBJECTS} objects each",
        prepare_matching,
    ),
}


def measure(runs: Sequence[Run], rounds: int, device: torch.device) -> list[float]:
    """The median milliseconds of each, run in turns after one round to warm up."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for run, own in zip(runs, times):
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                own.append(1000 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the medians here")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in COMPARISONS]
    if unknown:
        parser.error(
            f"no comparison is called {', '.join(unknown)}; there are {', '.join(COMPARISONS)}"
        )
    device = torch.device(options.device)
    results = {}
    for name in options.names or COMPARISONS:
        comparison = COMPARISONS[name]
        theirs, ours = measure(comparison.prepare(device), options.rounds, device)
        results[name] = {"straightforward_ms": theirs, "detzoo_ms": ours}
        print(
            f"{name:32} straightforward {theirs:8.1f} ms, detzoo {ours:8.1f} ms, "
            f"{theirs / ours:.2f} times as fast  ({comparison.what})",
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
