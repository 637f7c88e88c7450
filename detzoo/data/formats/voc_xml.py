"""Reads the XML files of Pascal VOC: one image and its objects each."""

from __future__ import annotations

import codecs
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from detzoo.data.formats.base import ObjectRecord
from detzoo.data.reading import entry
from detzoo.errors import DataError
from detzoo.files import check_regular

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no", "", "none", "unspecified")
_DECLARATION = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["'][^>]*\?>""")
# Encodings that a wider one contains, which tools use under the narrower name.
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}


@dataclass(frozen=True)
class XmlImage:
    """What an XML file says of its image. ``size`` is (height, width); ``left_out`` has a reason
    for each object that was not read."""

    folder: str | None
    file_name: str | None
    size: tuple[int, int] | None
    objects: tuple[ObjectRecord, ...]
    left_out: tuple[str, ...]


def parse_image(file: Path) -> XmlImage:
    """Parses one file. Coordinates are 1-based: as in MMDetection, 1 is subtracted from them.

    Difficult objects are ignored. Raises :class:`DataError`, which names the file and the object.
    """
    root = read_xml(file)
    if root.tag != "annotation":
        raise DataError(
            f"{file}: is not an annotation of Pascal VOC: its outer element is <{root.tag}> "
            "instead of <annotation>. Remove the file, or its name from the list of images."
        )
    objects, left_out = [], []
    for k, element in enumerate(root.findall("object"), 1):
        if len(element) == 0:
            left_out.append("empty <object> elements")
            continue
        with entry():
            objects.append(_object(element, f"{file}: object {k}"))
    return XmlImage(
        folder=root.findtext("folder"),
        file_name=root.findtext("filename"),
        size=_size(root, file),
        objects=tuple(objects),
        left_out=tuple(left_out),
    )


def read_xml(file: Path) -> ET.Element:
    """The outer element, its tags without namespaces. Raises :class:`DataError`."""
    check_regular(file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from None
    try:
        root = _parsed(data)
    except ET.ParseError as error:
        line, column = error.position
        raise DataError(
            f"{file}: is not valid XML: line {line}, column {column + 1}: "
            f"{str(error).partition(':')[0]}. Correct it, or export it again."
        ) from None
    except LookupError:
        declared = _DECLARATION.match(data)
        name = declared[1].decode("ascii") if declared else "?"
        raise DataError(
            f"{file}: declares the encoding {name!r}, which does not exist. Correct its first line."
        ) from None
    except UnicodeError as error:
        raise DataError(
            f"{file}: is not text in the encoding that it declares ({error}). Correct its first "
            "line, or save it in that encoding."
        ) from None
    if root.tag.startswith("{"):
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    return root


def _parsed(data: bytes) -> ET.Element:
    """Raises :class:`ET.ParseError`, and what a codec raises."""
    try:
        return ET.fromstring(data)
    except ValueError:  # the parser knows no multi-byte encodings but UTF-8 and UTF-16
        pass
    except ET.ParseError:
        if _DECLARATION.match(data) or _is_utf8(data):
            raise
    declaration = _DECLARATION.match(data)
    name = _guess(data) if declaration is None else declaration[1].decode("ascii")
    text = data.decode(_WIDER.get(codecs.lookup(name).name, name))
    return ET.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _guess(data: bytes) -> str:
    """The encoding of text that declares none and is not UTF-8, in an annotation tool of its day.

    Chinese characters are pairs of bytes from A1 on. Japanese ones begin with lower bytes, and
    Chinese read as Japanese would be full of half-width katakana. Else it is Western.
    """
    try:
        text = data.decode("cp932")
        half_width = any("\uff61" <= character <= "\uff9f" for character in text)
        if not half_width and any(0x81 <= byte <= 0x9F for byte in data):
            return "cp932"
    except UnicodeDecodeError:
        pass
    runs = re.findall(rb"[\x80-\xff]+", data)
    return "gb18030" if all(len(run) % 2 == 0 for run in runs) else "cp1252"


def _size(root: ET.Element, file: Path) -> tuple[int, int] | None:
    """(height, width); None where a tool wrote zeros or nothing."""
    sides = []
    for key in ("height", "width"):
        text = root.findtext(f"size/{key}")
        if text is None or not text.strip():
            return None
        sides.append(int(_number(text, f"{file}: size/{key}")))
    height, width = sides
    return (height, width) if height > 0 and width > 0 else None


def _object(element: ET.Element, where: str) -> ObjectRecord:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{where}: has no name. Give it one, or remove the object.")
    where = f"{where} ({name})"
    if element.find("bndbox") is None:
        shape = next(
            (tag for tag in ("robndbox", "polygon") if element.find(tag) is not None), None
        )
        instead = f" but a {shape}, which is not read" if shape else ""
        raise DataError(f"{where}: has no bndbox{instead}. Export upright boxes.")
    x1, y1, x2, y2 = (_corner(element, corner, where) for corner in _CORNERS)
    difficult = (element.findtext("difficult") or "").strip().lower()
    if difficult not in (*_YES, *_NO):
        raise DataError(f"{where}: difficult is {difficult!r} instead of 0 or 1.")
    return ObjectRecord(
        class_name=name,
        box=(x1 - 1, y1 - 1, x2 - x1, y2 - y1),
        ignored="difficult" if difficult in _YES else "",
    )


def _corner(element: ET.Element, corner: str, where: str) -> float:
    text = element.findtext(f"bndbox/{corner}")
    if text is None:
        raise DataError(f"{where}: has no bndbox/{corner}.")
    return _number(text, f"{where}: bndbox/{corner}")


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} is {text!r} instead of a number.")
    return value
