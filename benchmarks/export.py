"""Every head and backbone of the zoo in every format that detectors are exported to.

    python -m benchmarks.export [NAME ...] [--formats onnx openvino torch aoti] [--again]

Models are narrowed and have random weights. Each row of the table is a program, captured once, that
all formats are made of, in a process of its own: a copy of this one, which imports everything
first. It has ``--limit`` seconds for a format, and the other formats get a new one. What was
measured already is left as it is, so that it can be interrupted at any time. After each cell, the
table in ``docs/export.md`` is written.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import importlib
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from benchmarks.record import write_result
from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import override
from detzoo.data.loader import collate
from detzoo.detectors.base import Detector
from detzoo.detectors.panoptic_fpn import PanopticFPNConfig
from detzoo.errors import UserError
from detzoo.experiment import Experiment
from detzoo.export.formats import FORMATS, Format
from detzoo.export.frame import framed
from detzoo.export.openvino import convert_onnx, for_openvino
from detzoo.export.program import capture, quiet
from detzoo.export.static import StaticDetector, require_static_form
from detzoo.export.verify import TIED_SCORE, Difference, compare
from detzoo.inference.exported import Details
from detzoo.inference.predictor import Predictor
from detzoo.inference.runtimes import open_exported
from detzoo.layers.fusion import fuse
from detzoo.quickstart.scenes import CLASSES, draw_scene
from detzoo.zoo.entry import Entry
from tests.detectors.zoo_models import build, certain, one_per_head

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "export.json"
PAGE = ROOT / "docs" / "export.md"
START, END = "<!-- The table of families, by python -m benchmarks.export -->", "<!-- end -->"
# Of the input (height, width): what the strides of all detectors divide.
SIZE = (256, 384)
# Random weights have more candidates than trained ones; where they do not fit, all are taken.
MAX_CANDIDATES, ALL_CANDIDATES = 5000, 50_000
# So many detections of an image are compared, the surest, as most recipes keep no more.
COMPARED = 100
# Of so many scenes, so many pictures are taken, and with which noise (of 255) they must stay alike.
SCENES, PICTURES, NOISE = 8, 2, 1e-4
# An image is timed so often, but no longer than that.
ROUNDS, SECONDS = 5, 1.0
# What the weights of classes are multiplied by, of which the best is chosen.
CALMING = (0.05, 0.005, 0.0005)

Cell = dict[str, Any]


def entries() -> Iterator[Entry]:
    """One per head and neck, then one per backbone that none of these has."""
    chosen = list(one_per_head())
    backbones = {type(entry.experiment.model.backbone) for entry in chosen}
    for entry in sorted(zoo.entries(), key=lambda entry: entry.parameters or 10**12):
        if type(entry.experiment.model.backbone) not in backbones:
            chosen.append(entry)
            backbones.add(type(entry.experiment.model.backbone))
    yield from chosen


def measure(entry: Entry, kinds: Sequence[Format]) -> Iterator[tuple[str, Cell]]:
    """The time of the detector itself, "eager"; of each format whether the file detects the same,
    its size, and its time, or why not."""
    try:
        require_static_form(entry.experiment.model)
    except UserError as error:
        for kind in kinds:
            yield kind.name, {"reason": str(error)}
        return
    entry = replace(entry, experiment=_lenient(entry.experiment))
    model = certain(build(entry))
    join_corners(model)
    steady_stages(model)
    experiment = _experiment(entry, model)
    scenes = [draw_scene(np.random.default_rng(seed), 320)[0] for seed in range(SCENES)]
    original = Predictor(experiment, model, fused=False)
    settle(original, scenes[:PICTURES])
    calm(original, scenes[:PICTURES])
    pictures = decided(original, scenes)
    static = StaticDetector(model, MAX_CANDIDATES)
    images = model.preprocess(collate(original.prepare(pictures[0]), with_targets=False))
    with torch.no_grad():
        found = static(images.pixels, torch.tensor([images.infos[0].size]))
    if found.left_out.any():
        static = StaticDetector(model, ALL_CANDIDATES)
    details = Details(
        experiment, SIZE, masks=static.mask_kind, mask_threshold=static.mask_threshold
    )
    min_score = min_score_of(original, pictures)
    yield "eager", {"ms": _milliseconds(fuse(model), original, pictures)}
    with tempfile.TemporaryDirectory() as folder:
        program = None
        for kind in kinds:
            try:
                program = program or capture(static, details)
                file = Path(folder) / f"{kind.name}{kind.suffix}"
                _write(kind, program, file, details)
                exported = Predictor(experiment, open_exported(file, trust=True), fused=False)
                difference = compare(original, exported, pictures, min_score)
                cell: Cell = {
                    "bytes": sum(one.stat().st_size for one in kind.files(file)),
                    "ms": _milliseconds(exported.model, exported, pictures),
                    **_verdict(difference, by_masks=model.config.masks_cover_input),
                }
            except Exception as error:  # one format's failure is a result
                traceback.print_exc()
                cell = {"reason": f"{type(error).__name__}: {str(error)[:300]}"}
            yield kind.name, cell


def _write(kind: Format, program: ExportedProgram, file: Path, details: Details) -> None:
    """OpenVINO's file is made of the ONNX file beside it, where that has the same operators."""
    onnx_file = file.with_name("onnx.onnx")
    if kind.name == "openvino" and onnx_file.exists() and for_openvino(program) is program:
        convert_onnx(onnx_file, file, details)
    else:
        kind.write(program, file, details, None)


def measure_apart(
    entry: Entry, kinds: Sequence[Format], limit: float
) -> Iterator[tuple[str, Cell]]:
    """The same, in other processes: one that takes ``limit`` seconds for a format, or ends, is
    followed by one for the rest."""
    context = multiprocessing.get_context("fork")
    left = [kind.name for kind in kinds]
    while left:
        receiving, sending = context.Pipe(duplex=False)
        rest = [kind for kind in kinds if kind.name in left]
        process = context.Process(target=_send, args=(entry, rest, sending))
        process.start()
        sending.close()
        try:
            while left and receiving.poll(limit):
                name, cell = receiving.recv()
                left = [other for other in left if other != name]
                yield name, cell
            if left:
                yield left.pop(0), {"reason": f"not done after {limit:.0f} seconds"}
        except EOFError:
            process.join()
            reason = f"the process ended with exit code {process.exitcode}"
            yield left.pop(0), {"reason": reason}
        finally:
            process.kill()
            process.join()


def _send(entry: Entry, kinds: Sequence[Format], sending: Connection) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        for result in measure(entry, kinds):
            sending.send(result)


def prepare() -> None:
    """Imports what exporting would import in each process."""
    with contextlib.suppress(ImportError), quiet():  # is a reason in the cells
        importlib.import_module("onnxruntime")
        importlib.import_module("openvino")
        # Next to nothing; what exporting it imports is all that PyTorch needs.
        program = torch.export.export(torch.nn.ReLU(), (torch.zeros(1),))
        torch.onnx.export(program, dynamo=True, verbose=False)
    gc.freeze()


def _lenient(experiment: Experiment) -> Experiment:
    """Panoptic FPN fuses things that are sure, and random weights are sure of nothing."""
    if not isinstance(experiment.model, PanopticFPNConfig):
        return experiment
    return override(experiment, "model.roi_head.select.min_score", 0.05, config_classes())


def join_corners(model: Detector) -> None:
    """Gives CentripetalNet shifts of seven cells, with which some corners meet: random ones hardly
    do."""
    for name, parameter in model.named_parameters():
        if "centripetal_shift" in name and parameter.shape == (2,):
            torch.nn.init.constant_(parameter, 2.0)


def steady_stages(model: Detector) -> None:
    """Lets the stages of cascades refine boxes, as trained ones do: random ones move them by whole
    images, and what rounding changes grows from stage to stage."""
    layers = [layer for name, layer in model.named_modules() if name.endswith("fc_reg")]
    for layer in layers if len(layers) > 1 else ():
        torch.nn.init.normal_(layer.get_parameter("weight"), std=0.001)


def settle(predictor: Predictor, pictures: Sequence[np.ndarray]) -> None:
    """Gives batch norms, also those of heads, the statistics of the pictures: where activations
    grow from layer to layer, boxes are far larger than the image, and so is their rounding."""
    norms = [m for m in predictor.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # of all that it is applied to, such as the levels of a pyramid
        norm.train()
    hooks = [norm.register_forward_pre_hook(_leave_single_cells) for norm in norms]
    list(predictor.predict(pictures, batch_size=len(pictures)))
    for norm, hook in zip(norms, hooks):
        norm.eval()
        hook.remove()


def _leave_single_cells(norm: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
    """Leaves a norm of maps of one cell, as in an attention over channels, as it is: of few
    pictures, the variance may be next to nothing, and what is divided by it is rounding."""
    if inputs[0].shape[2:] == (1, 1):
        norm.eval()


def calm(predictor: Predictor, pictures: Sequence[np.ndarray]) -> None:
    """Scales the weights of classes so that the fewest detections tie in score, since rounding
    decides their order: neither saturated, as large weights have them, nor all the same."""
    scores = predictor.model.class_parameters()
    parameters = [p for n, p in predictor.model.named_parameters() if n in scores and p.ndim > 1]
    given = [parameter.detach().clone() for parameter in parameters]

    def scale(factor: float) -> None:
        with torch.no_grad():
            for parameter, own in zip(parameters, given):
                parameter.copy_(own * factor)

    def ties(factor: float) -> int:
        scale(factor)
        found = [one.scores.sort().values for one in predictor.predict(pictures, min_score=0.0)]
        return sum(int((scores.diff() < TIED_SCORE).sum()) for scores in found)

    scale(min(CALMING, key=ties))


def min_score_of(predictor: Predictor, pictures: Sequence[np.ndarray]) -> float:
    """That of the ``COMPARED`` surest detections of each picture."""
    sure = [one.scores[COMPARED - 1 :] for one in predictor.predict(pictures, min_score=0.0)]
    return min(float(scores[0]) if len(scores) else 0.0 for scores in sure)


def decided(original: Predictor, scenes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The first pictures in which rounding decides of no detection: a little noise in the pixels
    changes nothing. (Of thousands of random boxes, some overlap just as much as may be.)"""
    noisy = copy.deepcopy(original.model)
    noisy.pixel_mean.add_(NOISE)
    other = Predictor(original.experiment, noisy, fused=False)
    by_masks = original.model.config.masks_cover_input
    chosen = (
        scene
        for scene in scenes
        if compare(original, other, [scene], min_score_of(original, [scene])).is_rounding(
            by_masks=by_masks
        )
    )
    pictures = list(itertools.islice(chosen, PICTURES))
    return pictures if len(pictures) == PICTURES else list(scenes[:PICTURES])


def _experiment(entry: Entry, model: Detector) -> Experiment:
    names = entry.experiment.class_names[:1] if model.config.is_class_agnostic else CLASSES
    return framed(replace(entry.experiment, model=model.config, class_names=names), SIZE)


def _verdict(difference: Difference, *, by_masks: bool) -> dict[str, Any]:
    return {
        "verified": difference.compared > 0 and difference.is_rounding(by_masks=by_masks),
        "compared": difference.compared,
        "unmatched": difference.unmatched,
        "score": _finite(difference.score),
        "box": _finite(difference.box),
        "mask": difference.mask,
        "panoptic": difference.panoptic,
        "near": difference.near_share,
        "left_out": difference.left_out,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _milliseconds(model: Detector, predictor: Predictor, pictures: Sequence[np.ndarray]) -> float:
    """The median time of an image on one core, from pixels to detections: that of the processor,
    which other work on the machine hardly changes."""
    images = model.preprocess(collate(predictor.prepare(pictures[0]), with_targets=False))
    times: list[float] = []
    with torch.inference_mode():
        model(images)
        while len(times) < ROUNDS and sum(times) < SECONDS:
            start = time.process_time()
            model(images)
            times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


# ------------------------------------------------------------------------------- the table


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A row per entry; a cell has milliseconds and megabytes, or the number of a reason."""
    names = [kind.name for kind in FORMATS]
    reasons: list[str] = []
    lines = [
        f"| entry | head | backbone | eager | {' | '.join(names)} |",
        f"|{'---|' * (len(names) + 4)}",
    ]
    for row in rows:
        results = row["results"]
        eager = results.get("eager")
        cells = [
            f"`{row['name']}`",
            row["head"],
            row["backbone"],
            "" if eager is None else f"{eager['ms']:.0f} ms",
            *(_cell(results.get(name), reasons) for name in names),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _cell(result: dict[str, Any] | None, reasons: list[str]) -> str:
    if result is None:
        return "not run"
    if "reason" in result:
        if result["reason"] not in reasons:
            reasons.append(result["reason"])
        return f"no ({reasons.index(result['reason']) + 1})"
    text = f"{result['ms']:.0f} ms, {result['bytes'] / 1e6:.1f} MB"
    if result.get("left_out"):
        return f"{text}, more candidates than fit"
    return text if result["verified"] else f"{text}, {100 * result['near']:.3g}% alike"


def write_page(rows: Sequence[dict[str, Any]]) -> None:
    """Replaces the table in the page; entries without any result are counted below it."""
    text = PAGE.read_text()
    before, rest = text.split(f"{START}\n")
    run = [row for row in rows if row["results"]]
    note = f"\nThe other {len(rows) - len(run)} entries have not been run yet.\n"
    body = table(run) + (note if len(run) < len(rows) else "")
    PAGE.write_text(f"{before}{START}\n\n{body}\n{rest[rest.index(END) :]}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=[kind.name for kind in FORMATS],
        default=["onnx", "openvino", "torch"],
        help="aoti takes minutes per entry, so it is not among those by default",
    )
    parser.add_argument("--again", action="store_true", help="also what was measured already")
    parser.add_argument("--limit", type=float, default=600, help="seconds for a format")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen = list(entries())
    unknown = set(options.names) - {entry.name for entry in chosen}
    if unknown:
        parser.error(f"not among the entries: {', '.join(sorted(unknown))}")
    wanted = [entry for entry in chosen if entry.name in options.names or not options.names]
    formats = [kind for kind in FORMATS if kind.name in options.formats]
    known = {row["name"]: row for row in _read(options.json)}
    rows = [known.get(entry.name, _row(entry)) for entry in chosen]
    prepare()
    for entry in wanted:
        results = rows[chosen.index(entry)]["results"]
        missing = [kind for kind in formats if options.again or kind.name not in results]
        start = time.perf_counter()
        for name, cell in measure_apart(entry, missing, options.limit):
            results[name] = cell
            print(f"{entry.name} {name} {time.perf_counter() - start:.0f} s {cell}", flush=True)
            write_result(options.json, "export", [row for row in rows if row["results"]])
            if options.json == RESULTS:
                write_page(rows)
    return 0


def _row(entry: Entry) -> dict[str, Any]:
    model: Any = entry.experiment.model
    parts = ("bbox_head", "mask_head", "roi_head", "rpn_head", "panoptic_head")
    head = next(part for name in parts if (part := getattr(model, name, None)) is not None)
    return {
        "name": entry.name,
        "head": _plain(head),
        "backbone": _plain(model.backbone),
        "results": {},
    }


def _plain(part: object) -> str:
    return type(part).__name__.removesuffix("Config")


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["rows"] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
