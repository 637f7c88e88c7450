"""Options of other programs, for errors that say what they are called here."""

from __future__ import annotations

from collections.abc import Sequence

from detzoo.errors import ConfigError

_OUT = "--out DIR"
# Of MMDetection's tools, and of Ultralytics' and torchvision's commands.
OPTIONS = {
    "--work-dir": _OUT,
    "--cfg-options": "--set PATH=VALUE",
    "--options": "--set PATH=VALUE",
    "--resume-from": "--resume --out DIR",
    "--auto-resume": "--resume --out DIR",
    "--load-from": "--weights FILE",
    "--no-validate": "--val-fraction 0, where the data has no val split",
    "--auto-scale-lr": "the default; --no-lr-scaling turns it off",
    "--launcher": "--devices N, or torchrun",
    "--gpus": "--devices N",
    "--gpu-ids": "--device cuda:ID",
    "--gpu-id": "--device cuda:ID",
    "--eval": "--metric, which by default fits the data",
    "--eval-options": "an option of its own: see detzoo test --help",
    "--format-only": "--save-detections FILE",
    "--show-dir": "--draw DIR, or detzoo predict IMAGES --out DIR",
    "--show-score-thr": "--min-score S",
    "--score-thr": "--min-score S",
    "--conf": "--min-score S",
    "--imgsz": "--image-size WxH",
    "--img-size": "--image-size WxH",
    "--batch": "--batch-size N (or auto)",
    "--source": "an argument without a name: detzoo predict CHECKPOINT IMAGES",
    "--project": _OUT,
    "--data-path": "--data DIR",
    "--output-dir": _OUT,
    "--learning-rate": "--lr",
    "--patience": "--early-stopping METRIC,N",
    "--save-txt": "--save yolo",
    "--save-crop": "--save crops",
}


def check_options(arguments: Sequence[str]) -> None:
    """Raises :class:`ConfigError` for an option of another program."""
    for argument in arguments:
        name = argument.partition("=")[0]
        if name in OPTIONS:
            raise ConfigError(f"{name}: is {OPTIONS[name]} here.")
