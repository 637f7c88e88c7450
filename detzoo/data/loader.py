"""From a data set to batches: order, workers, collation.

The order of images and everything random in their transforms follow from (seed, epoch, index)
alone. So a run does not depend on the number of workers, and one that was interrupted goes on with
exactly the batches that it would have seen.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from detzoo.data.batches import (
    Key,
    batches_in_order,
    copies_for_rare_classes,
    grouped_batches,
)
from detzoo.data.dataset import DetectionDataset, MaskForm
from detzoo.data.sample import Sample, SkipSample, Transform, apply
from detzoo.errors import DataError, UserError
from detzoo.structures import Batch

# After so many images in a row of which the transforms leave nothing, it is not bad luck.
_MOST_SKIPS = 100


def build_loader(
    dataset: DetectionDataset,
    transforms: Sequence[Transform],
    *,
    images_per_device: int,
    training: bool,
    workers: int = 0,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    masks: MaskForm = "none",
    repeats: int = 1,
    oversample_threshold: float | None = None,
    max_proposals: int | None = None,
    final_transforms: Sequence[Transform] = (),
    final_epoch: int | None = None,
) -> Loader:
    """Batches of ``dataset`` for process ``rank`` of ``world_size``.

    In training: shuffled, each batch of images that are all wide or all high, with targets (and
    ``masks`` in that form), ``repeats`` passes over the data per epoch, images with classes that
    are in fewer than the part ``oversample_threshold`` of them more often, the same number of
    batches for every process. Together, the processes' batches of a step are the batch that one
    process would have with ``world_size`` times as many images. In evaluation: every image once
    and in order, without targets. Both carry at most ``max_proposals`` of the data's proposals.
    From the epoch ``final_epoch`` on, ``final_transforms`` are used instead of ``transforms``.
    Raises :class:`DataError` for an empty data set, a batch larger than the data, or masks that
    are not there.
    """
    if len(dataset) == 0:
        raise DataError(f"{dataset.source}: there is no image to {_purpose(training)} on.")
    copies = None
    if training:
        copies = _copies(dataset, repeats, oversample_threshold)
        _check_training(dataset, images_per_device * world_size, int(copies.sum()), masks)
    source = _Source(
        dataset,
        tuple(transforms),
        seed,
        training,
        masks,
        max_proposals,
        tuple(final_transforms),
        final_epoch,
    )
    order = _Order(dataset, images_per_device, training, seed, rank, world_size, copies)
    return Loader(source, order, workers)


class Loader:
    """Iterable over the batches of the current epoch; see :func:`build_loader`."""

    def __init__(self, source: _Source, order: _Order, workers: int) -> None:
        self._source = source
        self._order = order
        self._workers = workers
        self._loader = self._open()

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return self._order.epoch_length

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """The next iteration yields the batches of ``epoch``, without the first ``start``."""
        self._order.epoch, self._order.start = epoch, start

    def __iter__(self) -> Iterator[Batch]:
        """Raises the :class:`UserError` that a worker met, as it was, or that one has died."""
        failure = None
        with dead_workers_explained():
            for item in self._loader:
                if isinstance(item, _Failure):
                    failure = item
                    break
                yield item
        if failure is not None:
            self.close()
            raise failure.kind(failure.message)

    def close(self) -> None:
        """Ends the workers now; iterating again starts new ones.

        Without it they end when the loader is garbage. That takes seconds where the loader is part
        of a cycle, such as the one of a caught exception and its frames.
        """
        self._loader = self._open()

    def _open(self) -> DataLoader[Batch | _Failure]:
        return DataLoader(
            self._source,
            sampler=self._order,
            batch_size=None,  # an item of the order is a whole batch
            collate_fn=_as_is,
            num_workers=self._workers,
            worker_init_fn=_start_worker,
            persistent_workers=self._workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


@contextlib.contextmanager
def dead_workers_explained() -> Iterator[None]:
    """Turns what torch raises when a worker dies into a :class:`DataError`.

    It looks after its workers from a signal handler, so this may happen at any moment.
    """
    try:
        yield
    except (RuntimeError, ConnectionError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise DataError(
            f"a process that loads images died ({reason}): the system may be out of memory, or of "
            "shared memory (/dev/shm). Use fewer --workers. --resume continues a training from its "
            "last checkpoint."
        ) from error


def collate(samples: Sequence[Sample], *, with_targets: bool = True) -> Batch:
    """One batch as large as the largest padded sample, zero outside each image."""
    infos = tuple(sample.info for sample in samples)
    height = max(info.padded_size[0] for info in infos)
    width = max(info.padded_size[1] for info in infos)
    floats = any(sample.image.dtype == np.float32 for sample in samples)
    shape = (len(samples), height, width, samples[0].image.shape[2])
    pixels = _zeros(shape, torch.float32 if floats else torch.uint8)
    canvas = pixels.numpy()
    for row, sample in zip(canvas, samples):
        row[: sample.image.shape[0], : sample.image.shape[1]] = sample.image
    return Batch(pixels, infos, tuple(s.targets for s in samples) if with_targets else ())


@dataclass(frozen=True)
class _Failure:
    """A worker's error on its way to the main process, where torch would wrap it in a traceback."""

    kind: type[UserError]
    message: str


@dataclass(frozen=True)
class _Source(Dataset["Batch | _Failure"]):
    """Makes the batch of a list of keys, in a worker or in the main process."""

    dataset: DetectionDataset
    transforms: tuple[Transform, ...]
    seed: int
    training: bool
    masks: MaskForm
    max_proposals: int | None
    final_transforms: tuple[Transform, ...]
    final_epoch: int | None

    def __getitem__(self, keys: list[Key]) -> Batch | _Failure:
        try:
            rows = [self._sample(key) for key in keys]
            batch = collate([sample for sample, _ in rows], with_targets=self.training)
            stored = self.dataset.proposals
            if stored is None:
                return batch
            boxes = tuple(stored[index][: self.max_proposals] for _, index in rows)
            return replace(batch, proposals=boxes)
        except UserError as error:
            return _Failure(type(error), str(error))

    def _sample(self, key: Key) -> tuple[Sample, int]:
        """A sample, and which image it was made of."""
        rng = np.random.default_rng((self.seed, key.epoch, key.index, key.repeat))
        index = key.index
        for _ in range(_MOST_SKIPS):
            sample = self.dataset.sample(index, self.masks)
            try:
                return apply(self._transforms(key.epoch), sample, rng, self._draw), index
            except SkipSample:
                index = self._substitute(index, rng)
        raise DataError(
            f"{self.dataset.source}: the training transforms leave no object in any of "
            f"{_MOST_SKIPS} images tried. Use larger crops, or let them be empty."
        )

    def _transforms(self, epoch: int) -> tuple[Transform, ...]:
        # The key brings the epoch, so that workers need not be told.
        is_final = self.final_epoch is not None and epoch >= self.final_epoch
        return self.final_transforms if is_final else self.transforms

    def _draw(self, rng: np.random.Generator) -> Sample:
        """Any image of the data, for transforms that mix several."""
        return self.dataset.sample(int(rng.integers(len(self.dataset))), self.masks)

    def _substitute(self, index: int, rng: np.random.Generator) -> int:
        """Another image of the same orientation, so that it fits into its batch."""
        is_wide = self.dataset.aspect_ratios > 1
        return int(rng.choice(np.flatnonzero(is_wide == is_wide[index])))


class _Order(Sampler[list[Key]]):
    """Which images make which batch, for the current epoch of one process."""

    def __init__(
        self,
        dataset: DetectionDataset,
        images_per_device: int,
        training: bool,
        seed: int,
        rank: int,
        world_size: int,
        copies: np.ndarray | None,
    ) -> None:
        self.is_wide = dataset.aspect_ratios > 1
        self.images_per_device = images_per_device
        self.training = training
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.copies = copies
        self.epoch = 0
        self.start = 0
        self.epoch_length = len(self._batches())

    def __len__(self) -> int:
        return self.epoch_length - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self._batches()[self.start :])

    def _batches(self) -> list[list[Key]]:
        if not self.training:
            return batches_in_order(
                len(self.is_wide), self.images_per_device, self.rank, self.world_size
            )
        return grouped_batches(
            self.is_wide,
            self.images_per_device,
            seed=self.seed,
            epoch=self.epoch,
            rank=self.rank,
            world_size=self.world_size,
            copies=self.copies,
        )


def _copies(dataset: DetectionDataset, repeats: int, threshold: float | None) -> np.ndarray:
    """(I,) how often each image appears in an epoch."""
    copies = np.ones(len(dataset), np.int64)
    if threshold is not None:
        objects = dataset.annotations
        copies = copies_for_rare_classes(
            objects.image_index.numpy(), objects.labels.numpy(), len(dataset), threshold
        )
    return copies * repeats


def _check_training(dataset: DetectionDataset, batch: int, images: int, masks: MaskForm) -> None:
    if batch > images:
        raise DataError(
            f"{dataset.source}: a batch of {batch} images is larger than the data, which has "
            f"{images}. Choose a smaller batch."
        )
    if masks != "none":
        dataset.require_masks()


def _purpose(training: bool) -> str:
    return "train" if training else "evaluate"


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """In a worker it lies in shared memory, which saves a copy."""
    if get_worker_info() is None:
        return torch.from_numpy(
            np.zeros(shape, np.float32 if dtype.is_floating_point else np.uint8)
        )
    size = math.prod(shape) * dtype.itemsize
    storage = torch.UntypedStorage._new_shared(size, device="cpu")  # new pages are zero
    return torch.empty(0, dtype=dtype).set_(storage).view(shape)


def _as_is(item: object) -> object:
    return item


def _start_worker(worker: int) -> None:
    # A worker is one of many: OpenCV's own threads would fight over the processors. And Ctrl-C is
    # the main process's business, which finishes its step first.
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # on Linux, where schedulers are
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker at its parent's SIGTERM, not at one that a scheduler sends to a whole job:
    the parent finishes its step first, and needs its workers for that."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
