"""Detectors for OpenVINO (https://docs.openvino.ai): a file with the graph, one with weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from detzoo.errors import ConfigError
from detzoo.export.onnx import Change, write_onnx
from detzoo.export.program import quiet
from detzoo.inference.exported import Details
from detzoo.ops.deform_conv import sampled_deform_conv2d


def write_openvino(
    program: ExportedProgram, file: Path, details: Details, change: Change | None = None
) -> None:
    """Writes ``file`` (.xml) and the weights beside it (.bin), converted from ONNX; in fp16 those
    alone.

    Raises :class:`ConfigError` if the packages for it are not installed.
    """
    _import_openvino()  # before the work
    with tempfile.TemporaryDirectory() as folder:
        onnx_file = Path(folder) / "model.onnx"
        write_onnx(for_openvino(program), onnx_file, details, change)
        convert_onnx(onnx_file, file, details)


def for_openvino(program: ExportedProgram) -> ExportedProgram:
    """The program with operators that OpenVINO reads from ONNX files; the same one if it has no
    others."""
    deform_conv2d = torch.ops.torchvision.deform_conv2d.default
    graphs = [one.graph for one in program.graph_module.modules() if isinstance(one, GraphModule)]
    if not any(node.target is deform_conv2d for graph in graphs for node in graph.nodes):
        return program
    with quiet():
        return program.run_decompositions({deform_conv2d: sampled_deform_conv2d})


def convert_onnx(onnx_file: Path, file: Path, details: Details) -> None:
    """Writes an ONNX file as one for OpenVINO."""
    openvino = _import_openvino()
    model = openvino.convert_model(onnx_file)
    for key, text in details.to_metadata().items():
        model.set_rt_info(text, ["detzoo", key])
    openvino.save_model(model, file, compress_to_fp16=details.precision == "fp16")


def _import_openvino() -> ModuleType:
    try:
        import openvino
    except ImportError:
        raise ConfigError(
            "exporting to OpenVINO needs a package that is not installed: pip install "
            "detzoo[openvino]"
        ) from None
    return openvino
