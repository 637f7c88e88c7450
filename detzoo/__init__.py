"""Object detectors on plain PyTorch: MMDetection's V2 model zoo with its names and numbers.

import detzoo
detector = detzoo.load("checkpoint.pt")
for result in detector.predict(["a.jpg", "b.jpg"]):
    print(result.boxes, result.scores, result.names)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detzoo.checkpoints.catalog import import_modules
    from detzoo.data.locate import open_dataset
    from detzoo.errors import UserError
    from detzoo.experiment import Experiment
    from detzoo.inference.loading import list_models, load
    from detzoo.inference.predictor import Predictor
    from detzoo.inference.result import Result
    from detzoo.structures import Detections
    from detzoo.zoo import find

__version__ = "0.1.0"

__all__ = [
    "Detections",
    "Experiment",
    "Predictor",
    "Result",
    "UserError",
    "__version__",
    "find",
    "import_modules",
    "list_models",
    "load",
    "open_dataset",
]

# Imported on first use, to keep ``import detzoo`` and ``detzoo --help`` fast. Training and
# scoring are not here: ``detzoo.train`` and ``detzoo.evaluate`` are packages.
_HOMES = {
    "Detections": "detzoo.structures",
    "Experiment": "detzoo.experiment",
    "Predictor": "detzoo.inference.predictor",
    "Result": "detzoo.inference.result",
    "UserError": "detzoo.errors",
    "find": "detzoo.zoo",
    "import_modules": "detzoo.checkpoints.catalog",
    "list_models": "detzoo.inference.loading",
    "load": "detzoo.inference.loading",
    "open_dataset": "detzoo.data.locate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'detzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
