"""The page on a data set: what is in it, and a picture of every kind of finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from detzoo.checks.classes import images_per_class, objects_per_class
from detzoo.checks.finding import Finding, Place, Split
from detzoo.checks.priors import Grid
from detzoo.checks.thumbnails import thumbnails
from detzoo.report import (
    Chart,
    Charts,
    Gallery,
    Page,
    Section,
    Table,
    Text,
    bar_chart,
    histogram,
    scatter_plot,
)

# Pictures of a finding, by its severity; files in a list where there is no picture.
MOST_PICTURES = {"error": 12, "warning": 12, "info": 4}
MOST_FILES = 40
# Classes in the chart and in the table.
CHARTED_CLASSES = 25
LISTED_CLASSES = 200


def page(
    title: str,
    splits: Sequence[Split],
    findings: Sequence[Finding],
    *,
    grid: Grid | None = None,
    input_sizes: Mapping[str, Tensor] | None = None,
) -> Page:
    """The page on ``splits``.

    ``grid`` is that of a model, and ``input_sizes`` the widths and heights (N, 2) of the objects of
    each split in its input.
    """
    return Page(
        title,
        [
            *([] if any(finding.is_fault for finding in findings) else [_no_faults()]),
            *(_finding_section(finding) for finding in findings),
            Section("What is in it", (_split_table(splits), _charts(splits, grid, input_sizes))),
            Section("Classes", (_class_table(splits),)),
        ],
        [note for split in splits for note in split.dataset.notes],
    )


def _no_faults() -> Section:
    return Section("No faults found", ())


def _finding_section(finding: Finding) -> Section:
    """Pictures of places that are evenly spread over all of them."""
    count = len(finding.places)
    chosen = [finding.places[k] for k in _spread(count, MOST_PICTURES[finding.severity])]
    masks = finding.kind in ("box-off-mask", "mask-missing", "all-ignored", "crowds")
    pictures = [picture for place in chosen for picture in thumbnails(place, masks=masks)]
    blocks: list[Text | Gallery | Table] = [Text([finding.advice])]
    if finding.messages:
        shown = finding.messages[:MOST_FILES]
        blocks.append(Table(["entry"], [[text] for text in shown]))
        if finding.count > len(shown):
            blocks.append(
                Text([f"And {finding.count - len(shown)} more; --json FILE lists them all."])
            )
    if pictures:
        blocks.append(Gallery(pictures, pairs=any(place.twin for place in chosen)))
        if count > len(chosen):
            blocks.append(Text([f"{len(chosen)} of {count} places; --json FILE lists them all."]))
    elif finding.places:
        files = finding.places[:MOST_FILES]
        blocks.append(Table(["file", ""], [_file_row(place) for place in files], text_columns=2))
        if count > len(files):
            blocks.append(Text([f"And {count - len(files)} more; --json FILE lists them all."]))
    title = f"{finding.title[0].upper()}{finding.title[1:]} ({finding.split})"
    return Section(title, blocks, finding.severity)


def _file_row(place: Place) -> list[str]:
    return [place.split.dataset.path(place.image), place.note]


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` positions, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def _split_table(splits: Sequence[Split]) -> Table:
    rows = []
    for split in splits:
        data, objects = split.dataset, split.dataset.annotations
        masks = 0 if objects.segmentations is None else int(objects.segmentations.is_there.sum())
        rows.append(
            [
                split.name,
                data.source,
                f"{len(data):,}",
                f"{len(objects):,}",
                f"{int((objects_per_class(split) > 0).sum())} of {len(data.class_names)}",
                f"{masks:,}",
            ]
        )
    header = ["split", "source", "images", "objects", "classes with objects", "masks"]
    return Table(header, rows, text_columns=2)


def _charts(
    splits: Sequence[Split], grid: Grid | None, input_sizes: Mapping[str, Tensor] | None
) -> Charts:
    objects = {split.name: split.dataset.annotations for split in splits}
    per_image = {name: one.offsets.diff().numpy() for name, one in objects.items()}
    sizes = {name: one.boxes[:, 2:].prod(1).clamp(min=0).sqrt() for name, one in objects.items()}
    x = "size of objects: √(width · height), pixels of the image"
    marks = None
    if grid is not None and input_sizes is not None:
        sizes = {name: one.prod(1).clamp(min=0).sqrt() for name, one in input_sizes.items()}
        x = "size of objects: √(width · height), pixels of the model's input"
        anchors = grid.anchors.prod(1).sqrt().round().unique().tolist()
        marks = {"anchors": anchors} if anchors else {"finest cell": [float(grid.stride)]}
    images = {
        split.name: (split.dataset.sizes[:, 1].numpy(), split.dataset.sizes[:, 0].numpy())
        for split in splits
    }
    names, counts = _most_frequent(splits)
    charts = (
        bar_chart(counts, names, "objects"),
        histogram({n: s.numpy() for n, s in sizes.items()}, x, "objects", log=True, marks=marks),
        histogram(per_image, "objects in an image", "images"),
        scatter_plot(images, "width of images", "height of images"),
    )
    return Charts([Chart(drawing) for drawing in charts])


def _most_frequent(splits: Sequence[Split]) -> tuple[list[str], dict[str, list[int]]]:
    """The classes with the most objects, and how many these are in each split."""
    counts = {split.name: _by_name(split, objects_per_class(split)) for split in splits}
    names = _class_names(splits)[:CHARTED_CLASSES]
    return names, {split: [of.get(name, 0) for name in names] for split, of in counts.items()}


def _class_table(splits: Sequence[Split]) -> Table:
    names = _class_names(splits)
    objects = [_by_name(split, objects_per_class(split)) for split in splits]
    images = [_by_name(split, images_per_class(split)) for split in splits]
    rows = [
        [name, *(f"{one.get(name, 0):,}" for pair in zip(images, objects) for one in pair)]
        for name in names[:LISTED_CLASSES]
    ]
    if len(names) > LISTED_CLASSES:
        rows.append([f"and {len(names) - LISTED_CLASSES} rarer ones"])
    header = [f"{split.name}: {what}" for split in splits for what in ("images", "objects")]
    return Table(["class", *header], rows)


def _class_names(splits: Sequence[Split]) -> list[str]:
    """The classes of all splits, those with the most objects first."""
    total: dict[str, int] = {}
    for split in splits:
        for name, count in _by_name(split, objects_per_class(split)).items():
            total[name] = total.get(name, 0) + count
    return sorted(total, key=lambda name: -total[name])


def _by_name(split: Split, counts: Tensor) -> dict[str, int]:
    return dict(zip(split.dataset.class_names, counts.tolist()))
