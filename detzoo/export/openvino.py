"""Detectors for OpenVINO (https://docs.openvino.ai): a file with the graph, one with weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch.export import ExportedProgram

from detzoo.errors import ConfigError
from detzoo.export.onnx import Change, write_onnx


def write_openvino(
    program: ExportedProgram, file: Path, metadata: Mapping[str, str], change: Change | None = None
) -> None:
    """Writes ``file`` (.xml) and the weights beside it (.bin), converted from ONNX.

    Raises :class:`ConfigError` if the packages for it are not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        onnx_file = Path(folder) / "model.onnx"
        write_onnx(program, onnx_file, {}, change)
        convert(onnx_file, file, metadata)


def convert(onnx_file: Path, file: Path, metadata: Mapping[str, str]) -> None:
    """Writes a detector in an ONNX file for OpenVINO: see :func:`write_openvino`."""
    try:
        import openvino
    except ImportError:
        raise ConfigError(
            "exporting to OpenVINO needs a package that is not installed: pip install "
            "detzoo[openvino]"
        ) from None
    model = openvino.convert_model(onnx_file)
    for key, text in metadata.items():
        model.set_rt_info(text, ["detzoo", key])
    openvino.save_model(model, file, compress_to_fp16=False)
