"""Archives, which are not read where they lie: the commands that unpack them."""

from __future__ import annotations

import shlex
from pathlib import Path

from detzoo.data.formats.sniff import files_of

_TAR = "tar -xf {file} -C {folder}"
_UNPACK = {
    ".zip": "unzip {file} -d {folder}",
    **dict.fromkeys((".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"), _TAR),
    ".tar.zst": _TAR,
    ".7z": "7z x {file} -o{folder}",
    ".rar": "unrar x {file} {folder}/",
}
# One file each, which gets the name without the suffix.
_UNPACK_FILE = {".gz": "gunzip {file}", ".bz2": "bunzip2 {file}", ".xz": "unxz {file}"}


def archives_in(folder: Path) -> list[Path]:
    return files_of(folder, *_UNPACK)


def unpacking(archive: Path, folder: Path) -> str:
    """The command that unpacks an archive into ``folder``."""
    return _UNPACK[_suffix(archive)].format(
        file=shlex.quote(str(archive)), folder=shlex.quote(str(folder))
    )


def what_to_do(file: Path) -> str | None:
    """What is said of a file that is packed; None where it is not."""
    suffix = _suffix(file)
    if suffix:
        folder = file.with_name(file.name[: -len(suffix)])
        command = unpacking(file, folder)
        if "-C" in command:  # tar makes no folder
            command = f"mkdir -p {shlex.quote(str(folder))} && {command}"
        return f"is an archive. Unpack it and give the folder:\n  {command}\n  --data {folder}"
    command = _UNPACK_FILE.get(file.suffix.lower(), "").format(file=shlex.quote(str(file)))
    if command:
        inner = file.with_suffix("")
        return f"is compressed. Unpack it and give the file:\n  {command}\n  --data {inner}"
    return None


def _suffix(file: Path) -> str:
    """That of an archive; empty for other files."""
    return next((one for one in _UNPACK if file.name.lower().endswith(one)), "")
