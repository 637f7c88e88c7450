"""What one named entry describes: a detector, its data handling and its training recipe."""

from __future__ import annotations

from typing import Literal

from detzoo.config import ConfigError, config
from detzoo.data.sample import Transform
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.optim.ema import EMA
from detzoo.optim.optimizers import SGD, OptimizerConfig
from detzoo.optim.schedules import Schedule


def check_positive(value: object, *names: str) -> None:
    """Raises :class:`ConfigError` for a field that is not at least 1."""
    for name in names:
        if getattr(value, name) < 1:
            raise ConfigError(f"{name}: {getattr(value, name)} is not at least 1")


@config
class DataConfig:
    """How images reach the detector. The data set itself is given where a run starts."""

    train_transforms: tuple[Transform, ...]
    test_transforms: tuple[Transform, ...]
    images_per_device: int = 2
    workers: int = 2
    # Passes over the data that count as one epoch.
    repeats: int = 1
    # Whether training leaves out images without objects.
    skip_empty: bool = True
    # Whether training loads masks, and in which form: bitmaps, or polygons kept as such.
    masks: Literal["none", "bitmap", "polygon"] = "none"

    def __post_init__(self) -> None:
        check_positive(self, "images_per_device", "repeats")


@config
class Experiment:
    """One configuration, whole: nothing else is needed to train it on a data set."""

    model: DetectorConfig
    class_names: tuple[str, ...]
    data: DataConfig
    optimizer: OptimizerConfig = SGD(lr=0.02)
    schedule: Schedule = Schedule()
    # Images per step over all devices for which the learning rate was chosen.
    reference_batch: int = 16
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    # Fixed scale of the loss in fp16; None adapts it.
    loss_scale: float | None = None
    max_gradient_norm: float | None = None
    # Batches whose gradients are summed into one step.
    accumulate: int = 1
    ema: EMA | None = None
    # In units of the schedule: epochs, or iterations where it counts those.
    evaluate_every: int = 1
    checkpoint_every: int = 1
    # Name of the zoo entry whose published weights training starts from.
    initial_weights: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "reference_batch", "accumulate", "evaluate_every", "checkpoint_every")

    def build_model(self) -> Detector:
        """The detector for these classes, freshly initialised."""
        return self.model.build(len(self.class_names))
