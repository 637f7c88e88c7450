"""``detzoo doctor``: what ``detzoo env`` shows, and what is missing or slow on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from detzoo.cli.env import env

# What a missing package takes away: its name in Python, the extra that brings it, its use.
_OPTIONAL = (
    ("tensorboard", "tensorboard", "training logs in TensorBoard"),
    ("timm", "timm", "backbones of timm"),
    ("albumentations", "albumentations", "augmentations of Albumentations"),
    ("imagehash", "duplicates", "data check finds images that look alike"),
    ("pyarrow", "parquet", "data sets in Parquet files"),
    ("huggingface_hub", "hub", "hf:// addresses"),
    ("onnxruntime", "onnx", "export to ONNX"),
    ("openvino", "openvino", "export to OpenVINO"),
    ("optuna", "sweep", "detzoo sweep"),
)
_LEAST_SHARED, _LEAST_DISK = 1 << 30, 2 << 30  # bytes


def doctor() -> None:
    """Show what is missing or slow on this machine, after versions, devices and checks.

    Exits with code 1 if an operator fails its check.
    """
    try:
        env()
    finally:
        print()
        advice = list(find_advice())
        for line in advice or ["Nothing is missing or slow."]:
            print(f"- {line}" if advice else line)


def find_advice() -> Iterator[str]:
    """Sentences on what is missing or slow, each with the remedy."""
    import importlib.util

    import torch

    from detzoo.weights.places import cache_directory

    if not torch.cuda.is_available():
        yield (
            "There is no GPU that torch can use. Small detectors train on a CPU: "
            "retinanet_mobilenetv2_fpn, mask_rcnn_mobilenetv2_fpn."
        )
        yield from _about_the_cpu()
    shared = Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).total < _LEAST_SHARED:
        size = shutil.disk_usage(shared).total / 2**20
        yield (
            f"Only {size:.0f} MB of shared memory, through which workers pass images: training may "
            "die with a bus error. Start the container with --shm-size 4g or --ipc=host, or train "
            "with --workers 0."
        )
    cache = cache_directory()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < _LEAST_DISK:
        yield (
            f"Only {free / 2**20:.0f} MB are free where weights are cached ({cache}). Make room, "
            "or name another folder with XDG_CACHE_HOME."
        )
    for module, extra, use in _OPTIONAL:
        if importlib.util.find_spec(module) is None:
            yield f"{module} is not installed: {use} (pip install 'detzoo[{extra}]')."


def _about_the_cpu() -> Iterator[str]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    if cores is not None and threads > cores:
        yield (
            f"torch uses {threads} threads on {cores} cores, which wait for each other. Set "
            f"OMP_NUM_THREADS={cores}."
        )
    supported = torch.cpu.get_capabilities()
    if supported.get("architecture") == "x86_64":
        if not supported["avx2"]:
            yield "The CPU has no AVX2: everything takes several times as long."
        elif not supported["avx512_bf16"] and not supported["amx_bf16"]:
            yield "The CPU does not compute in bf16: --precision bf16 is slower than fp32 here."
