"""What MMDetection computes for one model, read from a reference file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Reference:
    """One ``.npz`` file; the README of the references says what each key means."""

    path: Path
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> Reference:
        with np.load(path, allow_pickle=False) as data:
            return cls(path, {key: data[key] for key in data.files})

    @property
    def entry_name(self) -> str:
        """The entry whose configuration made this reference."""
        return self.path.stem.split("__", 1)[1]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of everything in the state dict."""
        names = self.arrays["names"].tolist()
        return {n: tuple(json.loads(s)) for n, s in zip(names, self.arrays["shapes"].tolist())}

    @property
    def calibration(self) -> dict[str, tuple[float, float]]:
        """Gain and shift of the parameters that are not filled plainly."""
        return {name: tuple(pair) for name, pair in json.loads(str(self["calibration"])).items()}

    @property
    def num_classes(self) -> int:
        return int(self["num_classes"])

    @property
    def image_shape(self) -> tuple[int, int]:
        height, width = self["image_shape"].tolist()
        return height, width

    @property
    def is_double(self) -> bool:
        """Whether it was computed in float64."""
        return "precision" in self and str(self["precision"]) == "float64"

    @property
    def losses(self) -> dict[str, float]:
        """Losses and their sum; the names without ``loss`` are metrics and left out."""
        pairs = zip(self["loss_names"].tolist(), self["loss_values"].tolist())
        return {name: value for name, value in pairs if "loss" in name}

    @property
    def gradients(self) -> dict[str, float]:
        return dict(zip(self["grad_names"].tolist(), self["grad_norms"].tolist()))

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]
