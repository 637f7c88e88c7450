"""Initializes detectors from trained weights: for other classes, or the backbone alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from detzoo.backbones.base import PretrainedModules
from detzoo.backbones.input_channels import fit_input_kernels
from detzoo.backbones.other_names import to_backbone_names
from detzoo.backbones.pretrained import find_pretrained
from detzoo.checkpoints.checkpoint import is_counter, load_strictly, mismatches, read_weights
from detzoo.detectors.base import Detector
from detzoo.errors import CheckpointError
from detzoo.heads.class_rows import ClassRows
from detzoo.layers.branched import is_branch_weight


@dataclass(frozen=True)
class ClassTransfer:
    """Which classes were initialized from trained rows and which were not, in the model's order.

    ``unused`` are the classes of the weights that the model does not have.
    """

    copied: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class BackboneReport:
    """Names missing from the weights (the model keeps its values), and unexpected names."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


@torch.no_grad()
def initialize(
    model: Detector,
    weights: Mapping[str, Tensor],
    *,
    from_names: Sequence[str] | None,
    to_names: Sequence[str],
    num_stuff: int = 0,
    source: str = "weights",
) -> ClassTransfer:
    """Initializes ``model`` (for ``to_names``) with ``weights`` trained for ``from_names``.

    Of ``to_names``, the last ``num_stuff`` are stuff, which only panoptic detectors have; how many
    of ``from_names`` are follows from the rows of the weights.

    Tensors that do not depend on the classes are copied entirely. Of those that do, the rows of
    classes with the same name are copied, as are shared ones such as background; the model keeps
    its values in other rows. ``from_names`` None means that the classes of the weights are unknown:
    tensors that depend on classes are not copied, since rows could only be matched by position.
    Raises :class:`CheckpointError` if the weights belong to another model.
    """
    weights = fit_input_kernels(weights, model.state_dict())
    own = model.state_dict()
    # Branches share the kernel of a convolution, which is a start for one with others, or none.
    weights = {n: value for n, value in weights.items() if not is_branch_weight(n)}
    weights |= {name: own[name] for name in own if is_branch_weight(name)}
    if from_names is None:
        fresh = {name: own[name] for name in model.class_parameters()}
        load_strictly(model, {**weights, **fresh}, source)
        return ClassTransfer(copied=(), fresh=tuple(to_names), unused=())
    known = set(to_names)
    merged = dict(weights)
    parameters = {
        name: rows for name, rows in model.class_parameters().items() if name in weights
    }  # others are reported below, as missing names
    before = _parts(from_names, _num_stuff(parameters, weights, own, len(from_names)))
    after = _parts(to_names, num_stuff)
    for name, rows in parameters.items():
        old, new = before[rows.of], after[rows.of]
        _check_rows(weights[name], own[name], rows, name, len(old), source)
        place = {one: row for row, one in enumerate(old)}
        pairs = [(row, place[one]) for row, one in enumerate(new) if one in place]
        to_rows, from_rows = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1)
        mixed = own[name].detach().cpu().clone()
        given = weights[name].to(mixed)[rows.place(from_rows, len(old))]
        mixed[rows.place(to_rows, len(new))] = given
        merged[name] = mixed
    load_strictly(model, merged, source)
    return ClassTransfer(
        copied=tuple(name for name in to_names if name in from_names),
        fresh=tuple(name for name in to_names if name not in from_names),
        unused=tuple(name for name in from_names if name not in known),
    )


def initialize_backbone(modules: PretrainedModules, pretrained: str) -> BackboneReport:
    """Loads the weights called ``pretrained`` into ``modules``: the backbone, and shared stages of
    the RoI head, which the weights store as further stages of the backbone.

    Raises :class:`CheckpointError` when the file cannot be found or belongs to another backbone.
    """
    source: Path | str = pretrained
    weights = modules[0].own_weights(pretrained)
    if weights is None:
        source = find_pretrained(pretrained)
        weights = to_backbone_names(read_weights(source).tensors)
    weights = modules[0].fit_weights(weights)
    own = {name: value for module in modules for name, value in module.state_dict().items()}
    fitting = {name: value for name, value in weights.items() if name in own}
    fitting = fit_input_kernels(fitting, own)
    wrong = [text for text in mismatches(own, fitting) if not text.startswith("missing ")]
    if wrong or not fitting:
        reason = "; ".join(wrong[:6]) or "none of its tensor names is known"
        raise CheckpointError(
            f"{source}: does not fit the backbone with pretrained={pretrained!r}: {reason}. "
            "Choose weights of the same architecture with --set model.backbone.pretrained=NAME, "
            "or train without pretrained weights: --from-scratch."
        )
    for module in modules:
        module.load_state_dict(fitting, strict=False)
    return BackboneReport(
        missing=tuple(
            name
            for name in own
            if name not in weights and not is_counter(name) and not is_branch_weight(name)
        ),
        unexpected=tuple(name for name in weights if name not in own),
    )


def _parts(names: Sequence[str], num_stuff: int) -> dict[str, Sequence[str]]:
    """Those of things, of stuff, and of all."""
    things = len(names) - num_stuff
    return {"things": names[:things], "stuff": names[things:], "all": names}


def _num_stuff(
    parameters: Mapping[str, ClassRows],
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    num_names: int,
) -> int:
    """How many of the names that ``weights`` were trained for are those of stuff."""
    for name, rows in parameters.items():
        if rows.of == "stuff":
            shape = tuple(own[name].shape)
            counts = range(num_names + 1)
            return next((n for n in counts if rows.shape(shape, n) == weights[name].shape), 0)
    return 0


def _check_rows(
    given: Tensor, own: Tensor, rows: ClassRows, name: str, num_classes: int, source: str
) -> None:
    expected = rows.shape(tuple(own.shape), num_classes)
    if given.shape != expected:
        raise CheckpointError(
            f"{source}: its weights belong to another model, or to other classes than it lists: "
            f"{name} has shape {tuple(given.shape)} instead of {expected} for its "
            f"{num_classes} classes."
        )
