"""Which classes there are, and which objects nothing is learned from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from detzoo.checks.finding import Finding, Split, at_images, at_objects, tally

# The most frequent class over the rarest one.
IMBALANCE = 50


def check_classes(split: Split) -> Iterator[Finding]:
    """Class names that look like one, classes without objects, rare classes."""
    dataset = split.dataset
    alike = defaultdict(list)
    for name in dataset.class_names:
        alike[re.sub(r"[\s_-]+", "", name).casefold()].append(name)
    for names in alike.values():
        if len(names) > 1:
            yield Finding(
                "similar-class-names",
                "warning",
                split.name,
                f"classes with nearly the same name: {' and '.join(map(repr, names))}",
                "If they are one class, give it one name.",
            )
    counts = objects_per_class(split)
    absent = [name for name, count in zip(dataset.class_names, counts.tolist()) if not count]
    if absent:
        yield Finding(
            "class-without-objects",
            "info",
            split.name,
            f"{tally('classes without objects', len(absent), len(counts))} ({listed(absent)})",
            "Nothing is learned of them.",
        )
    present = counts[counts > 0]
    if len(present) > 1 and present.max() >= IMBALANCE * present.min():
        most, least = int(counts.argmax()), int((counts + (counts == 0) * counts.max()).argmin())
        yield Finding(
            "class-imbalance",
            "info",
            split.name,
            f"objects of {dataset.class_names[most]!r}: {int(counts[most])}, of "
            f"{dataset.class_names[least]!r}: {int(counts[least])}",
            "Rare classes are learned less well. --set data.oversample_threshold=0.01 repeats the "
            "images of classes that are in fewer than 1% of all images.",
        )


def check_ignored(split: Split) -> Iterator[Finding]:
    """Objects that are crowds or difficult, and images and classes without any other."""
    annotations = split.dataset.annotations
    ignored = annotations.is_crowd | annotations.is_ignored
    total = len(annotations)
    if total and ignored.all():
        yield Finding(
            "all-ignored",
            "error",
            split.name,
            tally(
                "objects marked as crowds (iscrowd: 1)"
                if annotations.is_crowd.all()
                else "objects marked as crowds or as difficult",
                total,
                total,
            ),
            "Nothing is learned from crowds and difficult objects. Exports of brush masks often "
            "mark every object as a crowd: set iscrowd to 0 for single objects.",
            at_objects(split, ignored),
        )
        return
    for kind, mask, what in (
        ("crowds", annotations.is_crowd, "crowds (iscrowd: 1)"),
        ("difficult", annotations.is_ignored & ~annotations.is_crowd, "difficult"),
    ):
        if mask.any():
            yield Finding(
                kind,
                "info",
                split.name,
                tally(f"objects marked as {what}", int(mask.sum()), total),
                "They are ignored: neither objects nor background.",
                at_objects(split, mask),
            )
    usable = torch.bincount(annotations.labels[~ignored], minlength=len(objects_per_class(split)))
    only_ignored = (objects_per_class(split) > 0) & (usable == 0)
    names = [name for name, bad in zip(split.dataset.class_names, only_ignored.tolist()) if bad]
    if names:
        yield Finding(
            "class-ignored",
            "warning",
            split.name,
            f"classes with nothing but crowds and difficult objects: {listed(names)}",
            "Nothing is learned of these classes.",
            at_objects(split, only_ignored[annotations.labels]),
        )


def check_empty_images(split: Split) -> Iterator[Finding]:
    """Images without any object."""
    empty = split.dataset.annotations.offsets.diff() == 0
    if empty.any():
        yield Finding(
            "image-without-objects",
            "info",
            split.name,
            tally("images without objects", int(empty.sum()), len(empty)),
            "Training leaves them out, unless --set data.skip_empty=false. Look whether annotators "
            "missed something.",
            at_images(split, empty),
        )


def check_classes_of_splits(splits: Sequence[Split]) -> Iterator[Finding]:
    """Classes that are evaluated, but not trained on."""
    train = next((split for split in splits if split.name == "train"), None)
    if train is None:
        return
    trained = _classes_with_objects(train)
    for split in splits:
        missing = sorted(_classes_with_objects(split) - trained)
        if missing:
            labels = torch.tensor([split.dataset.class_names.index(name) for name in missing])
            yield Finding(
                "class-not-trained",
                "warning",
                split.name,
                f"classes without an object in train: {listed(missing)}",
                "They cannot be found. Add such objects to train, or leave the classes out.",
                at_objects(split, torch.isin(split.dataset.annotations.labels, labels)),
            )


def objects_per_class(split: Split) -> Tensor:
    """(C,) how many objects each class has, crowds among them."""
    dataset = split.dataset
    return torch.bincount(dataset.annotations.labels, minlength=len(dataset.class_names))


def images_per_class(split: Split) -> Tensor:
    """(C,) how many images have an object of each class."""
    dataset, classes = split.dataset, len(split.dataset.class_names)
    keys = (dataset.annotations.image_index * classes + dataset.annotations.labels).unique()
    return torch.bincount(keys % classes, minlength=classes)


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first ``most`` names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _classes_with_objects(split: Split) -> set[str]:
    counts = objects_per_class(split).tolist()
    return {name for name, count in zip(split.dataset.class_names, counts) if count}
