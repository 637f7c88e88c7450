"""Detectors as files of PyTorch: exported programs, and packages that its compiler made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch.export import ExportedProgram

from detzoo.errors import ConfigError
from detzoo.export.program import quiet
from detzoo.inference.exported import Details
from detzoo.inference.runtimes import PROGRAM_METADATA


def write_program(program: ExportedProgram, file: Path, details: Details, _: object = None) -> None:
    """Writes the program; ``torch.export.load`` reads it."""
    with quiet(), torch.no_grad():
        if details.precision != "fp32":  # what is in regions of autocast, PyTorch cannot read
            program = program.run_decompositions({})
        torch.export.save(
            program, file, extra_files={PROGRAM_METADATA: json.dumps(details.to_metadata())}
        )


def write_package(program: ExportedProgram, file: Path, details: Details, _: object = None) -> None:
    """Compiles the program for this machine's processor (AOTInductor).

    ``torch._inductor.aoti_load_package`` reads the package. Raises :class:`ConfigError` if there is
    no C++ compiler.
    """
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise ConfigError(
            "--format aoti: needs a C++ compiler, and there is no g++ or clang++; install one, or "
            "take --format torch"
        )
    with quiet():
        torch._inductor.aoti_compile_and_package(
            program,
            package_path=str(file),
            inductor_configs={"aot_inductor.metadata": details.to_metadata()},
        )
