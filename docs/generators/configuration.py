"""The configuration reference: every class of settings, from its annotations and docstring."""

from __future__ import annotations

import dataclasses
import inspect
from collections import defaultdict
from collections.abc import Sequence

from detzoo.checkpoints.catalog import config_classes
from detzoo.cli.explain import choices, default, field_docs, is_literal, ranges
from detzoo.config import hints_of, spelled
from docs.generators.docstrings import cell, markdown

FOLDER = "configuration"
# What a package holds, in the order of a recipe; others follow by name.
TITLES = {
    "experiment": "Experiments",
    "detectors": "Detectors",
    "backbones": "Backbones",
    "necks": "Necks",
    "heads.dense": "Dense heads",
    "heads.roi": "RoI heads",
    "heads.query": "Query heads",
    "heads.mask_grid": "Mask grid heads",
    "heads.heatmap": "Heatmap heads",
    "heads": "Other heads",
    "priors": "Anchors and points",
    "assigners": "Assignment",
    "samplers": "Sampling",
    "coders": "Box coding",
    "losses": "Losses",
    "postprocess": "Selection and NMS",
    "layers": "Layers",
    "structures": "Pixels",
    "data": "Data",
    "data.transforms": "Transforms",
    "optim": "Optimizers and schedules",
}


def pages() -> dict[str, str]:
    """Markdown by path: an overview, and a page per package."""
    groups = _groups()
    homes = {name: home.rpartition("/")[2] for name, home in _homes(groups).items()}
    order = sorted(groups, key=lambda g: (list(TITLES).index(g) if g in TITLES else 99, g))
    made = {f"{FOLDER}/index.md": _overview(order, groups)}
    for group in order:
        classes = sorted(groups[group], key=lambda cls: cls.__name__)
        text = "\n".join(_section(cls, homes) for cls in classes)
        made[f"{FOLDER}/{_slug(group)}.md"] = f"# {_title(group)}\n\n{text}"
    return made


def homes() -> dict[str, str]:
    """Where each class is documented, below ``docs``."""
    return _homes(_groups())


def _groups() -> dict[str, list[type]]:
    """The classes that files can name, by package."""
    groups: dict[str, list[type]] = defaultdict(list)
    for name in config_classes():
        try:
            cls = config_classes()[name]
        except KeyError:  # abstract: no file can have it
            continue
        groups[_group(cls.__module__)].append(cls)
    return groups


def _homes(groups: dict[str, list[type]]) -> dict[str, str]:
    return {
        cls.__name__: f"{FOLDER}/{_slug(group)}.md#{cls.__name__.lower()}"
        for group, classes in groups.items()
        for cls in classes
    }


def _group(module: str) -> str:
    parts = module.split(".")[1:-1] or module.split(".")[1:]
    return ".".join(parts[:2])


def _slug(group: str) -> str:
    return group.replace(".", "_")


def _title(group: str) -> str:
    return TITLES.get(group, group.replace("_", " ").capitalize())


def _overview(order: Sequence[str], groups: dict[str, list[type]]) -> str:
    lines = [
        "# Configuration reference",
        "",
        "Every class that a configuration can have, with its fields. `detzoo config NAME` shows",
        "the values of a model, `detzoo config NAME --explain PATH` explains one of them, and",
        "`--set PATH=VALUE` changes it. A part is written in JSON as",
        '`{"type": "ClassName", "field": value}`; fields that are left out have their defaults.',
        "",
        "| | classes |",
        "|---|---|",
    ]
    for group in order:
        page = f"{_slug(group)}.md"
        names = ", ".join(
            f"[{cls.__name__}]({page}#{cls.__name__.lower()})"
            for cls in sorted(groups[group], key=lambda cls: cls.__name__)
        )
        lines.append(f"| [{_title(group)}]({page}) | {names} |")
    return "\n".join(lines) + "\n"


def _section(cls: type, homes: dict[str, str]) -> str:
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    if text.startswith(f"{cls.__name__}("):
        text = ""  # the signature that dataclasses write
    text = text.partition("\nArgs:\n")[0].strip()
    lines = [f"## {cls.__name__}", "", markdown(text), "", f"`{cls.__module__}`", ""]
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    if fields:
        docs, hints = field_docs(cls), hints_of(cls)
        lines += ["| field | type | default | |", "|---|---|---|---|"]
        for field in fields:
            annotation = hints[field.name]
            limits = "; ".join(dict.fromkeys(map(str, ranges(annotation))))
            kinds = [] if is_literal(annotation) else choices(annotation)
            kinds = [f"[{kind}]({homes[kind]})" for kind in kinds if kind in homes]
            words = [docs.get(field.name, ""), f"Range: {limits}." if limits else ""]
            words.append(f"One of {', '.join(kinds)}." if kinds else "")
            about = " ".join(word for word in words if word)
            row = (f"`{field.name}`", f"`{spelled(annotation)}`", f"`{default(field)}`", about)
            lines.append(f"| {' | '.join(map(cell, row))} |")
        lines.append("")
    return "\n".join(lines)
