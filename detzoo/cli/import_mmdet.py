"""``detzoo import-mmdet``: converts a V2 configuration, and a checkpoint for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import check_source
from detzoo.errors import CheckpointError, ConfigError
from detzoo.files import check_output, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from detzoo.experiment import Experiment

# Maximum number of differences from the most similar model of the zoo to print.
MOST_ROWS = 12


def import_mmdet(
    config: Annotated[
        Path, typer.Argument(help="An MMDetection 2.x configuration file, which is executed.")
    ],
    checkpoint: Annotated[
        str | None, typer.Option(help="Its weights: an MMDetection 2.x checkpoint.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write a checkpoint (.pt, with --checkpoint) or the experiment (.json).",
        ),
    ] = None,
) -> None:
    """Convert an MMDetection 2.x configuration, and show which model of the zoo it is.

    Settings that are not understood are errors. train, test, predict and config accept such files
    directly in place of a model's name; importing shows what they become, and writes a checkpoint
    that no longer needs the file.

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
    from detzoo.mmdet import read_experiment

    experiment = read_experiment(config)
    _print_summary(experiment)
    if checkpoint is not None:
        experiment, weights = _fitting_weights(experiment, checkpoint)
        print(f"weights: {checkpoint} fits, {len(weights)} tensors")
        if out is not None and out.suffix == ".pt":
            checkpoints.save(out, checkpoints.Checkpoint(experiment, weights))
    if out is not None and out.suffix == ".json":
        write_json(out, to_dict(experiment))
    if out is not None:
        print(f"wrote {out}")


def _print_summary(experiment: Experiment) -> None:
    """Prints the parts in a few lines, and the most similar model of the zoo."""
    from rich.console import Console
    from rich.markup import escape

    names = experiment.class_names
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    schedule = experiment.schedule
    console = Console(highlight=False)
    for line in (
        f"model    {type(experiment.model).__name__.removesuffix('Config')}, "
        f"{type(experiment.model.backbone).__name__.removesuffix('Config')} "
        f"({experiment.model.backbone.pretrained_name or 'from scratch'})",
        f"classes  {len(names)}: {', '.join(names[:8])}{more}",
        f"recipe   {schedule.length} {schedule.unit}, {type(experiment.optimizer).__name__} at "
        f"{experiment.optimizer.lr:g} for {experiment.reference_batch} images",
        *_nearest(experiment),
    ):
        console.print(escape(line), soft_wrap=True)


def _nearest(experiment: Experiment) -> list[str]:
    """The zoo's model with the fewest different settings, and what these are."""
    from detzoo import zoo
    from detzoo.config import diff

    entry = min(zoo.entries(), key=lambda entry: len(diff(entry.experiment, experiment)))
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


def _fitting_weights(experiment: Experiment, file: str) -> tuple[Experiment, Mapping[str, Tensor]]:
    """The weights in ``file``, and the experiment with the class names that it has.

    Raises :class:`CheckpointError` if they are for another model or other classes.
    """
    from detzoo.checkpoints import checkpoint

    given = checkpoint.read_weights(file)
    named = given.class_names
    if named is not None and not experiment.model.is_class_agnostic:
        if len(named) != len(experiment.class_names):
            raise CheckpointError(
                f"{file}: has {len(named)} classes ({', '.join(named[:5])}...), but the "
                f"configuration has {len(experiment.class_names)}. Give the checkpoint's own "
                "configuration; `train --weights` transfers weights to other classes by name."
            )
        experiment = replace(experiment, class_names=named)
    model = experiment.build_model()
    checkpoint.load_strictly(model, given.tensors, str(file))
    return experiment, model.state_dict()
