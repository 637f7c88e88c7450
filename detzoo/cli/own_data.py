"""The data that a V2 configuration file names, for commands that are given no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detzoo.cli.common import is_first_process, wide_console
from detzoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from detzoo.cli.run_options import RunOptions
    from detzoo.mmdet import Imported
    from detzoo.mmdet.data_paths import DataPaths


def with_own_data(options: RunOptions, imported: Imported) -> RunOptions:
    """``options`` with the data to train and to evaluate on, where they name none.

    Raises :class:`DataError` if these are not there.
    """
    train = imported.paths.get("train")
    if options.data or train is None:
        return options
    file = str(options.name)
    _announce("train", train, file)
    changes: dict[str, Any] = {"data": train.data, "images": options.images or train.images}
    changes["split"] = options.split if train.split is None else train.split
    changes["proposals"] = options.proposals or train.proposals
    changes["semantic_maps"] = options.semantic_maps or train.semantic_maps
    val = imported.paths.get("val")
    if val is not None and not options.val and not options.val_fraction and options.fold is None:
        _announce("val", val, file)
        changes |= {"val": val.data, "val_images": options.val_images or val.images}
        changes |= {"val_split": options.val_split or val.split}
        changes |= {"val_proposals": options.val_proposals or val.proposals}
    return dataclasses.replace(options, **changes)


def own_test_data(
    source: str,
    images: list[Path] | None,
    split: str | None,
    proposals: Path | None,
    trust: bool,
) -> tuple[list[Path], list[Path] | None, str | None, Path | None]:
    """``--data``, ``--images``, ``--split`` and ``--proposals`` of the V2 file ``source``.

    Raises :class:`ConfigError` if it is none or names no data, :class:`DataError` if these are not
    there.
    """
    test = None
    if source.endswith(".py"):
        from detzoo.mmdet import import_file

        test = import_file(source, trust=trust).paths.get("test")
    if test is None:
        raise ConfigError("--data: give the folder of a data set, or a COCO JSON file")
    _announce("test", test, source)
    own_images = [Path(path) for path in test.images]
    own_proposals = None if test.proposals is None else Path(test.proposals)
    data = [Path(path) for path in test.data]
    return data, images or own_images or None, split or test.split, proposals or own_proposals


def _announce(purpose: str, paths: DataPaths, file: str) -> None:
    for path in (*paths.data, *paths.images):
        if not Path(path).exists():
            raise DataError(
                f"{file}: data.{purpose}: {path} is not there. Run in the folder that its paths "
                "start from, or name the data: --data."
            )
    if is_first_process():
        text = f"data.{purpose} of {file}: {' + '.join(paths.data)}"
        wide_console().print(text, soft_wrap=True, markup=False)
