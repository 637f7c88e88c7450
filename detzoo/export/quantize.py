"""Convolutions in int8: the post-training quantization of ONNX Runtime's tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from detzoo.data.loader import collate
from detzoo.errors import ConfigError
from detzoo.export.program import quiet
from detzoo.inference.exported import Details, ExportedDetector
from detzoo.inference.predictor import Predictor

if TYPE_CHECKING:
    import onnx

# Inputs by name.
Inputs = Mapping[str, np.ndarray]

# What computes in int8 where its result goes into another convolution. The last convolutions, whose
# results are scores and boxes, keep their precision.
QUANTIZED = ("Conv", "Relu", "Clip", "Add", "MaxPool", "Concat", "Resize")
# Operators all of whose inputs are maps; of others, such as RoiAlign, the first is.
JOINING = ("Add", "Sum", "Mul", "Concat")


def quantize(source: Path, target: Path, inputs: Iterable[Inputs]) -> None:
    """Writes the ONNX file ``source`` with convolutions in int8 as ``target``.

    The range of every map is what it is for ``inputs``; weights are scaled by channel. Raises
    :class:`ConfigError` if the packages for it are not installed.
    """
    import onnx

    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    except ImportError:
        raise ConfigError(
            "--precision int8: needs ONNX Runtime, which is not installed: pip install detzoo[onnx]"
        ) from None

    graph = onnx.load(source).graph
    names = [one.name for one in graph.input]
    left = ({name: one[name] for name in names} for one in inputs)

    class Reader(CalibrationDataReader):
        def get_next(self) -> Inputs | None:
            return next(left, None)

    nodes = _between_convolutions(graph)
    with quiet():
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_quantize=[node.name for node in nodes],
            per_channel=True,
        )


def calibration_inputs(details: Details, pictures: Iterable[np.ndarray]) -> Iterator[Inputs]:
    """What a file gets for each of ``pictures`` (H, W, 3: BGR), as ``details`` say."""
    shell = ExportedDetector(_never, details)
    prepare = Predictor(details.experiment, shell, fused=False).prepare
    for picture in pictures:
        images = shell.preprocess(collate(prepare(picture), with_targets=False))
        pixels = images.pixels.expand(details.batch_size, -1, -1, -1).contiguous()
        sizes = np.array([images.infos[0].size] * details.batch_size, np.int64)
        yield {"pixels": pixels.numpy(), "sizes": sizes}


def _never(*_: object) -> NoReturn:
    raise AssertionError("only the inputs are wanted")


def _between_convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes to quantize: those whose result becomes the map that a convolution is applied
    to."""
    makers = {name: node for node in graph.node for name in node.output}
    reached: set[str] = set()
    waiting = [node.input[0] for node in graph.node if node.op_type == "Conv"]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in reached:
            continue
        reached.add(node.name)
        waiting += _maps(node)
    return [node for node in graph.node if node.name in reached and node.op_type in QUANTIZED]


def _maps(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input if node.op_type in JOINING else node.input[:1]
