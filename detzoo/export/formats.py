"""The formats that detectors are exported to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch.export import ExportedProgram

from detzoo.devices import Precision
from detzoo.errors import ConfigError
from detzoo.export.onnx import Change, write_onnx
from detzoo.export.openvino import write_openvino
from detzoo.export.torch_programs import write_package, write_program
from detzoo.inference.exported import Details, ExportPrecision

# The last argument makes one ONNX file of another, in int8; None: it stays as it is.
Write = Callable[[ExportedProgram, Path, Details, Change | None], None]


@dataclass(frozen=True)
class Format:
    """What files are called by their ``suffix``, and how they are written.

    Programs are captured in some precisions; ``others`` are made of a program in fp32. ``beside``
    are the suffixes of further files that belong to it.
    """

    name: str
    suffix: str
    write: Write
    captured: tuple[Precision, ...] = ("fp32",)
    others: tuple[ExportPrecision, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def precisions(self) -> tuple[ExportPrecision, ...]:
        return (*self.captured, *self.others)

    def captured_in(self, precision: ExportPrecision) -> Precision:
        """The precision of the program for a file in ``precision``."""
        return next((own for own in self.captured if own == precision), "fp32")

    def files(self, file: Path) -> list[Path]:
        """All files of a detector in ``file``."""
        return [file, *(file.with_suffix(suffix) for suffix in self.beside)]


# Of those with the same suffix, the first is the default.
FORMATS = (
    Format("onnx", ".onnx", write_onnx, ("fp32", "fp16"), ("int8",)),
    Format("openvino", ".xml", write_openvino, ("fp32",), ("fp16", "bf16", "int8"), (".bin",)),
    Format("torch", ".pt2", write_program, ("fp32", "fp16", "bf16")),
    Format("aoti", ".pt2", write_package),
)


def check_precision(precision: str, format: Format) -> ExportPrecision:
    """``precision``, if the format has it; else raises :class:`ConfigError`."""
    for known in format.precisions:
        if precision == known:
            return known
    raise ConfigError(
        f"--precision {precision}: --format {format.name} has {', '.join(format.precisions)}"
    )


def find_format(name: str | None, file: Path) -> Format:
    """The format ``name``, or the one that the name of ``file`` tells.

    Raises :class:`ConfigError` for an unknown one, and where both do not agree.
    """
    names = ", ".join(one.name for one in FORMATS)
    if name is None:
        by_suffix = [one for one in FORMATS if one.suffix == file.suffix]
        if not by_suffix:
            suffixes = ", ".join(sorted({one.suffix for one in FORMATS}))
            raise ConfigError(
                f"--out {file}: the ending of the name says the format, one of {suffixes}"
            )
        return by_suffix[0]
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        raise ConfigError(f"--format {name}: is not one of {names}")
    if file.suffix != found.suffix:
        raise ConfigError(f"--out {file}: files of --format {name} end in {found.suffix}")
    return found
