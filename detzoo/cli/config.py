"""``detzoo config``: a configuration whole, or what differs between two."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from detzoo.cli.common import Imports, Settings, find_experiment


def config(
    name: Annotated[
        str,
        typer.Argument(
            help="A model's name, a checkpoint, an experiment.json, or a V2 config file."
        ),
    ],
    settings: Settings = None,
    imports: Imports = None,
    diff: Annotated[
        str | None,
        typer.Option(metavar="OTHER", help="Show only what differs from this other one."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="As JSON, which train and config read again.")
    ] = False,
) -> None:
    """Show every setting of a model and of its training.

    Each line can be given to --set, with another value. Comments name the class of each part.

    Examples:

      detzoo config retinanet_r50_fpn_1x_coco

      detzoo config retinanet_r50_fpn_1x_coco --diff retinanet_r101_fpn_2x_coco

      detzoo config runs/x-1/best.pt --set model.neck.out_channels=128 --json > mine.json
    """
    from detzoo.config import diff as differences
    from detzoo.config import to_dict

    experiment = find_experiment(name, settings)
    if diff is not None:
        other = find_experiment(diff)
        rows = differences(experiment, other)
        if as_json:
            changed = [{"path": p, "a": to_dict(a), "b": to_dict(b)} for p, a, b in rows]
            print(json.dumps(changed, indent=1))
        else:
            for path, a, b in rows:
                print(f"{path} = {_text(a)}  ->  {_text(b)}")
            print(f"# {len(rows)} settings differ" if rows else "# no difference")
    elif as_json:
        print(json.dumps(to_dict(experiment), indent=1))
    else:
        _print_lines(experiment, "")


def _print_lines(value: Any, path: str) -> None:
    """``leaves`` with a comment before each part, which names its class."""
    if _holds_configs(value):
        for i, item in enumerate(value):
            _print_lines(item, f"{path}[{i}]")
    elif dataclasses.is_dataclass(value) and dataclasses.fields(value):
        print(f"# {path + ': ' if path else ''}{type(value).__name__}")
        for field in dataclasses.fields(value):
            inner = f"{path}.{field.name}" if path else field.name
            _print_lines(getattr(value, field.name), inner)
    else:
        print(f"{path} = {_text(value)}")


def _holds_configs(value: Any) -> bool:
    return isinstance(value, tuple) and any(dataclasses.is_dataclass(item) for item in value)


def _text(value: Any) -> str:
    """As --set reads it."""
    from detzoo.config import to_dict

    if dataclasses.is_dataclass(value) or _holds_configs(value):
        return json.dumps(to_dict(value))
    return repr(value)
