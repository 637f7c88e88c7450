"""``detzoo checkpoint``: shows the content of a weight file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detzoo.cli.common import Imports, check_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def checkpoint(
    source: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A checkpoint, or a file of bare weights."),
    ],
    keys: Annotated[
        bool, typer.Option("--keys", help="Also list every tensor with its shape and dtype.")
    ] = False,
    imports: Imports = None,
) -> None:
    """Show what is in a weight file: what wrote it, its classes and its tensors.

    Nothing in the file is executed. Tensors from MMDetection 2.x are listed under the names of its
    last version.

    Examples:

      detzoo checkpoint retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth

      detzoo checkpoint best.pt --keys
    """
    check_source(None, source)
    from rich.console import Console
    from rich.markup import escape

    from detzoo.weights.files import read_file
    from detzoo.weights.locate import local_file

    file = local_file(source)
    facts, tensors = _describe(read_file(file), file)
    count = sum(tensor.numel() for tensor in tensors.values())
    facts["tensors"] = f"{len(tensors)}, with {count:,} elements"
    facts["hash"], is_right = _check_hash(file)
    console = Console(highlight=False)
    console.print(escape(f"{file}  {file.stat().st_size / 1e6:.1f} MB"), soft_wrap=True)
    for name, fact in facts.items():
        console.print(escape(f"  {name:<13} {fact}"), soft_wrap=True)
    if keys:
        for name, tensor in tensors.items():
            kind = str(tensor.dtype).removeprefix("torch.")
            console.print(escape(f"{name}  {tuple(tensor.shape)} {kind}"), soft_wrap=True)
    if not is_right:
        console.print("1 fault: the file does not match the hash in its name", soft_wrap=True)
        raise typer.Exit(1)


def _describe(content: Any, file: Path) -> tuple[dict[str, str], Mapping[str, Tensor]]:
    """Describes a checkpoint: facts by name, and its tensors."""
    from detzoo.checkpoints.checkpoint import checkpoint_in, is_ours, listed, weights_in
    from detzoo.mmdet.checkpoint import interpret, is_v2

    if is_v2(content):
        v2 = interpret(content, file)
        facts = {
            "written by": f"MMDetection {v2.version}",
            "configuration": "inside" if v2.config_text is not None else "none",
            "classes": _listed(v2.class_names),
        }
        if v2.epoch is not None:
            facts["epoch"] = str(v2.epoch)
        if v2.iteration is not None:
            facts["iteration"] = str(v2.iteration)
        return facts, v2.tensors
    if is_ours(content):
        ours = checkpoint_in(content, file)
        return {
            "written by": f"detzoo {content.get('detzoo')}, torch {content.get('torch')}",
            "configuration": "inside",
            "classes": _listed(ours.experiment.all_names),
            "training": "can be resumed" if ours.training is not None else "finished or stripped",
            "weights": "averaged" if ours.ema is not None else "as trained",
            "architecture": listed(ours.changed_modules) or "the configuration's",
        }, ours.to_detect.tensors
    return {"written by": "unknown: bare weights"}, weights_in(content, file).tensors


def _listed(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "not named"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{len(names)}: {', '.join(names[:8])}{more}"


def _check_hash(file: Path) -> tuple[str, bool]:
    """Checks a file against the hash in its name; returns a description and whether it matches."""
    from detzoo.weights.files import has_digits
    from detzoo.weights.places import hash_digits

    digits = hash_digits(file.name)
    if digits is None:
        return "none in the file's name", True
    is_right = has_digits(file, digits)
    return f"{digits}: {'matches' if is_right else 'MISMATCH, the file is damaged'}", is_right
