"""Convolutions in int8: the post-training quantization of ONNX Runtime's tools."""

from __future__ import annotations

from collections import defaultdict
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
# The node that makes a value.
Makers = Mapping[str, "onnx.NodeProto"]

# What computes in int8 where its result goes into another convolution. The last convolutions, whose
# results are scores and boxes, keep their precision; so do the first ones, which see pixels, and
# depthwise ones: their results are small differences of large values, and they take little time.
# Sigmoids and their products stay in float32, since in int8 ONNX Runtime takes longer for them.
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

    nodes = _nodes_for_int8(graph)
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
    model = onnx.load(target)
    _spare_what_rounds_for_nothing(model.graph)
    onnx.save(model, target)


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


def _nodes_for_int8(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes to quantize: those whose result becomes the map that a convolution is applied to,
    but for first and depthwise convolutions."""
    makers = {name: node for node in graph.node for name in node.output}
    return [
        node
        for node in _between_convolutions(graph, makers)
        if node.op_type != "Conv" or not (_is_depthwise(node) or _is_first(node, makers))
    ]


def _is_depthwise(node: onnx.NodeProto) -> bool:
    return any(one.name == "group" and one.i > 1 for one in node.attribute)


def _is_first(node: onnx.NodeProto, makers: Makers) -> bool:
    """Whether no other convolution comes before it."""
    waiting = list(node.input[:1])
    while waiting:
        before = makers.get(waiting.pop())
        if before is None:
            continue
        if before.op_type == "Conv":
            return False
        waiting += _maps(before)
    return True


def _spare_what_rounds_for_nothing(graph: onnx.GraphProto) -> None:
    """Gives operators that compute in float32, such as a sigmoid after a convolution, its result
    as it is, where no operator in int8 reads it."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        rounds = makers.get(node.input[0])
        found = readers[node.output[0]]
        if rounds is None or any(one.op_type in QUANTIZED for one in found):
            continue
        for one in found:
            for place, name in enumerate(one.input):
                if name == node.output[0]:
                    one.input[place] = rounds.input[0]


def _between_convolutions(graph: onnx.GraphProto, makers: Makers) -> list[onnx.NodeProto]:
    """The nodes whose result becomes the map that a convolution is applied to."""
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
