"""Checkpoints of MMDetection 1.x to 3.x: weights, class names, and the configuration as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from detzoo.errors import CheckpointError
from detzoo.mmdet.config_text import parse_config
from detzoo.mmdet.renames import current_names, without_averages
from detzoo.mmdet.version1_weights import upgraded
from detzoo.mmdet.version3_models import names_of_version2
from detzoo.weights.files import has_digits, tensors_in
from detzoo.weights.places import hash_digits


@dataclass(frozen=True)
class V2Checkpoint:
    """What MMDetection 1.x to 3.x saved. Tensors have the names of 2.28.2.

    ``class_names`` and ``config_text`` are None where the file says nothing of them.
    """

    source: str
    version: str
    tensors: Mapping[str, Tensor]
    class_names: tuple[str, ...] | None
    config_text: str | None
    epoch: int | None = None
    iteration: int | None = None

    def config(self) -> dict[str, Any]:
        """The V2 configuration, merged.

        Raises :class:`CheckpointError` where there is none, :class:`ConfigError` where it is more
        than plain values.
        """
        if self.config_text is None:
            raise CheckpointError(
                f"{self.source}: names no configuration. Give the model's name or its config file, "
                "and this file as --weights."
            )
        return parse_config(self.config_text, self.source)


def is_v2(content: Any) -> bool:
    """Whether :func:`read_file` returned a checkpoint that MMDetection wrote, of any version."""
    meta = _meta(content) if isinstance(content, Mapping) else {}
    return "mmdet_version" in meta or _is_v3(meta)


def _is_v3(meta: Mapping[str, Any]) -> bool:
    """Whether MMEngine wrote it, with the configuration and the classes of MMDetection 3.x."""
    return "mmengine_version" in meta and isinstance(meta.get("dataset_meta"), Mapping)


def interpret(content: Mapping[str, Any], path: Path | str) -> V2Checkpoint:
    """The checkpoint in ``content``, which was read from ``path``.

    Weights of 1.x are laid out as those of 2.0. Raises :class:`CheckpointError` for the versions
    from 4.0 on.
    """
    meta = _meta(content)
    names, text = meta.get("CLASSES"), meta.get("config")
    if _is_v3(meta):
        data = meta["dataset_meta"]
        version, text = "3", meta.get("cfg")
        names = data.get("classes", data.get("CLASSES"))
    else:
        version = str(meta["mmdet_version"])
    class_names = _class_names(names, path)
    tensors: Mapping[str, Tensor] = without_averages(tensors_in(content, path))
    if version == "3":
        tensors = names_of_version2(tensors)
    elif _is_before_2(version, path):
        tensors = upgraded(tensors, class_names, str(path))
    return V2Checkpoint(
        source=str(path),
        version=version,
        tensors=current_names(tensors),
        class_names=class_names,
        config_text=_text(text),
        epoch=_number(meta.get("epoch")),
        iteration=_number(meta.get("iter")),
    )


def _meta(content: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = content.get("meta")
    return meta if isinstance(meta, Mapping) else {}


def _is_before_2(version: str, path: Path | str) -> bool:
    """Whether the file has the layout of 1.x. Raises :class:`CheckpointError` from 4.0 on."""
    major = re.match(r"\d+", version)
    if major is None:
        raise CheckpointError(f"{path}: says that MMDetection {version!r:.40} has written it.")
    if int(major[0]) > 3:
        raise CheckpointError(
            f"{path}: was written by MMDetection {version}; files of 1.x to 3.x are read here."
        )
    return int(major[0]) < 2 and not _is_of_the_zoo(Path(path))


def _is_of_the_zoo(path: Path) -> bool:
    """Whether the file is one that the V2 zoo published, digits of the hash included.

    Some of these were trained with the development version, which called itself 1.x, but are laid
    out as in 2.0.
    """
    from detzoo import zoo

    digits = hash_digits(path.name)
    names = {Path(entry.weights).name for entry in zoo.entries() if entry.weights}
    return digits is not None and path.name in names and has_digits(path, digits)


def _class_names(value: Any, path: Path | str) -> tuple[str, ...] | None:
    """``CLASSES``: names, one name, or nothing where the data had none."""
    if value is None:
        return None
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{path}: its class names (meta.CLASSES) are {value!r:.60}.")
    # V2 calls a truck " truck" in COCO's panoptic annotations.
    return tuple(name.strip() for name in names)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
