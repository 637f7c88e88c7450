"""Finding the images of a data set that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from detzoo.data.dataset import DetectionDataset
from detzoo.errors import DataError


def broken_images(
    dataset: DetectionDataset, progress: Callable[[], object] = lambda: None
) -> dict[int, str]:
    """The images that are missing, cannot be decoded or do not have the declared size, and why.

    Decodes every image, on all cores; ``progress`` is called after each.
    """

    def fault(i: int) -> str | None:
        try:
            dataset.image(i)
        except DataError as error:
            return str(error)
        return None

    faults = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for i, found in enumerate(threads.map(fault, range(len(dataset)))):
            progress()
            if found is not None:
                faults[i] = found
    return faults
