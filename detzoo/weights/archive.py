"""Verifies zip archives (``torch.save`` since version 1.6, ``numpy.savez``) before they are read.

Every record has a CRC-32, which torch writes but does not check: a flipped bit would silently
change a weight.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

_SIGNATURE = b"PK\x03\x04"
_IS_FOLDER = 0x10  # a record attribute, not covered by a checksum
_END, _LARGEST_END = b"PK\x05\x06", 22 + 2**16
# Weights are barely compressible. An archive that unpacks to more than this size, and to more than
# this multiple of its own, was made to exhaust the memory.
_ALWAYS_UNPACKED = 2**28
_MAX_RATIO = 50


def is_archive(path: Path) -> bool:
    """Whether the file starts like a zip archive."""
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def verify_archive(path: Path) -> None:
    """Raises :class:`zipfile.BadZipFile` if any record does not match its checksum.

    A CRC of zero means that none was computed (``torch.serialization.set_crc32_options(False)``).
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if min(len(records), 2**16 - 1) != _count_of_records(path):
            raise zipfile.BadZipFile("its directory lacks records")
        unpacked = sum(record.file_size for record in records)
        if unpacked > max(_ALWAYS_UNPACKED, _MAX_RATIO * path.stat().st_size):
            raise zipfile.BadZipFile(f"it would unpack to {unpacked / 1e9:.1f} GB")
        for record in records:
            if record.external_attr & _IS_FOLDER and record.file_size > 0:
                # torch would skip it, and use uninitialized memory.
                raise zipfile.BadZipFile(f"{record.filename} is marked as a folder")
            if record.CRC == 0:
                continue
            with archive.open(record) as file:
                while file.read(1 << 20):  # raises at the end of a record if its CRC differs
                    pass


def _count_of_records(path: Path) -> int:
    """The number of records according to the end of the archive, which zipfile does not check."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _LARGEST_END))
        end = file.read()
    place = end.rfind(_END) + 10
    return int.from_bytes(end[place : place + 2], "little")
