"""The training and validation data of ``detzoo train``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from detzoo.cli.common import is_first_process, open_sets, print_dataset
from detzoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from detzoo.cli.run_options import RunOptions
    from detzoo.data.dataset import DetectionDataset
    from detzoo.data.hold_out import Division, HoldOut

# In a run folder: how the data is divided into training and held-out images.
FILE = "split.json"
# Held out by default if there is no validation data, unless there are very few images.
_DEFAULT_FRACTION, _MIN_IMAGES = 0.2, 10


@dataclass(frozen=True)
class RunData:
    """The training and validation data of a run.

    ``division`` is set if the validation images are held out of the training data.
    ``test_arguments`` are the options that open ``val`` in ``detzoo test``; None: nothing is
    evaluated. ``broken`` states what is wrong with each image that was left out.
    """

    train: DetectionDataset
    val: DetectionDataset | None
    division: Division | None
    test_arguments: tuple[str, ...] | None
    broken: tuple[str, ...]


def open_run_data(
    options: RunOptions,
    seed: int,
    run_dir: Path | None = None,
    v2_names: tuple[str, ...] | None = None,
) -> RunData:
    """Opens the data that ``options`` request, and prints what it is; ``run_dir`` is the folder of
    the run to be resumed, if any.

    ``v2_names`` are the classes that the model's V2 file trains, if it names them. Raises
    :class:`DataError` and :class:`ConfigError`.
    """
    from detzoo.data.union import union

    kept = None if run_dir is None else _kept_division(run_dir, options)
    _check(options)
    sets, broken = open_sets(
        options.data,
        options.images,
        options.split,
        skip_broken=options.skip_broken,
        ignore_exif=options.ignore_exif,
    )
    try:
        data = union(sets, _class_names(options) or v2_names)
    except DataError as error:
        if options.classes is not None or v2_names is None:
            raise
        hint = f"{options.name} trains its classes=; to train others: --classes A,B,C"
        raise DataError(f"{error} ({hint})") from None
    data = _with_extras(data, options)
    source = _validation_source(options)
    division = kept
    if division is None:
        rule, text = _rule(options, seed, len(data), source is not None or run_dir is not None)
        division = None if rule is None else _divide(rule, text, sets, data, options.split)
    if division is not None:
        train, val = _sides(division, sets, data, str(FILE if kept is None else run_dir))
        return RunData(train, val, division, _test_arguments(options, None), broken)
    _show("train", data)
    if source is None:
        if is_first_process():
            print(
                "val none: no evaluation, and only last.pt is written (give --val or "
                "--val-fraction)"
            )
        return RunData(data, None, None, None, broken)
    val, also_broken = _open_validation_data(source, options, data.class_names)
    arguments = _test_arguments(options, source)
    return RunData(data, val, None, arguments, (*broken, *also_broken))


def _check(options: RunOptions) -> None:
    if not options.data:
        raise ConfigError("--data: give the folder of a data set, or its annotation file")
    given = [
        name
        for name, value in (
            ("--val", options.val),
            ("--val-fraction", options.val_fraction),
            ("--fold", options.fold),
        )
        if value
    ]
    if len(given) > 1:
        raise ConfigError(
            f"{given[1]}: {given[0]} already determines the validation data. Remove one of them."
        )
    fraction = options.val_fraction
    if fraction is not None and not 0 <= fraction < 1:
        raise ConfigError(
            f"--val-fraction {fraction}: must be at least 0 and less than 1, such as 0.2"
        )


def _class_names(options: RunOptions) -> list[str] | None:
    """The class names of ``--classes``, if given."""
    if options.classes is None:
        return None
    return [part.strip() for part in options.classes.split(",")]


def _with_extras(data: DetectionDataset, options: RunOptions) -> DetectionDataset:
    """Attaches the proposals and semantic maps of ``options`` to ``data``."""
    from detzoo.data.proposals import read_proposals

    if options.proposals is not None:
        data = replace(data, proposals=read_proposals(Path(options.proposals), data))
    if options.semantic_maps is not None:
        data = data.with_semantic_maps(options.semantic_maps)
    return data


def _show(purpose: str, data: DetectionDataset) -> None:
    if is_first_process():
        print_dataset(purpose, data)


# ------------------------------------------------------------------------- held out of the data


def _rule(
    options: RunOptions, seed: int, num_images: int, has_other: bool
) -> tuple[HoldOut | None, str]:
    """Returns how images are held out, and a description of it; ``has_other``: there is other
    validation data, so none are by default.
    """
    from detzoo.data.hold_out import HoldOut

    if options.fold is not None:
        return HoldOut.fold(options.fold, seed), f"--fold {options.fold}, seed {seed}"
    fraction = options.val_fraction
    if fraction is None and not has_other and num_images >= _MIN_IMAGES:
        fraction = _DEFAULT_FRACTION
        if is_first_process():
            print(
                f"There is no validation data: {fraction:.0%} of the images are held out. "
                "Give --val to evaluate on other data, or --val-fraction 0 to train on all images."
            )
    if not fraction:
        return None, ""
    return HoldOut.fraction(fraction, seed), f"--val-fraction {fraction:g}, seed {seed}"


def _divide(
    rule: HoldOut, text: str, sets: Sequence[DetectionDataset], data: DetectionDataset, split: str
) -> Division:
    """Divides each of ``sets`` separately, with the classes of ``data``, their union."""
    import torch

    from detzoo.data.hold_out import Division

    names = _names(sets)
    held_out, start = [], 0
    for ours in names:
        part = data.take(torch.arange(start, start + len(ours)))
        held_out.append(rule.held_out(ours, part))
        start += len(ours)
    return Division.of(split, text, names, held_out)


def _kept_division(run_dir: Path, options: RunOptions) -> Division | None:
    """Returns the division of the run to be resumed; None if it has none.

    Raises :class:`ConfigError` if ``options`` request a different one.
    """
    from detzoo.cli.run_options import read_options
    from detzoo.data.hold_out import Division
    from detzoo.files import read_json

    file, before = run_dir / FILE, read_options(run_dir)
    fixed = ("val_fraction", "fold", *(("val", "split") if file.is_file() else ()))
    for name in fixed if before is not None else ():
        if getattr(before, name) != getattr(options, name):
            raise ConfigError(
                f"--{name.replace('_', '-')}: the division into training and validation images of "
                f"the run in {run_dir} cannot change on resuming, or it would be evaluated on "
                "images that it was trained on. Remove the option, or start a new run."
            )
    return Division.from_json(read_json(file), str(file)) if file.is_file() else None


def _sides(
    division: Division, sets: Sequence[DetectionDataset], data: DetectionDataset, source: str
) -> tuple[DetectionDataset, DetectionDataset]:
    """Splits ``data``, the union of ``sets``, into training and validation data."""
    found, notes = division.find("train", _names(sets), source)
    train = data.take(_joined(found, sets))
    train = replace(train, notes=(*data.notes, *notes))
    val = replace(held_out_of(data, sets, division, source), notes=(), semantic_dir=None)
    _show("train", train)
    _show("val  ", val)
    return train, val


def held_out_of(
    data: DetectionDataset, sets: Sequence[DetectionDataset], division: Division, source: str
) -> DetectionDataset:
    """Returns the images of ``data``, the union of ``sets``, that ``division`` holds out.

    Raises :class:`DataError`, naming ``source`` (where the division comes from), if there are none.
    """
    found, notes = division.find("val", _names(sets), source)
    held_out = data.take(_joined(found, sets))
    return replace(
        held_out,
        source=f"{data.source}, held out by {division.rule}",
        notes=(*data.notes, *notes),
    )


def _joined(found: Sequence[Tensor], sets: Sequence[DetectionDataset]) -> Tensor:
    """Converts indices within each of ``sets`` to indices into their union."""
    import torch

    starts = [0]
    for data in sets:
        starts.append(starts[-1] + len(data))
    return torch.cat([places + start for places, start in zip(found, starts)])


def _names(sets: Sequence[DetectionDataset]) -> list[list[str]]:
    return [[data.file_names[i] for i in range(len(data))] for data in sets]


# ------------------------------------------------------------------------------ validation data


@dataclass(frozen=True)
class _Source:
    """Where the validation data is: ``paths``, ``split``, and ``images`` of annotation files."""

    paths: tuple[str, ...]
    images: tuple[str, ...]
    split: str


def _validation_source(options: RunOptions) -> _Source | None:
    """The source of ``--val``, or a split of ``--data`` if there is one; None: held-out images."""
    from detzoo.data.locate import available_splits

    if options.val_fraction or options.fold is not None:
        return None
    there = {path: available_splits(path) for path in options.val or options.data}
    if options.val:
        usual = ("val", "test", "train")
        shared = [
            name for name in usual if all(name in splits for splits in there.values() if splits)
        ]
        split = options.val_split or next(iter(shared), "val")
        return _Source(options.val, options.val_images, split)
    # Never the split that is trained on: after trainval, validate on the split called test.
    own = "test" if options.split == "trainval" else "val"
    split = options.val_split or own
    places = tuple(path for path in options.data if split in there[path])
    if not places and options.val_split is None:
        return None
    for path in options.data if places else ():
        if path not in places and is_first_process():
            print(f"{path} has no {split} split: it is left out of the evaluation")
    return _Source(places or options.data, (), split)


def _open_validation_data(
    source: _Source, options: RunOptions, class_names: tuple[str, ...]
) -> tuple[DetectionDataset, tuple[str, ...]]:
    """Opens the validation data with the training's ``class_names``; also lists broken images."""
    from detzoo.data.proposals import read_proposals
    from detzoo.data.union import union

    sets, broken = open_sets(
        source.paths,
        source.images,
        source.split,
        skip_broken=options.skip_broken,
        ignore_exif=options.ignore_exif,
    )
    data = union(sets)
    if not set(class_names) & set(data.class_names):
        raise DataError(
            f"{data.source}: has none of the training classes ({', '.join(class_names)}); "
            f"it has {', '.join(data.class_names)}. Rename the classes, or give other validation "
            "data (--val)."
        )
    data = data.select_classes(class_names, drop_others=True, allow_absent=True)
    _show("val  ", data)
    if options.val_proposals is not None:
        data = replace(data, proposals=read_proposals(Path(options.val_proposals), data))
    return data, broken


def _test_arguments(options: RunOptions, source: _Source | None) -> tuple[str, ...]:
    """The options with which ``detzoo test`` evaluates on the same images; without ``source``,
    those held out.
    """
    from detzoo.data.locate import available_splits

    paths, images = (source.paths, source.images) if source else (options.data, options.images)
    arguments = [part for path in paths for part in ("--data", path)]
    arguments += [part for path in images for part in ("--images", path)]
    proposals = options.val_proposals if source else options.proposals
    if proposals is not None:
        arguments += ["--proposals", proposals]
    if source is None:
        arguments.append("--held-out")
    elif source.split != "val" and any(map(available_splits, paths)):
        arguments += ["--split", source.split]
    if options.skip_broken:
        arguments.append("--skip-broken")
    if options.ignore_exif:
        arguments.append("--ignore-exif")
    return tuple(arguments)
