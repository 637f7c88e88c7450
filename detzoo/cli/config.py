"""``detzoo config``: shows, explains or compares configurations or parts of them."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from detzoo.cli.common import Imports, Settings, Trust, find_experiment, wide_console
from detzoo.errors import ConfigError


def config(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A model's name, a checkpoint, an experiment.json, or a V2 config file.",
            show_default=False,
        ),
    ] = None,
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            help="Only this part, such as model.backbone or data.train_transforms[0].",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Explain what it does and which values are allowed."),
    ] = False,
    types: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="List the types of a kind: losses, heads, backbones, necks, transforms, ...; or "
            "those that a slot accepts: BoxLoss.",
            show_default=False,
        ),
    ] = None,
    settings: Settings = None,
    imports: Imports = None,
    trust: Trust = False,
    diff: Annotated[
        str | None,
        typer.Option(metavar="OTHER", help="Show only the differences from this configuration."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, which train and config can read.")
    ] = False,
) -> None:
    """Show all settings of a model and its training.

    Any line can be passed to --set with another value. Comments name the class of each part.

    Examples:

      detzoo config retinanet_r50_fpn_1x_coco

      detzoo config retinanet_r50_fpn_1x_coco --explain model.bbox_head.assigner

      detzoo config retinanet_r50_fpn_1x_coco --diff retinanet_r101_fpn_2x_coco

      detzoo config runs/x-1/best.pt --set model.neck.out_channels=128 --json > mine.json

      detzoo config --types losses
    """
    from detzoo.config import diff as differences
    from detzoo.config import find, to_dict

    if types is not None:
        from detzoo.cli.types import print_types

        print_types(wide_console(), types)
        return
    if name is None:
        raise ConfigError("NAME: give a model (detzoo models lists the zoo's), or --types KIND")
    if explain and (diff is not None or as_json):
        raise ConfigError(
            "--explain: cannot be combined with --diff or --json; give only one of them"
        )
    to_train = path is None or not path.startswith("model")
    experiment = find_experiment(name, settings, trust=trust, to_train=to_train)
    part = find(experiment, path).value if path else experiment
    if explain:
        from detzoo.cli.explain import explain as print_explanation

        print_explanation(wide_console(), experiment, path or "")
    elif diff is not None:
        other = find_experiment(diff, trust=trust, to_train=to_train)
        rows = differences(part, find(other, path).value if path else other, path or "")
        if as_json:
            changed = [{"path": p, "a": to_dict(a), "b": to_dict(b)} for p, a, b in rows]
            print(json.dumps(changed, indent=1))
        else:
            for path, a, b in rows:
                print(f"{path} = {_text(a)}  ->  {_text(b)}")
            print(f"# {len(rows)} settings differ" if rows else "# no difference")
    elif as_json:
        print(json.dumps(to_dict(part), indent=1))
    else:
        _print_lines(part, path or "")


def _print_lines(value: Any, path: str) -> None:
    """Prints ``leaves``, with a comment before each part that names its class."""
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
    """Formats a value as --set reads it."""
    from detzoo.config import to_dict

    if dataclasses.is_dataclass(value) or _holds_configs(value):
        return json.dumps(to_dict(value))
    return repr(value)
