"""Detectors as programs of tensor operations (``torch.export``), of which every format is made."""

from __future__ import annotations

import contextlib
import itertools
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from detzoo.devices import Precision, autocast
from detzoo.errors import ExportError
from detzoo.export.static import StaticDetections, StaticDetector
from detzoo.inference.exported import DIVISOR, Details
from detzoo.structures.images import Size


def capture(
    detector: StaticDetector, details: Details, precision: Precision = "fp32"
) -> ExportedProgram:
    """The program of ``detector`` for inputs as ``details`` say, whose layers compute in
    ``precision``.

    It takes pixels (B, 3, H, W) and sizes (B, 2), and returns what there is of
    :class:`~detzoo.export.static.StaticDetections`, as a tuple. Raises :class:`ExportError` for a
    detector that has no program for a range of sizes, or of images per batch.
    """
    device = next(detector.parameters()).device

    def inputs(count: int, size: Size) -> tuple[Tensor, Tensor]:
        pixels = torch.zeros((count, detector.channels, *size), device=device)
        return pixels, torch.tensor([size] * count, device=device)

    outputs: nn.Module = _Outputs(detector, precision)
    largest = inputs(details.batch_size, details.size)
    sides, counts = {}, {}
    if details.smallest is not None:
        sides = {
            axis: DIVISOR * Dim(name, min=low // DIVISOR, max=high // DIVISOR)
            for axis, name, low, high in zip((2, 3), "hw", details.smallest, details.size)
        }
    if details.takes_fewer:
        counts = {0: Dim("b", min=1, max=details.batch_size)}
    with quiet(), torch.no_grad():
        if not sides and not counts:
            return torch.export.export(outputs, largest)
        try:
            if counts:
                outputs = _ImageByImage(detector, precision, inputs(1, details.size))
            program = torch.export.export(
                outputs, largest, dynamic_shapes=(counts | sides, counts or None)
            )
            # A program may be for its size alone.
            count = 1 if details.takes_fewer else details.batch_size
            program.module()(*inputs(count, details.smallest or details.size))
        except Exception as error:  # of many classes, by what stood in the way
            what, remedy = "sizes", "for one size, without --dynamic"
            if counts:
                what, remedy = "batch sizes", f"with --batch-size {details.batch_size}"
            raise ExportError(
                f"this detector has no form for a range of {what}; export it {remedy}. What stood "
                f"in the way: {_first_line(error)}"
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
        with self._computing(pixels.device):
            return _present(self.detector(pixels, sizes))

    def _computing(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return autocast(device, self.precision)


def _present(found: StaticDetections) -> tuple[Tensor, ...]:
    return tuple(values for values in found if values is not None)


class _ImageByImage(_Outputs):
    """The same for any number of images: features are computed of all of them at once, the rest in
    a loop within the program (``scan``), since heads take as many images as they are written out
    for. Of weights the loop is given those that it uses with ``example``."""

    def __init__(
        self, detector: StaticDetector, precision: Precision, example: tuple[Tensor, Tensor]
    ) -> None:
        super().__init__(detector, precision)
        rest = _Rest(detector, precision)
        with torch.no_grad():
            of_image = [x[0] for x in self._of_images(*example)]
            with _NotingTensors() as noted:
                rest(*of_image)
        state = itertools.chain(rest.named_parameters(), rest.named_buffers())
        self.used = [name for name, value in state if id(value) in noted.ids]

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        from torch._higher_order_ops.scan import scan_op  # another one in older versions

        of_images = self._of_images(pixels, sizes)
        rest = _Rest(self.detector, self.precision)
        state = dict(itertools.chain(rest.named_parameters(), rest.named_buffers()))

        def step(carry: Tensor, *given: Tensor) -> list[Tensor]:
            of_image, values = given[: len(of_images)], given[len(of_images) :]
            found = functional_call(rest, dict(zip(self.used, values)), of_image)
            return [carry.clone(), *found]

        nothing = sizes.new_zeros(1)  # is handed from step to step: scan wants something to be
        weights = tuple(state[name] for name in self.used)
        _, *found = scan_op(step, [nothing], of_images, weights)
        return tuple(found)

    def _of_images(self, pixels: Tensor, sizes: Tensor) -> list[Tensor]:
        """What the loop goes over: tensors with a row per image."""
        with self._computing(pixels.device):
            features = self.detector.detector.extract_features(pixels)
        # Where features are those of several branches (TridentNet), image after image in each.
        maps = [x.unflatten(0, (-1, pixels.shape[0])).transpose(0, 1) for x in features]
        return [*maps, pixels, sizes]


class _NotingTensors(TorchFunctionMode):
    """Inside, the ``ids`` of all tensors that anything is computed of are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        self.ids |= {
            id(value)
            for value in pytree.tree_leaves((arguments, named))
            if isinstance(value, Tensor)
        }
        return function(*arguments, **(named or {}))


class _Rest(_Outputs):
    """From the features of one image to its outputs."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        *features, pixels, size = given
        with self._computing(pixels.device), _ConstantsAsOperations():
            found = self.detector.detect(tuple(features), pixels[None], size[None])
        return tuple(values[0].clone() for values in _present(found))


class _ConstantsAsOperations(TorchFunctionMode):
    """Inside, tensors of Python's numbers are made by operations: a loop in a program holds none of
    its own."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        named = named or {}
        values = pytree.tree_leaves(arguments[:1])
        are_numbers = all(isinstance(value, bool | int | float) for value in values)
        if function not in (torch.tensor, torch.as_tensor) or not are_numbers:
            return function(*arguments, **named)
        numbers = np.array(arguments[0])
        if named.get("dtype") is None:
            kinds = {"b": torch.bool, "i": torch.int64, "f": torch.get_default_dtype()}
            named |= {"dtype": kinds[numbers.dtype.kind]}
        made = [torch.full((), value, **named) for value in numbers.ravel().tolist()]
        return torch.stack(made).view(numbers.shape)


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
