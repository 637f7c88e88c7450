"""Which parts of a graph compute in int8."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from detzoo.export.quantize import _between_convolutions


def node(kind: str, inputs: str, output: str) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=output)


def test_between_convolutions() -> None:
    """Not the last convolutions, and not the arithmetic of boxes, though RoIAlign feeds another."""
    nodes = [
        node("Conv", "pixels kernel", "first"),
        node("Relu", "first", "map"),
        node("Conv", "map kernel", "logits"),
        node("Add", "logits logits", "boxes"),
        node("RoiAlign", "map boxes image", "regions"),
        node("Conv", "regions kernel", "masks"),
        node("Concat", "boxes masks", "out"),
    ]
    kernel = numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "kernel")
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 4, 4])
    graph = helper.make_graph(nodes, "graph", [pixels], [], [kernel])
    assert [one.name for one in _between_convolutions(graph)] == ["first", "map"]
