"""What the model detects in a few images, from evaluation to evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from detzoo.errors import DataError
from detzoo.evaluate.results import ImageResult
from detzoo.inference.draw import draw, draw_targets
from detzoo.train.callbacks.base import Callback
from detzoo.values import same

if TYPE_CHECKING:
    from detzoo.data.sample import Sample
    from detzoo.train.trainer import Trainer

FOLDER = "pictures"
# How many images, the longer side of their pictures in pixels, and the lowest score that is drawn.
COUNT, SIDE, MIN_SCORE = 4, 360, 0.3


class Pictures(Callback):
    """Writes pictures of the same validation images into the run's folder ``pictures``.

    ``truth-K.jpg`` shows the objects of image K, ``STEP-K.jpg`` what is detected in it after STEP
    steps.
    """

    first_process_only = True

    def on_start(self, trainer: Trainer) -> None:
        self._samples: dict[int, Sample] = {}
        data = trainer.val_data
        if data is None:
            return
        folder = trainer.run_dir / FOLDER
        folder.mkdir(exist_ok=True)
        counts = data.annotations.offsets.diff().numpy()
        images = np.flatnonzero(counts > 0)
        chosen = images[np.linspace(0, len(images) - 1, min(COUNT, len(images))).astype(int)]
        for k, index in enumerate(chosen.tolist()):
            try:
                sample = data.sample(index)
            except DataError:  # what cannot be read ends the evaluation, which says so
                continue
            self._samples[index] = sample
            truth = draw_targets(sample.image, sample.targets, data.class_names)
            write(folder / f"truth-{k}.jpg", truth)

    def on_detections(self, trainer: Trainer, results: Sequence[ImageResult]) -> None:
        data = trainer.val_data
        if data is None or not self._samples:
            return
        found = {same(result.image_id): result for result in results}
        for k, (index, sample) in enumerate(self._samples.items()):
            result = found.get(same(data.image_id(index)))
            if result is None:
                continue
            shown = result.to_detections(MIN_SCORE)
            picture = draw(sample.image, shown, trainer.experiment.class_names)
            name = f"{trainer.position.iteration:08d}-{k}.jpg"
            write(trainer.run_dir / FOLDER / name, picture)


def write(path: Path, picture: np.ndarray) -> None:
    scale = SIDE / max(picture.shape[:2])
    size = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(picture, size, interpolation=method)
    path.write_bytes(cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, 85))[1].tobytes())
