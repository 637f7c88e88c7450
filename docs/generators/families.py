"""A page per family of the zoo: what it is about, how to train and use it, and its table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.data.transforms import Resize
from detzoo.experiment import Experiment
from detzoo.zoo.entry import Family
from docs.generate import IDEAS, table
from docs.generators import configuration

FOLDER = "zoo"


def pages() -> dict[str, str]:
    """Markdown by path."""
    homes = configuration.homes()
    return {path(family): _page(family, homes) for family in zoo.families()}


def path(family: Family) -> str:
    """Where the page of a family is, below ``docs``."""
    return f"{FOLDER}/{family.folder.replace('+', '-')}.md"


def _page(family: Family, homes: dict[str, str]) -> str:
    published = [entry for entry in family.entries if entry.weights] or family.entries
    first = min(published, key=lambda entry: entry.parameters or 0)  # the one to begin with
    recipe = first.experiment
    needs = _needs(recipe)
    commands = [
        f"detzoo train {first.name} --data my_data{needs}",
        f"detzoo config {first.name}",
    ]
    if first.weights and not recipe.model.needs_proposals:
        commands.insert(0, f"detzoo predict {first.name} photo.jpg")
        commands.append(f"detzoo test {first.name} --data coco")
    code = "\n".join(commands)
    parts = ", ".join(
        f"[{name}](../{homes[name]})"
        for name in dict.fromkeys(_parts(recipe.model))
        if name in homes
    )
    return f"""\
# {family.title}

{IDEAS[family.folder]["en"]} [Paper]({family.paper})

```bash
{code}
```

{_recipe(first.name, recipe)}

Its parts: {parts}.

{table(family)}

AP in percent on the validation set of its data, memory in GB per GPU and milliseconds on a V100 as
MMDetection published them. [What the columns mean](../zoo.md), and [all families](../zoo.md).
"""


def _needs(recipe: Experiment) -> str:
    needs = " --proposals proposals.json" if recipe.model.needs_proposals else ""
    return needs + (" --semantic-maps maps" if recipe.model.needs_semantic_maps else "")


def _recipe(name: str, recipe: Experiment) -> str:
    """The recipe of one entry in a sentence or two."""
    optimizer, schedule = recipe.optimizer, recipe.schedule
    kind = type(optimizer).__name__.removesuffix("Config")
    batch = recipe.reference_batch or recipe.data.images_per_device
    sizes = [t.sizes for t in recipe.data.test_transforms if isinstance(t, Resize)]
    size = (
        f", images of {sizes[0][0][0]}x{sizes[0][0][1]} pixels at most in evaluation"
        if sizes
        else ""
    )
    text = (
        f"The recipe of `{name}`: {schedule.length} {schedule.unit} of {kind} with a learning rate "
        f"of {optimizer.lr:g} for {batch} images per step (scaled to yours){size}."
    )
    if recipe.model.needs_proposals:
        text += " It needs proposals, which `detzoo test RPN --save-proposals FILE` writes."
    if recipe.model.needs_semantic_maps:
        text += " Training needs semantic maps: a grayscale PNG of classes per image."
    return text


def _parts(value: Any) -> Iterator[str]:
    """The names of the classes of the detector's main parts."""
    yield type(value).__name__
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if dataclasses.is_dataclass(part) and type(part).__name__ in config_classes():
            is_main = field.name in ("backbone", "neck") or field.name.endswith("_head")
            if is_main:
                yield from (
                    _parts(part) if field.name.endswith("roi_head") else [type(part).__name__]
                )
