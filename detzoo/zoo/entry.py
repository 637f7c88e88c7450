"""Zoo entries: named configurations and their published figures."""

from __future__ import annotations

from dataclasses import dataclass

from detzoo.experiment import Experiment
from detzoo.zoo_list import zoo_rows


@dataclass(frozen=True)
class Entry:
    """A row of the zoo. Figures are those of MMDetection's V2 model zoo; None if there are none.

    APs are in percent on the validation set of the entry's data; ``ar1000`` is the recall of 1000
    proposals, ``box_ap50`` the AP at IoU 0.5 if only that was published (Pascal VOC), ``pq`` the
    panoptic quality.
    ``memory_gb`` was the training memory per GPU (8 V100), ``inference_ms`` the time per
    image on one. ``weights`` is the published file: its name, or its path below the version folder
    of a mirror if it is not in ``folder/name/``.
    """

    name: str
    experiment: Experiment
    box_ap: float | None = None
    box_ap50: float | None = None
    mask_ap: float | None = None
    pq: float | None = None
    ar1000: float | None = None
    memory_gb: float | None = None
    inference_ms: float | None = None
    weights: str | None = None

    @property
    def parameters(self) -> int | None:
        """The number of parameters as of the last generation of ``models.json``; None before."""
        row = zoo_rows().get(self.name)
        return None if row is None else row["parameters"]

    @property
    def backbone(self) -> str:
        """Describes the backbone: its architecture with its size, and its pretrained weights."""
        config = self.experiment.model.backbone
        return f"{config.architecture} ({config.pretrained_name or 'from scratch'})"

    @property
    def starts_from(self) -> str | None:
        """The entry whose weights training starts from, or the backbone's pretrained weights."""
        return self.experiment.initial_weights or self.experiment.model.backbone.pretrained_name


@dataclass(frozen=True)
class Family:
    """A folder of the zoo: the paper, and its entries."""

    folder: str
    title: str
    paper: str
    entries: tuple[Entry, ...]

    def weights_path(self, entry: Entry) -> str | None:
        """The path of the published weights below the version folder of a mirror."""
        if entry.weights is None or "/" in entry.weights:
            return entry.weights
        return f"{self.folder}/{entry.name}/{entry.weights}"
