"""The data loader: order, workers, collation.

The order of images and the randomness of their transforms depend on (seed, epoch, index) alone. So
a run does not depend on the number of workers, and an interrupted one resumes with exactly the
batches that it would have seen.
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
    batches_by_size,
    copies_by_class,
    copies_for_rare_classes,
    grouped_batches,
)
from detzoo.data.dataset import DetectionDataset, MaskForm
from detzoo.data.sample import Sample, SkipSample, Transform, apply
from detzoo.errors import DataError, UserError
from detzoo.structures import Batch

# Images in a row that the transforms may reject before that is an error.
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
    balance_classes: bool = False,
    max_proposals: int | None = None,
    final_transforms: Sequence[Transform] = (),
    final_epoch: int | None = None,
) -> Loader:
    """Batches of ``dataset`` for process ``rank`` of ``world_size``.

    In training, images are shuffled, batches are all landscape or all portrait, and there are
    targets, with ``masks`` in that form. An epoch has ``repeats`` passes over the data, in which
    images with a class that is in less than the fraction ``oversample_threshold`` of them are
    repeated, and the same number of batches in every process; with ``balance_classes`` it has as
    many images, of which every class has as many as any other, in batches of any format. Together,
    the batches of a step are the batch of one process with ``world_size`` times as many images. In
    evaluation, every image comes once, in batches of one size, without targets. Both have at most
    ``max_proposals`` of the data's proposals. From epoch ``final_epoch`` on, ``final_transforms``
    replace ``transforms``.

    Raises :class:`DataError` for an empty data set, a batch larger than the data, or missing masks.
    """
    if len(dataset) == 0:
        raise DataError(f"{dataset.source}: there is no image to {_purpose(training)} on.")
    copies, by_class = None, None
    if training:
        copies = _copies(dataset, repeats, oversample_threshold)
        _check_training(dataset, images_per_device * world_size, int(copies.sum()), masks)
        by_class = _images_by_class(dataset) if balance_classes else None
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
    order = _Order(dataset, images_per_device, training, seed, rank, world_size, copies, by_class)
    return Loader(source, order, workers)


class Loader:
    """Iterable over the batches of the current epoch; see :func:`build_loader`."""

    def __init__(self, source: _Source, order: _Order, workers: int) -> None:
        self._source = source
        self._order = order
        self._workers = workers
        self._loader = self._open()

    def __len__(self) -> int:
        """The number of batches in a whole epoch."""
        return self._order.epoch_length

    def some_batches(self, count: int) -> list[Batch]:
        """A batch of each of ``count`` images, evenly spread over the data; none of those that
        cannot be read.
        """
        step = max(1, math.ceil(len(self._source.dataset) / count))
        batches = [self._source[[Key(i, 0)]] for i in range(0, len(self._source.dataset), step)]
        return [batch for batch in batches if isinstance(batch, Batch)]

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Makes the next iteration yield the batches of ``epoch`` from number ``start`` on."""
        self._order.epoch, self._order.start = epoch, start

    def __iter__(self) -> Iterator[Batch]:
        """Raises a worker's :class:`UserError` as it was there, or that a worker has died."""
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
        """Stops the workers; iterating again starts new ones.

        Otherwise they stop when the loader is garbage-collected, which takes seconds if it is part
        of a cycle, such as that of a caught exception and its frames.
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
    """Collates samples into a batch of the size of the largest padded one, padded with zeros."""
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
    """A worker's error on its way to the main process; PyTorch would wrap it in a traceback."""

    kind: type[UserError]
    message: str


@dataclass(frozen=True)
class _Source(Dataset["Batch | _Failure"]):
    """Builds the batch of a list of keys, in a worker or in the main process."""

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
        """A transformed sample, and the index of its image."""
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
        # The epoch comes with the key, so that workers need not be told.
        is_final = self.final_epoch is not None and epoch >= self.final_epoch
        return self.final_transforms if is_final else self.transforms

    def _draw(self, rng: np.random.Generator) -> Sample:
        """A random image of the data, for transforms that combine several."""
        return self.dataset.sample(int(rng.integers(len(self.dataset))), self.masks)

    def _substitute(self, index: int, rng: np.random.Generator) -> int:
        """A random image of the same orientation, so that it fits into the batch."""
        is_landscape = self.dataset.aspect_ratios > 1
        return int(rng.choice(np.flatnonzero(is_landscape == is_landscape[index])))


class _Order(Sampler[list[Key]]):
    """The batches of keys in the current epoch of one process."""

    def __init__(
        self,
        dataset: DetectionDataset,
        images_per_device: int,
        training: bool,
        seed: int,
        rank: int,
        world_size: int,
        copies: np.ndarray | None,
        by_class: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        self.sizes = dataset.sizes.numpy()
        self.is_landscape = dataset.aspect_ratios > 1
        self.images_per_device = images_per_device
        self.training = training
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.copies, self.by_class = copies, by_class
        self.epoch = 0
        self.start = 0
        self.epoch_length = len(self._batches())

    def __len__(self) -> int:
        return self.epoch_length - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self._batches()[self.start :])

    def _batches(self) -> list[list[Key]]:
        if not self.training:
            return batches_by_size(self.sizes, self.images_per_device, self.rank, self.world_size)
        copies, is_landscape = self.copies, self.is_landscape
        if self.by_class is not None and copies is not None:
            # All in one group, so that every epoch has as many batches.
            is_landscape = np.ones_like(is_landscape)
            copies = copies_by_class(
                *self.by_class, len(copies), int(copies.sum()), seed=self.seed, epoch=self.epoch
            )
        return grouped_batches(
            is_landscape,
            self.images_per_device,
            seed=self.seed,
            epoch=self.epoch,
            rank=self.rank,
            world_size=self.world_size,
            copies=copies,
        )


def _copies(dataset: DetectionDataset, repeats: int, threshold: float | None) -> np.ndarray:
    """How often each image occurs in an epoch: (I,)."""
    copies = np.ones(len(dataset), np.int64)
    if threshold is not None:
        objects = dataset.annotations
        copies = copies_for_rare_classes(
            objects.image_index.numpy(), objects.labels.numpy(), len(dataset), threshold
        )
    return copies * repeats


def _images_by_class(dataset: DetectionDataset) -> tuple[np.ndarray, np.ndarray]:
    """The image and the class of every object, (N,) each."""
    objects = dataset.annotations
    if len(objects.labels) == 0:
        raise DataError(
            f"{dataset.source}: has no objects, so no images of every class can be drawn. Leave "
            "data.balance_classes off."
        )
    return objects.image_index.numpy(), objects.labels.numpy()


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
    """A tensor of zeros, in a worker in shared memory, which saves a copy."""
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
    # There are many workers: OpenCV's own threads would compete for the CPU cores. And Ctrl-C is
    # left to the main process, which finishes its step first.
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
