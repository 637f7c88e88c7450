"""What ``detzoo predict`` writes: pictures, JSON, and the errors where it cannot."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detzoo.errors import ConfigError, DataError
from detzoo.files import part_of, take_parts, to_json

if TYPE_CHECKING:
    from detzoo.inference.outputs import Output
    from detzoo.inference.result import Result

# The extension of JSON Lines files.
LINES = ".jsonl"


@contextlib.contextmanager
def line_writer(
    json_file: Path | None, part: int = 0
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Writes each result as soon as it is available to a JSON Lines file next to ``json_file``.

    Each process writes a ``part``; see :func:`join_lines`.
    """
    path = Path(os.devnull)
    if json_file is not None:
        path = part_of(json_file.with_suffix(LINES), part)
    with contextlib.ExitStack() as stack:
        try:
            lines = stack.enter_context(open(path, "w", encoding="utf-8"))
        except OSError as error:
            raise unwritable(path, error) from None

        def write(content: dict[str, Any]) -> None:
            try:
                print(to_json(content), file=lines, flush=True)
            except OSError as error:
                raise unwritable(path, error) from None

        yield write


def join_lines(json_file: Path | None, parts: int) -> None:
    """Appends the lines of the other processes to those of the first."""
    if json_file is None:
        return
    path = json_file.with_suffix(LINES)
    try:
        with open(path, "ab") as file:
            for part in take_parts(path, parts):
                file.write(part)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: cannot be written ({error.strerror}). Free some disk space, or give another path."
    )


def target_names(
    sources: Sequence[Path | str], folder: Path, option: str = "--out"
) -> dict[Path | str, Path]:
    """A distinct output file in ``folder`` for each input, never the input itself.

    Inputs are files, images on the web by address, or cameras and streams by number or address.
    """
    from detzoo.inference.inputs import is_picture_address, is_video
    from detzoo.inference.video import live_stem

    inputs = {source.resolve() for source in sources if isinstance(source, Path)}
    targets: dict[Path | str, Path] = {}
    taken = set()
    for source in sources:
        if isinstance(source, Path):
            stem, suffix = source.stem, ".mp4" if is_video(source) else ".jpg"
        else:
            stem, suffix = live_stem(source), ".jpg" if is_picture_address(source) else ".mp4"
        number = 1
        name = stem
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        targets[source] = folder / f"{name}{suffix}"
        if targets[source].resolve() in inputs:
            raise ConfigError(
                f"{option} {folder}: {targets[source]} is one of the inputs and would be "
                "overwritten. Give another folder."
            )
    return targets


def make_folder(folder: Path, option: str = "--out") -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{option} {folder}: cannot be created ({error.strerror}). Give another folder."
        ) from None


def write_output(output: Output, result: Result, stem: str) -> None:
    try:
        output.add(result, stem)
    except OSError as error:
        raise unwritable(output.folder, error) from None


def finish(output: Output) -> None:
    try:
        output.close()
    except OSError as error:
        raise unwritable(output.folder, error) from None
