"""``detzoo import-mmdet``: converts a V2 configuration, and a checkpoint for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import Trust, check_source, wide_console
from detzoo.errors import CheckpointError, ConfigError
from detzoo.files import check_output, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from detzoo.experiment import Experiment
    from detzoo.mmdet import Imported

# Maximum number of differences from the most similar model of the zoo to print.
MOST_ROWS = 12


def import_mmdet(
    config: Annotated[Path, typer.Argument(help="An MMDetection 2.x configuration file.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Its weights: an MMDetection 2.x checkpoint.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write a checkpoint (.pt, with --checkpoint) or the experiment (.json).",
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Convert an MMDetection 2.x configuration, and show what becomes of each part of it.

    The file is read without being executed. What of the model or of its test pipeline is not
    understood is an error; what of the training recipe is not understood keeps the model from being
    trained here, and ends with code 1. train, test, predict and config accept such files directly
    in place of a model's name; importing shows what they become, and writes a checkpoint that no
    longer needs the file.

    Examples:

      detzoo import-mmdet configs/my_retinanet.py

      detzoo import-mmdet my_retinanet.py --checkpoint epoch_12.pth -o my_retinanet.pt

      detzoo import-mmdet my_retinanet.py -o my_retinanet.json
    """
    check_source(None, config)
    check_source(None, checkpoint)
    if out is not None and out.suffix not in (".pt", ".json"):
        raise ConfigError(f"--out {out}: write a checkpoint (.pt) or an experiment (.json)")
    if out is not None and out.suffix == ".pt" and checkpoint is None:
        raise ConfigError(f"--out {out}: a checkpoint needs weights: --checkpoint FILE")
    if out is not None:
        check_output(out, "--out")
    from detzoo.checkpoints import checkpoint as checkpoints
    from detzoo.config import to_dict
    from detzoo.mmdet import import_file

    imported = import_file(config, trust=trust)
    _print_table(imported)
    experiment = imported.experiment
    if checkpoint is not None:
        experiment, weights = _fitting_weights(imported, checkpoint)
        print(f"weights: {checkpoint} fits, {len(weights)} tensors")
        if out is not None and out.suffix == ".pt":
            checkpoints.save(out, checkpoints.Checkpoint(experiment, weights))
    elif not imported.obstacles:
        experiment = imported.to_train()
    if out is not None and out.suffix == ".json":
        write_json(out, to_dict(experiment))
    if out is not None:
        print(f"wrote {out}")
    if imported.obstacles:
        if out is not None:
            print(f"{out} has detzoo's defaults where the recipe is not understood")
        raise typer.Exit(1)


def print_notes(imported: Imported, file: str) -> None:
    """What a run says of the V2 file that it trains, in a few lines."""
    console = wide_console()
    replaced = imported.reading.replaced
    for name in ("learning rate", "class names", "num_classes", "data.train.type"):
        if name in replaced:
            console.print(f"{name}: {replaced[name]}", soft_wrap=True, markup=False)
    aside = ", ".join(imported.reading.aside)
    if aside:
        console.print(
            f"left aside: {aside} (detzoo import-mmdet {file} says why)",
            soft_wrap=True,
            markup=False,
        )


def _print_table(imported: Imported) -> None:
    """Prints what becomes of each part, what the file is good for, and the most similar model."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "setting", "becomes", box=None, pad_edge=False)
    for row in _rows(imported):
        table.add_row(*map(escape, row))
    console = wide_console()
    console.print(table)
    uses = "predict, test" if imported.obstacles else "predict, test, train"
    console.print(f"good for {uses}")
    for line in _nearest(imported.experiment):
        console.print(escape(line), soft_wrap=True)


def _rows(imported: Imported) -> Iterator[tuple[str, str, str]]:
    """Kind, setting, and what becomes of it."""
    experiment, reading = imported.experiment, imported.reading
    backbone = type(experiment.model.backbone).__name__.removesuffix("Config")
    start = experiment.model.backbone.pretrained_name or "from scratch"
    detector = type(experiment.model).__name__.removesuffix("Config")
    names = experiment.all_names
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    yield "taken", "model", f"{detector}, {backbone} ({start})"
    yield "", "classes", f"{len(names)}: {', '.join(names[:8])}{more}"
    yield "", "test pipeline", _steps(experiment.data.test_transforms)
    if not imported.obstacles:
        schedule = experiment.schedule
        yield "", "train pipeline", _steps(experiment.data.train_transforms)
        yield "", "recipe", f"{schedule.length} {schedule.unit}, {_optimizer(experiment)}"
    for kind, found in (("replaced", reading.replaced), ("left aside", reading.aside)):
        for number, (reason, paths) in enumerate(_by_reason(found).items()):
            yield kind if number == 0 else "", ", ".join(paths), reason
    for number, obstacle in enumerate(imported.obstacles):
        yield "not understood" if number == 0 else "", obstacle.path, obstacle.reason


def _by_reason(found: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for path, reason in found.items():
        reasons.setdefault(reason, []).append(path)
    return reasons


def _steps(transforms: tuple[object, ...]) -> str:
    return ", ".join(type(transform).__name__ for transform in transforms) or "none"


def _optimizer(experiment: Experiment) -> str:
    name = type(experiment.optimizer).__name__.removesuffix("Config")
    return f"{name} at {experiment.optimizer.lr:g}"


def _nearest(experiment: Experiment) -> list[str]:
    """The zoo's model that is most like this one, and the settings that differ."""
    from detzoo import zoo
    from detzoo.config import diff, leaves

    def settings(model: object) -> set[tuple[str, str]]:
        return {(path, repr(value)) for path, value in leaves(model)}

    own = settings(experiment.model)
    distances = {entry: len(own ^ settings(entry.experiment.model)) for entry in zoo.entries()}
    least = min(distances.values())
    alike = [entry for entry, distance in distances.items() if distance == least]
    entry = min(alike, key=lambda entry: len(diff(entry.experiment, experiment)))
    rows = diff(entry.experiment, experiment)
    if not rows:
        return [f"zoo      {entry.name}"]
    lines = [f"zoo      most similar is {entry.name}, with {len(rows)} different settings:"]
    for path, theirs, given in rows[:MOST_ROWS]:
        lines.append(f"  {path} = {_short(theirs)}  ->  {_short(given)}")
    return lines + (["  ..."] if len(rows) > MOST_ROWS else [])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fitting_weights(imported: Imported, file: Path) -> tuple[Experiment, Mapping[str, Tensor]]:
    """The weights in ``file``, and the experiment with the class names that it has.

    Raises :class:`CheckpointError` if they are for another model or other classes.
    """
    from detzoo.checkpoints import checkpoint

    experiment = imported.experiment
    given = checkpoint.read_weights(file)
    named = given.class_names
    if named is not None and not experiment.model.is_class_agnostic:
        if len(named) > len(experiment.all_names):
            raise CheckpointError(
                f"{file}: has {len(named)} classes ({', '.join(named[:5])}...), but the "
                f"configuration has {len(experiment.all_names)}. Give the checkpoint's own "
                "configuration; `train --weights` transfers weights to other classes by name."
            )
        experiment = experiment.with_all_names(imported.row_names(named))
    model = experiment.build_model()
    checkpoint.load_strictly(model, given.tensors, str(file))
    return experiment, model.state_dict()
