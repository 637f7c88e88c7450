"""Detectors as programs of tensor operations (``torch.export``), of which every format is made."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from detzoo.devices import Precision, autocast
from detzoo.errors import ExportError
from detzoo.export.static import StaticDetector
from detzoo.inference.exported import DIVISOR, Details
from detzoo.structures.images import Size


def capture(
    detector: StaticDetector, details: Details, precision: Precision = "fp32"
) -> ExportedProgram:
    """The program of ``detector`` for inputs as ``details`` say, whose layers compute in
    ``precision``.

    It takes pixels (B, 3, H, W) and sizes (B, 2), and returns what there is of
    :class:`~detzoo.export.static.StaticDetections`, as a tuple. Raises :class:`ExportError` for a
    detector that has no program for a range of sizes.
    """
    device = next(detector.parameters()).device

    def inputs(size: Size) -> tuple[Tensor, Tensor]:
        pixels = torch.zeros((details.batch_size, detector.channels, *size), device=device)
        return pixels, torch.tensor([size] * details.batch_size, device=device)

    outputs = _Outputs(detector, precision)
    with quiet(), torch.no_grad():
        if details.smallest is None:
            return torch.export.export(outputs, inputs(details.size))
        sides = {
            axis: DIVISOR * Dim(name, min=low // DIVISOR, max=high // DIVISOR)
            for axis, name, low, high in zip((2, 3), "hw", details.smallest, details.size)
        }
        try:
            program = torch.export.export(
                outputs, inputs(details.size), dynamic_shapes=(sides, None)
            )
            program.module()(*inputs(details.smallest))  # a program may be for its size alone
        except Exception as error:  # of many classes, by what stood in the way
            raise ExportError(
                "this detector has no form for a range of sizes; export it for one size, without "
                f"--dynamic. What stood in the way: {_first_line(error)}"
            ) from None
    return program


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class _Outputs(nn.Module):
    """The outputs that there are, as a plain tuple; layers compute in ``precision``."""

    def __init__(self, detector: StaticDetector, precision: Precision) -> None:
        super().__init__()
        self.detector = detector
        self.precision = precision

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        if self.precision == "fp32":
            return self._present(pixels, sizes)
        with autocast(pixels.device, self.precision):
            return self._present(pixels, sizes)

    def _present(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        return tuple(values for values in self.detector(pixels, sizes) if values is not None)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters speak to their developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
