"""The images that ``detzoo test`` detects in: annotated ones, or a list without annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detzoo.cli.common import open_sets
from detzoo.cli.run_data import held_out_of
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from detzoo.data.dataset import DetectionDataset
    from detzoo.data.hold_out import Division

# Parameters that make no sense for images without annotations, and options of another name.
_OF_ANNOTATIONS = (
    *("data", "split", "held_out", "skip_broken", "ignore_exif", "metric", "per_class"),
    *("json_file", "proposals", "save_proposals", "draw", "worst"),
)
_SPELLING = {"json_file": "json"}


@dataclass(frozen=True)
class Opened:
    """Images, with the ids in the annotations of the classes of stuff, and what was left out."""

    dataset: DetectionDataset
    stuff_ids: Mapping[str, int | str]
    broken: Sequence[str] = field(default=())


def open_annotated(
    source: str,
    data: Sequence[Path],
    images: Sequence[Path],
    split: str,
    division: Division | None,
    proposals: Path | None,
    *,
    skip_broken: bool,
    ignore_exif: bool,
) -> Opened:
    """Joins data sets by class name. Of those that ``source`` was trained on, ``division`` says
    which images it did not see; then only these."""
    from detzoo.data.proposals import read_proposals
    from detzoo.data.union import union

    split = split if division is None else division.split
    sets, broken = open_sets(data, images, split, skip_broken=skip_broken, ignore_exif=ignore_exif)
    dataset = union(sets)
    stuff = dataset.panoptic
    stuff_ids = {} if stuff is None else dict(zip(stuff.stuff_names, stuff.category_ids))
    if proposals is not None:  # of all images, so before any is left out
        dataset = replace(dataset, proposals=read_proposals(proposals, dataset))
    if division is not None:
        dataset = held_out_of(dataset, sets, division, source)
    return Opened(dataset, stuff_ids, broken)


def open_image_list(
    image_list: Path, images: Sequence[Path] | None, categories: Path | None
) -> Opened:
    """Images without annotations; ``categories`` has the ids that their results get."""
    from detzoo.data.formats.image_list import read_image_list

    dataset, stuff_ids = read_image_list(image_list, images[0] if images else None, categories)
    dataset.check_files()
    return Opened(dataset, stuff_ids)


def check_unscored(parameters: Mapping[str, Any], image_list: Path, target: Path | None) -> None:
    """Raises :class:`ConfigError` for options that need annotations, or without a ``target``."""
    for name in _OF_ANNOTATIONS:
        if parameters[name]:
            option = _SPELLING.get(name, name.replace("_", "-"))
            raise ConfigError(
                f"--{option}: cannot be combined with --image-list {image_list}, whose images have "
                "no annotations. Leave it out"
            )
    if target is None:
        raise ConfigError(
            f"--image-list {image_list}: nothing is scored without annotations; say where to write "
            "the results: --save-detections FILE or --save-panoptic FILE"
        )


def check_stuff(save_panoptic: Path, opened: Opened, file: Path) -> None:
    """Raises :class:`ConfigError` if ``file`` has no ids for segments of stuff."""
    if not opened.stuff_ids:
        raise ConfigError(
            f"--save-panoptic {save_panoptic}: {file} has no categories of "
            "stuff, whose ids the segments get; give an annotation file that has them: "
            "--categories panoptic_val2017.json"
        )


def division_of(source: str) -> Division:
    """Reads from a checkpoint which images its training held out."""
    from detzoo.checkpoints import checkpoint
    from detzoo.inference.loading import is_checkpoint_path

    division = checkpoint.read(source).division if is_checkpoint_path(source) else None
    if division is None:
        raise ConfigError(
            f"--held-out: {source} does not record which images were held out; only checkpoints "
            "that detzoo train wrote with --val-fraction or --fold, or by default, do. Give "
            "--split."
        )
    return division
