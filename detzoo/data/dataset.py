"""A detection data set: image files, and their objects in flat arrays."""

from __future__ import annotations

import difflib
import itertools
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from detzoo.data.annotations import (
    MARKS,
    Annotations,
    Ids,
    Proposals,
    Strings,
    id_at,
    reasons_to_ignore,
    take_ids,
    usable_for_training,
)
from detzoo.data.images import header_of, image_size, read_gray, read_image
from detzoo.data.lvis import Federation
from detzoo.data.open_images import OpenImagesLabels
from detzoo.data.panoptic import PanopticMaps
from detzoo.data.sample import Sample
from detzoo.errors import DataError
from detzoo.structures import BitmapMasks, ImageInfo, PolygonMasks, TargetMasks, Targets
from detzoo.structures.masks import rasterize
from detzoo.structures.segmentation import decode_rle
from detzoo.values import Id, as_integer, check_class_names

MaskForm = Literal["none", "bitmap", "polygon"]


@dataclass(frozen=True)
class DetectionDataset:
    """I images and their objects, as the readers in ``coco.py`` and ``voc.py`` return them.

    ``sizes`` (I, 2) are the heights and widths declared by ``source``, the annotation file.
    ``category_ids`` are those of the file, in the order of ``class_names``. ``image_ids`` are
    integers or texts. ``notes`` tell the user what was left out. ``federation`` is
    given if images are not annotated for every class (LVIS), ``open_images`` is what Open Images
    says of it. ``proposals`` come from a file,
    ``semantic_dir`` is a folder of semantic maps, for models that need them; ``panoptic`` are maps
    of all pixels' segments, whose things are the objects. Images are read with
    ``channels`` channels, and with ``ignore_exif`` as they lie in the file: see
    :func:`~detzoo.data.images.read_image`.
    """

    source: str
    image_dir: str
    class_names: tuple[str, ...]
    category_ids: tuple[Id, ...]
    image_ids: Ids
    file_names: Strings
    sizes: Tensor
    annotations: Annotations
    notes: tuple[str, ...] = ()
    federation: Federation | None = None
    open_images: OpenImagesLabels | None = None
    proposals: Proposals | None = None
    semantic_dir: str | None = None
    panoptic: PanopticMaps | None = None
    channels: int = 3
    ignore_exif: bool = False

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def has_masks(self) -> bool:
        return self.annotations.segmentations is not None

    @property
    def num_without_mask(self) -> int:
        """How many objects, crowds aside, have no mask although others have."""
        stored = self.annotations.segmentations
        return 0 if stored is None else int((~stored.is_there & ~self.annotations.is_crowd).sum())

    @property
    def aspect_ratios(self) -> np.ndarray:
        """Width over height of each image: (I,)."""
        height, width = self.sizes.double().unbind(1)
        return (width / height).numpy()

    def image_id(self, i: int) -> Id:
        return id_at(self.image_ids, i)

    def path(self, i: int) -> str:
        return os.path.join(self.image_dir, self.file_names[i])

    def info(self, i: int) -> ImageInfo:
        """The info of image ``i``, without opening the file."""
        height, width = self.sizes[i].tolist()
        return ImageInfo.of((height, width), id=self.image_id(i), path=self.path(i))

    def sample(self, i: int, masks: MaskForm = "none") -> Sample:
        """Reads image ``i`` with its training targets, in original pixels.

        Crowds and difficult objects become ignored boxes; unusable boxes (see
        :func:`usable_for_training`) are left out. In the form "polygon", an image with any
        run-length mask gets bitmaps instead. Of panoptic data, the semantic map has the labels of
        things, followed by those of stuff. Raises :class:`DataError` if the image or its map cannot
        be read or does not have the declared size.
        """
        info = self.info(i)
        image = self.image(i)
        targets = self.targets(i, masks)
        if self.semantic_dir is not None:
            targets = replace(targets, semantic_map=self._semantic_map(i))
        elif self.panoptic is not None and self.panoptic.stuff_names:
            classes = self.panoptic.semantic_map(i, len(self.class_names), info.original_size)
            targets = replace(targets, semantic_map=classes)
        return Sample(image, targets, info)

    def image(self, i: int) -> np.ndarray:
        """The pixels (H, W, channels) uint8 BGR of image ``i``. Raises as :meth:`sample` does."""
        image = read_image(self.path(i), self.channels, ignore_exif=self.ignore_exif)
        self._check_size(i, (image.shape[0], image.shape[1]))
        return image

    def targets(self, i: int, masks: MaskForm = "none") -> Targets:
        """The targets of :meth:`sample`, without the semantic map."""
        rows = self.annotations.rows(i)
        boxes = self.annotations.boxes[rows]
        usable = usable_for_training(boxes, self.annotations.areas[rows], self.sizes[i])
        ignored = self.annotations.is_crowd[rows] | self.annotations.is_ignored[rows]
        regular = usable & ~ignored
        corners = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).float()
        objects = [rows.start + int(k) for k in regular.nonzero()[:, 0]]
        return Targets(
            boxes=corners[regular],
            labels=self.annotations.labels[rows][regular],
            ignored_boxes=corners[usable & ignored],
            masks=None if masks == "none" else self._masks(i, objects, masks),
        )

    def with_channels(self, channels: int) -> DetectionDataset:
        """The same data with images of ``channels`` channels: see
        :func:`~detzoo.data.images.read_image`."""
        return replace(self, channels=channels)

    def take(self, images: Sequence[int] | Tensor) -> DetectionDataset:
        """The data set with only these images, in this order."""
        index = torch.as_tensor(images, dtype=torch.int64)
        return replace(
            self,
            image_ids=take_ids(self.image_ids, index),
            file_names=self.file_names.take(index),
            sizes=self.sizes[index],
            annotations=self.annotations.of_images(index),
            federation=None if self.federation is None else self.federation.take(index),
            open_images=None if self.open_images is None else self.open_images.take(index),
            proposals=None if self.proposals is None else self.proposals.take(index),
            panoptic=None if self.panoptic is None else self.panoptic.take(index),
        )

    def for_training(
        self,
        *,
        skip_empty: bool = True,
        min_size: int = 32,
        min_object_size: float = 0,
        learn_crowds: bool = False,
    ) -> DetectionDataset:
        """Leaves out images whose shorter side is under ``min_size`` pixels, and empty ones.

        As in MMDetection, an image is empty if it has no annotation at all: one with only a crowd
        stays. Objects with a side under ``min_object_size`` pixels become ignored ones, and with
        ``learn_crowds`` crowds become objects like others. ``notes`` tell what was left out and
        which objects are ignored; of those that the annotations mark, the reader has told. Raises
        :class:`DataError` with the reasons if no image or no object is left to learn from.
        """
        small = self.sizes.min(1).values < min_size
        empty = self.annotations.offsets.diff() == 0
        notes = []
        keep = ~small
        if small.any():
            notes.append(f"{_count(small)} narrower than {min_size} pixels left out of training")
        if skip_empty:
            keep &= ~empty
            if (empty & ~small).any():
                notes.append(f"{_count(empty & ~small)} without objects left out of training")
        kept = self.take(keep.nonzero()[:, 0])
        crowds = kept.annotations.is_crowd
        if learn_crowds and crowds.any():
            notes.append(f"{_count(crowds, 'crowd', 'crowds')} learned like other objects")
            no_crowds = torch.zeros_like(crowds)
            kept = replace(kept, annotations=replace(kept.annotations, is_crowd=no_crowds))
        reasons = reasons_to_ignore(kept.annotations, kept.sizes, min_object_size)
        told = {
            reason: f"{_count(mask, 'object', 'objects')} ignored in training: {reason}"
            for reason, mask in reasons.items()
            if mask.any()
        }
        if sum(int(mask.sum()) for mask in reasons.values()) == len(kept.annotations):
            raise DataError(self._nothing_to_learn(kept, [*notes, *told.values()], min_size))
        notes += [note for reason, note in told.items() if reason not in MARKS]
        tiny = (kept.annotations.boxes[:, 2:] < min_object_size).any(1)
        annotations = replace(kept.annotations, is_ignored=kept.annotations.is_ignored | tiny)
        return replace(kept, annotations=annotations, notes=(*self.notes, *notes))

    def select_classes(
        self, names: Sequence[str], *, drop_others: bool = False, allow_absent: bool = False
    ) -> DetectionDataset:
        """The same images with the labels of ``names``; classes are matched by name.

        Raises :class:`DataError` if ``names`` are not distinct, if the data has a class that is not
        among them (unless ``drop_others`` leaves out its objects), or if the data does not have one
        of them (unless ``allow_absent``).
        """
        names = tuple(names)
        check_class_names(names, "the class names asked for")
        label_of = {name: label for label, name in enumerate(names)}
        known = dict(zip(self.class_names, self.category_ids))
        others = [name for name in self.class_names if name not in label_of]
        absent = [name for name in names if name not in known]
        if absent and not allow_absent:
            near = difflib.get_close_matches(absent[0], self.class_names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"{self.source}: has no class {_listed(absent)}; its classes are "
                f"{_listed(self.class_names)}.{hint}"
            )
        if others and not drop_others:
            raise DataError(
                f"{self.source}: has the class {_listed(others)}, which is not among the classes "
                f"asked for ({_listed(names)}). Add it to them, or ask for other classes to be "
                "left out."
            )
        new_label = [label_of.get(name, -1) for name in self.class_names]
        unused = itertools.count(max(as_integer(number) or 0 for number in self.category_ids) + 1)
        ids = [known[name] if name in known else next(unused) for name in names]
        label_map = torch.tensor(new_label, dtype=torch.int64)
        annotations = self.annotations.relabeled(label_map)
        federation = self.federation
        notes = self.notes
        if others:
            left = len(self.annotations) - len(annotations)
            objects = f"{left} object{'' if left == 1 else 's'}"
            notes = (*notes, f"{objects} of other classes left out ({_listed(others)})")
        return replace(
            self,
            class_names=names,
            category_ids=tuple(ids),
            annotations=annotations,
            federation=federation and federation.relabeled(label_map, len(names)),
            open_images=self.open_images and self.open_images.relabeled(label_map, len(names)),
            panoptic=self.panoptic and self.panoptic.with_things(label_map),
            notes=notes,
        )

    @property
    def stuff_names(self) -> tuple[str, ...]:
        """The classes of stuff; none without panoptic maps."""
        return () if self.panoptic is None else self.panoptic.stuff_names

    def with_stuff(self, names: Sequence[str]) -> DetectionDataset:
        """The same data with these classes of stuff, matched by name; without any, samples have no
        semantic maps.

        Raises :class:`DataError` if there are none of ``names`` in the data.
        """
        if names and not set(names) & set(self.stuff_names):
            raise DataError(
                f"{self.source}: has none of the model's classes of stuff ({_listed(names)}); its "
                f"stuff is {_listed(self.stuff_names) or 'not annotated'}."
            )
        if self.panoptic is None:
            return self
        return replace(self, panoptic=self.panoptic.with_stuff(names))

    def require_masks(self) -> None:
        """Raises :class:`DataError` if no object has a mask."""
        if not self.has_masks:
            raise DataError(
                f"{self.source}: has no masks, and the model needs them. Choose a model that only "
                "predicts boxes, or annotations with a 'segmentation'."
            )

    def with_semantic_maps(self, folder: str | os.PathLike[str]) -> DetectionDataset:
        """The same data with the semantic maps ``folder/<name of the image>.png``.

        Raises :class:`DataError` if one is missing.
        """
        for i in range(len(self)):
            file = self._semantic_file(folder, i)
            if not file.is_file():
                raise DataError(
                    f"{file}: no such file; the folder of semantic maps must have one for every "
                    f"image of {self.source}."
                )
        return replace(self, semantic_dir=str(folder))

    def check_files(self, sizes: int = 500) -> None:
        """Raises :class:`DataError` if images are missing or do not have the declared size.

        Takes one listing per folder, and reads the headers of at most ``sizes`` images, evenly
        spread: sizes are rarely wrong in a single image.
        """
        missing = self._missing_files()
        if missing:
            raise DataError(
                f"{self.source}: {len(missing)} of its {len(self)} images are not in the folder "
                f"{self.image_dir}, the first is {missing[0]!r}. Give the folder that has them, or "
                "leave them out (--skip-broken)."
            )
        step = max(1, len(self) // max(sizes, 1))
        for i in range(0, len(self), step):
            self._check_size(i, image_size(self.path(i), ignore_exif=self.ignore_exif))

    def to_coco(self) -> dict[str, Any]:
        """The ground truth in COCO's format, with the ids, boxes and areas of the file."""
        classes = zip(self.category_ids, self.class_names)
        categories: list[dict[str, Any]] = [{"id": id_, "name": name} for id_, name in classes]
        sizes = self.sizes.tolist()
        ids = [self.image_id(i) for i in range(len(self))]
        images: list[dict[str, Any]] = [
            {"id": ids[i], "file_name": self.file_names[i], "height": height, "width": width}
            for i, (height, width) in enumerate(sizes)
        ]
        if self.federation is not None:
            for category, frequency in zip(categories, self.federation.frequency):
                category["frequency"] = frequency
            for i, image_entry in enumerate(images):
                absent, partial = self.federation.absent[i], self.federation.partial[i]
                image_entry["neg_category_ids"] = [self.category_ids[k] for k in absent]
                image_entry["not_exhaustive_category_ids"] = [self.category_ids[k] for k in partial]
        data = self.annotations
        image_index = data.image_index.tolist()
        rows = zip(
            (id_at(data.ids, n) for n in range(len(data))),
            image_index,
            data.labels.tolist(),
            data.boxes.tolist(),
            data.areas.tolist(),
            data.is_crowd.tolist(),
            data.is_ignored.tolist(),
        )
        annotations: list[dict[str, Any]] = [
            {
                "id": number,
                "image_id": ids[image],
                "category_id": self.category_ids[label],
                "bbox": box,
                "area": area,
                "iscrowd": int(crowd),
                "ignore": int(ignored),
            }
            for number, image, label, box, area, crowd, ignored in rows
        ]
        if data.segmentations is not None:
            for n, annotation in enumerate(annotations):
                annotation["segmentation"] = self._coco_mask(n, sizes[image_index[n]])
        return {"images": images, "annotations": annotations, "categories": categories}

    # -------------------------------------------------------------------------------- internals

    def _nothing_to_learn(self, kept: DetectionDataset, notes: list[str], min_size: int) -> str:
        """Why no image, or no object in those that are ``kept``, is left."""
        text = f"{self.source}: there is no {'object' if len(kept) else 'image'} to train on"
        text += f": {'; '.join(notes) or 'none of its images has one'}."
        if (self.sizes.min(1).values < min_size).any():
            text += f" Smaller images are taken with --set data.min_image_size=N (now {min_size})."
        boxes = self.annotations.boxes
        if len(boxes) and float(boxes.min()) >= 0 and float(boxes.max()) <= 1:
            text += (
                " All numbers of its boxes lie between 0 and 1, as normalized coordinates do: "
                "multiply them by the width and height of their images."
            )
        return text

    def _masks(self, i: int, objects: list[int], form: MaskForm) -> TargetMasks:
        self.require_masks()
        stored = self.annotations.segmentations
        assert stored is not None
        height, width = self.sizes[i].tolist()
        polygons = tuple(stored.polygons(n) for n in objects)
        codes = [stored.code(n) for n in objects]
        if form == "polygon" and not any(codes):
            return PolygonMasks(polygons, (height, width))
        bitmaps = np.zeros((len(objects), height, width), np.uint8)
        for bitmap, parts, code in zip(bitmaps, polygons, codes):
            if code:
                bitmap[:] = decode_rle(code, (height, width))
            elif parts:
                bitmap[:] = rasterize(parts, (height, width))
        missing = ~stored.is_there[objects]
        return BitmapMasks(torch.from_numpy(bitmaps), missing if missing.any() else None)

    def _semantic_file(self, folder: str | os.PathLike[str], i: int) -> Path:
        return Path(folder, self.file_names[i]).with_suffix(".png")

    def _semantic_map(self, i: int) -> Tensor:
        assert self.semantic_dir is not None
        file = self._semantic_file(self.semantic_dir, i)
        classes = read_gray(file)
        if classes.dtype != np.uint8 or classes.shape != tuple(self.sizes[i].tolist()):
            height, width = self.sizes[i].tolist()
            raise DataError(
                f"{file}: is not a semantic map of {self.path(i)}, which must be an 8-bit gray "
                f"image of {width} x {height} pixels (width x height)."
            )
        return torch.from_numpy(classes)

    def _coco_mask(self, n: int, size: list[int]) -> Any:
        stored = self.annotations.segmentations
        assert stored is not None
        code = stored.code(n)
        polygons = [points.reshape(-1).tolist() for points in stored.polygons(n)]
        if polygons:
            return polygons
        return {"size": size, "counts": code.decode("ascii")} if code else []

    def _check_size(self, i: int, size: tuple[int, int]) -> None:
        declared = tuple(self.sizes[i].tolist())
        if size == declared:
            return
        is_turned = size == declared[::-1] and header_of(self.path(i))[1] >= 5
        turned = ""
        if is_turned and self.ignore_exif:
            turned = " Its EXIF tag rotates it, and is ignored (--ignore-exif)."
        elif is_turned:
            turned = " It is rotated by its EXIF tag (--ignore-exif takes images as stored)."
        raise DataError(
            f"{self.path(i)}: the image is {size[1]} x {size[0]} pixels (width x height), but "
            f"{self.source} declares {declared[1]} x {declared[0]}, so its boxes may be misplaced."
            f"{turned} Correct the annotations, or remove the image from them."
        )

    def _missing_files(self) -> list[str]:
        folders: dict[str, set[str]] = defaultdict(set)
        for i in range(len(self)):
            folder, name = os.path.split(self.file_names[i])
            folders[folder].add(name)
        missing = []
        for folder, names in folders.items():
            path = Path(self.image_dir, folder)
            present = {entry.name for entry in os.scandir(path)} if path.is_dir() else set()
            missing += [os.path.join(folder, name) for name in sorted(names - present)]
        return missing


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _count(mask: Tensor, one: str = "image", many: str = "images") -> str:
    count = int(mask.sum())
    return f"{count} {one if count == 1 else many}"
