"""Reads and writes JSON files, with errors that state the remedy."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from detzoo.errors import ConfigError, DataError


def read_json(path: str | Path) -> Any:
    """Reads a JSON file. Raises :class:`DataError` with the file and, if invalid, the line."""
    check_regular(path)
    try:
        content = Path(path).read_bytes()
        try:
            return msgspec.json.decode(content)  # in half of the time
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # It reads more, such as NaN, and says what is wrong in which line.
            return json.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}. "
            "It may be truncated; copy or export it again."
        ) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: is not a JSON text file ({type(error).__name__}).") from None
    except ValueError as error:  # a number of thousands of digits, a null byte in the path
        raise DataError(f"{path}: cannot be read ({error}).") from None


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raises :class:`DataError` for a pipe or device, where reading may block forever."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # opening it reports the error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(
            f"{path}: is a pipe, socket or device instead of a file. Save its content as a file."
        )


def why_absent(path: str | os.PathLike[str]) -> DataError:
    """Returns the error for a path that does not exist."""
    text = os.fspath(path)
    scheme = text.partition(":")[0].lower()
    if scheme in ("http", "https", "s3", "gs", "ftp", "hf") and ":/" in text:
        # A Path keeps only one of the slashes.
        address = text if "://" in text else text.replace(":/", "://", 1)
        return DataError(
            f"{address}: is an address. Download and unpack the data set, and give its folder."
        )
    return DataError(f"{text}: no such file or folder. Check the path.")


def check_output(path: str | Path, option: str) -> None:
    """Raises :class:`ConfigError` if an output file cannot be written, before any work is done."""
    target = Path(path)
    if target.is_dir():
        raise ConfigError(f"{option} {path}: is a folder. Give a file in it.")
    if not target.parent.is_dir():
        raise ConfigError(
            f"{option} {path}: there is no folder {target.parent}. Create it, or give another path."
        )
    if not os.access(target.parent, os.W_OK):
        raise ConfigError(f"{option} {path}: you have no permission to write to {target.parent}.")


def to_json(content: Any, indent: int | None = None) -> str:
    """Formats ``content`` as JSON. NaN and infinity, which JSON does not have, become null."""
    try:
        return json.dumps(content, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_without_nan(content), allow_nan=False, indent=indent)


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_json(path: str | Path, content: Any) -> None:
    """Writes a JSON file atomically: an existing file survives a failure.

    See :func:`to_json`.
    """
    target = Path(path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(to_json(content))
        os.replace(temporary, target)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); choose another path, or free some disk "
            "space"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def part_of(path: Path, part: int) -> Path:
    """Where the process of number ``part`` writes its part of a file; the first, the file."""
    return path if part == 0 else path.with_name(f"{path.name}.part-{part}")


def take_parts(path: Path, count: int) -> Iterator[bytes]:
    """Yields and removes what the other ``count - 1`` processes wrote of a file."""
    for part in range(1, count):
        other = part_of(path, part)
        yield other.read_bytes()
        other.unlink()
