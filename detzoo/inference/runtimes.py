"""The runtimes that run exported detectors, by the ending of the file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import detzoo.ops.nms  # noqa: F401  (programs call its operators)
from detzoo.errors import CheckpointError, ConfigError, UserError
from detzoo.inference.exported import Details, ExportedDetector

# The file within an exported program that has what detzoo needs.
PROGRAM_METADATA = "detzoo.json"


def open_exported(
    file: Path, threads: int | None = None, *, trust: bool = False
) -> ExportedDetector:
    """The detector in a file that ``detzoo export`` wrote, on the CPU.

    ``threads`` None: as many as PyTorch uses. Programs of PyTorch can do anything as they are
    opened, and are only with ``trust``. Raises :class:`ConfigError` if the runtime is not
    installed, and :class:`CheckpointError` for a file that it cannot open.
    """
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; check the path")
    if file.suffix == ".pt2":
        return open_program(file, trust=trust)
    return OPEN[file.suffix](file, threads or torch.get_num_threads())


def open_onnx(file: Path, threads: int) -> ExportedDetector:
    """ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        raise _missing(file, "ONNX Runtime", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of classes of its own, one per kind
        raise _unreadable(file, "ONNX Runtime", error) from None
    metadata = session.get_modelmeta().custom_metadata_map

    def run(pixels: np.ndarray, sizes: np.ndarray) -> Sequence[np.ndarray]:
        inputs = {"pixels": pixels, "sizes": sizes}
        return session.run(None, {one.name: inputs[one.name] for one in session.get_inputs()})

    return ExportedDetector(run, Details.of(metadata, file))


def open_openvino(file: Path, threads: int) -> ExportedDetector:
    """OpenVINO."""
    try:
        import openvino
    except ImportError:
        raise _missing(file, "OpenVINO", "openvino") from None
    try:
        core = openvino.Core()
        model = core.read_model(file)
        metadata = model.get_rt_info("detzoo").value if model.has_rt_info("detzoo") else {}
        details = Details.of({key: _text(value) for key, value in metadata.items()}, file)
        hint = "bf16" if details.precision == "bf16" else "f32"
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
        compiled = core.compile_model(model, "CPU", settings)
    except UserError:
        raise
    except Exception as error:  # RuntimeError for nearly everything
        raise _unreadable(file, "OpenVINO", error) from None
    request = compiled.create_infer_request()

    def run(pixels: np.ndarray, sizes: np.ndarray) -> Sequence[np.ndarray]:
        inputs = {"pixels": pixels, "sizes": sizes}
        given = {one.any_name: inputs[one.any_name] for one in compiled.inputs}
        results = request.infer(given)
        return [results[output] for output in compiled.outputs]

    return ExportedDetector(run, details)


def open_program(file: Path, *, trust: bool) -> ExportedDetector:
    """PyTorch: an exported program, or a package of its compiler."""
    if not trust:
        raise CheckpointError(
            f"{file}: a program of PyTorch can do anything as it is opened. If you made it "
            "yourself or know who did: --trust, or trust=True."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            is_package = any("/aotinductor/" in name for name in archive.namelist())
        run, metadata = _open_package(file) if is_package else _open_exported_program(file)
    except Exception as error:
        raise _unreadable(file, "PyTorch", error) from None

    def run_arrays(pixels: np.ndarray, sizes: np.ndarray) -> Sequence[np.ndarray]:
        with torch.no_grad():
            outputs = run(torch.from_numpy(pixels), torch.from_numpy(sizes))
        return [values.numpy() for values in outputs]

    return ExportedDetector(run_arrays, Details.of(metadata, file))


RunTensors = Callable[[Tensor, Tensor], Sequence[Tensor]]


def _open_exported_program(file: Path) -> tuple[RunTensors, dict[str, str]]:
    extra = {PROGRAM_METADATA: "{}"}
    program = torch.export.load(file, extra_files=extra)
    return program.module(), json.loads(extra[PROGRAM_METADATA])


def _open_package(file: Path) -> tuple[RunTensors, dict[str, str]]:
    package = torch._inductor.aoti_load_package(str(file))
    return package, package.get_metadata()


OPEN: dict[str, Callable[[Path, int], ExportedDetector]] = {
    ".onnx": open_onnx,
    ".xml": open_openvino,
}


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def _missing(file: Path, runtime: str, extra: str) -> ConfigError:
    return ConfigError(f"{file}: {runtime} is not installed: pip install detzoo[{extra}]")


def _unreadable(file: Path, runtime: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{file}: {runtime} cannot open it: {error}")
