"""``detzoo complexity``: counts the parameters and FLOPs of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from detzoo.cli.common import (
    Imports,
    JsonFile,
    Settings,
    Trust,
    check_source,
    find_experiment,
    plain_console,
)


def complexity(
    name: Annotated[str, typer.Argument(help="A model, a checkpoint or a V2 config file.")],
    size: Annotated[
        tuple[int, int], typer.Option(metavar="HEIGHT WIDTH", help="Size of the network input.")
    ] = (800, 1333),
    settings: Settings = None,
    imports: Imports = None,
    trust: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Count the parameters and floating-point operations of a model, part by part.

    A multiply-add counts as two operations; MMDetection's get_flops counts it once. Norms,
    activations and NMS are not counted.

    Examples:

      detzoo complexity retinanet_r50_fpn_1x_coco

      detzoo complexity yolox_s_8x8_300e_coco --size 640 640
    """
    check_source(name)
    from rich.table import Table

    from detzoo.benchmark.complexity import measure_complexity
    from detzoo.errors import ConfigError
    from detzoo.files import write_json

    height, width = size
    if min(size) < 32:
        raise ConfigError(f"--size {height} {width}: is smaller than 32 pixels")
    experiment = find_experiment(name, settings, trust=trust)
    parts = measure_complexity(experiment.build_model(), height, width)
    table = Table("part", "M parameters", "GFLOPs", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for part in parts:
        table.add_row(part.name, f"{part.parameters / 1e6:.2f}", f"{part.flops / 1e9:.1f}")
    parameters = sum(part.parameters for part in parts)
    flops = sum(part.flops for part in parts)
    table.add_row("all", f"{parameters / 1e6:.2f}", f"{flops / 1e9:.1f}")
    console = plain_console()
    console.print(f"{name} at {height}x{width}")
    console.print(table)
    if json_file is not None:
        rows = [vars(part) for part in parts]
        content = {"name": name, "size": [height, width], "parts": rows}
        write_json(json_file, {**content, "parameters": parameters, "flops": flops})
