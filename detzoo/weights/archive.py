"""Zip archives (``torch.save`` since version 1.6, ``numpy.savez``), verified before being read.

Every record carries a CRC-32 of its bytes, which torch writes but does not check: a flipped bit
would be a wrong weight and nothing else.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

_SIGNATURE = b"PK\x03\x04"
_IS_FOLDER = 0x10  # among a record's attributes, which no checksum covers
_END, _LARGEST_END = b"PK\x05\x06", 22 + 2**16
# Weights hardly compress. What unpacks to more than this, and to so many times its size, was made
# to fill the memory.
_ALWAYS_UNPACKED = 2**28
_MAX_RATIO = 50


def is_archive(path: Path) -> bool:
    """Whether the file starts as a zip archive does."""
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def verify_archive(path: Path) -> None:
    """Raises :class:`zipfile.BadZipFile` unless every record is what was written.

    A CRC of zero says that none was computed (``torch.serialization.set_crc32_options(False)``).
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
                # torch would not read it, and take whatever lies in the memory.
                raise zipfile.BadZipFile(f"{record.filename} calls itself a folder")
            if record.CRC == 0:
                continue
            with archive.open(record) as file:
                while file.read(1 << 20):  # raises at the end of a record whose CRC is another
                    pass


def _count_of_records(path: Path) -> int:
    """How many records there are, as the end of the archive says; zipfile does not look at it."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _LARGEST_END))
        end = file.read()
    place = end.rfind(_END) + 10
    return int.from_bytes(end[place : place + 2], "little")
