"""``detzoo robustness``: a detector on corrupted images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import (
    BatchSize,
    DataSets,
    Device,
    Images,
    Imports,
    Precision,
    TestSplit,
    Trust,
    Weights,
    Workers,
    check_data,
    check_source,
    open_sets,
    plain_console,
    print_dataset,
    wide_console,
)
from detzoo.cli.launch import Devices, launch
from detzoo.errors import ConfigError
from detzoo.files import check_output, read_json, write_json

if TYPE_CHECKING:
    from detzoo.analyze.robustness import Robustness, Step


def robustness(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT_OR_NAME", help="A checkpoint, or a zoo name."),
    ],
    data: DataSets,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="JSON file for the metrics. What it already has is not measured again.",
        ),
    ],
    images: Images = None,
    split: TestSplit = None,
    corruptions: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="Names of corruptions, or kinds: noise, blur, weather, digital (together the 15 "
            "of the benchmark), extra (4 more), all.",
        ),
    ] = "benchmark",
    severities: Annotated[str, typer.Option(metavar="1,2,...", help="How severe.")] = "1,2,3,4,5",
    weights: Weights = None,
    batch_size: BatchSize = 1,
    workers: Workers = 2,
    precision: Precision = None,
    device: Device = None,
    devices: Devices = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Evaluate a detector on images that are corrupted as in ImageNet-C.

    mPC is the mean over the 15 corruptions of the benchmark, or those chosen, and their
    severities; rPC is mPC as a part of the value on clean images. Go on after an interruption
    with the same command. Needs imagecorruptions-imaug.

    Examples:

      detzoo robustness runs/x-1/best.pt --data my_data -o robustness.json

      detzoo robustness runs/x-1/best.pt --data my_data -o fog.json --corruptions fog,snow
      --severities 3

      detzoo robustness runs/x-1/best.pt --data my_data -o r.json --devices 4
    """
    check_source(source, weights)
    check_data(*data, *(images or ()))
    check_output(out, "--out")
    steps = _steps(corruptions, severities)
    launch(devices)

    from detzoo.analyze.robustness import corrupted
    from detzoo.cli.detecting import detect_with_progress, fit_data
    from detzoo.data.union import union
    from detzoo.devices import check_precision, resolve_device
    from detzoo.evaluate import default_evaluators, score
    from detzoo.evaluate.ground_truth import GroundTruth
    from detzoo.inference.loading import load
    from detzoo.train.distributed import join_processes

    chosen = None if precision is None else check_precision(precision)
    sets, _ = open_sets(data, images or (), split or "val")
    processes = context.with_resource(join_processes(resolve_device(device)))
    about: dict[str, list[str | None]] = {
        "model": [source, weights],
        "data": [*map(str, data), split],
    }
    found = _started(out, about)
    predictor = load(source, weights, processes.device, chosen, trust=trust)
    experiment = predictor.experiment
    dataset = fit_data(union(sets), predictor, source)
    console = plain_console()
    if processes.is_first:
        print_dataset("test", dataset)
    evaluators = default_evaluators(
        GroundTruth.of(dataset),
        predictor.class_names,
        predicts_masks=experiment.model.predicts_masks,
        is_class_agnostic=experiment.model.is_class_agnostic,
        metric=experiment.data.metric,
    )
    for step in steps:
        if step in found.values:
            continue
        results = detect_with_progress(
            predictor,
            corrupted(experiment, step),
            dataset,
            batch_size=batch_size,
            workers=workers,
            processes=processes,
        )
        metrics = score(evaluators, results)
        found.add(step, metrics)
        if processes.is_first:
            write_json(out, {**about, **found.to_json()})
            name = "clean" if step is None else f"{step[0]}, severity {step[1]}"
            console.print(f"{name}: {found.main} {metrics.main:.3f}")
    if not processes.is_first:
        return
    wide_console().print(found.table())
    name = found.main
    relative = found.relative().get(name)
    console.print(
        f"mPC {found.mean()[name]:.3f} over {len(found.averaged)} corruptions"
        + ("" if relative is None else f", rPC {relative:.1%} of {found.values[None][name]:.3f}")
    )


def _steps(corruptions: str, severities: str) -> list[Step]:
    """Clean images first, as everything is compared with them."""
    from detzoo.data.transforms.corrupt import CORRUPTIONS, Corrupt, Corruption

    names: list[Corruption] = []
    for name in corruptions.split(","):
        kind = CORRUPTIONS.get(name.strip())
        if kind is None and name.strip() not in CORRUPTIONS["all"]:
            raise ConfigError(
                f"--corruptions {corruptions}: {name.strip()!r} is neither one of the kinds "
                f"{', '.join(CORRUPTIONS)} nor one of {', '.join(CORRUPTIONS['all'])}."
            )
        names += kind or [one for one in CORRUPTIONS["all"] if one == name.strip()]
    levels = [text.strip() for text in severities.split(",")]
    if not all(level in ("1", "2", "3", "4", "5") for level in levels):
        raise ConfigError(f"--severities {severities}: give numbers from 1 to 5, such as 1,3,5.")
    Corrupt(corruption=names[0]).check()
    pairs = [(name, int(level)) for name in dict.fromkeys(names) for level in dict.fromkeys(levels)]
    return [None, *pairs]


def _started(out: Path, about: dict[str, list[str | None]]) -> Robustness:
    """What an earlier run of the same model and data has measured."""
    from detzoo.analyze.robustness import Robustness

    if not out.exists():
        return Robustness()
    content = read_json(out)
    try:
        kept = {key: content[key] for key in about}
        found = Robustness.from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(
            f"--out {out}: is no file of detzoo robustness. Give another file."
        ) from None
    if kept != about:
        raise ConfigError(
            f"--out {out}: has the metrics of {kept['model'][0]} on {kept['data'][0]}. "
            "Give another file."
        )
    return found
