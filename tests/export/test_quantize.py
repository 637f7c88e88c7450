"""Which parts of a graph compute in int8."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from detzoo.export.quantize import _nodes_for_int8, _spare_what_rounds_for_nothing


def node(kind: str, inputs: str, output: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=output, **attributes)


def test_what_computes_in_int8() -> None:
    """Not the first, last and depthwise convolutions, and not the arithmetic of boxes, though
    RoIAlign feeds another."""
    nodes = [
        node("Conv", "pixels kernel", "stem"),
        node("Conv", "stem kernel", "first"),
        node("Conv", "first kernel", "depthwise", group=16),
        node("Relu", "depthwise", "map"),
        node("Conv", "map kernel", "logits"),
        node("Add", "logits logits", "boxes"),
        node("RoiAlign", "map boxes image", "regions"),
        node("Conv", "regions kernel", "masks"),
        node("Concat", "boxes masks", "out"),
    ]
    kernel = numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "kernel")
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 4, 4])
    graph = helper.make_graph(nodes, "graph", [pixels], [], [kernel])
    assert [one.name for one in _nodes_for_int8(graph)] == ["first", "map"]


def test_what_only_float32_reads_is_not_rounded() -> None:
    nodes = [
        node("Conv", "pixels kernel", "out"),
        node("QuantizeLinear", "out scale", "q"),
        node("DequantizeLinear", "q scale", "dq"),
        node("Sigmoid", "dq", "gate"),
        node("Mul", "dq gate", "map"),
        node("QuantizeLinear", "map scale", "map_q"),
        node("DequantizeLinear", "map_q scale", "map_dq"),
        node("Conv", "map_dq kernel", "logits"),
    ]
    graph = helper.make_graph(nodes, "graph", [], [])
    _spare_what_rounds_for_nothing(graph)
    inputs = {one.name: list(one.input) for one in graph.node}
    assert inputs["gate"] == ["out"]
    assert inputs["map"] == ["out", "gate"]
    assert inputs["logits"] == ["map_dq", "kernel"]
