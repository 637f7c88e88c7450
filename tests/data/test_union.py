from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo.data.annotations import Annotations, LabelLists
from detzoo.data.coco import read_coco
from detzoo.data.formats.voc import VOC_CLASSES
from detzoo.data.locate import available_splits, open_dataset
from detzoo.data.lvis import Federation
from detzoo.data.union import union
from detzoo.errors import DataError
from detzoo.structures.segmentation import decode_rle
from tests.data.files import annotation, voc_object, write_coco, write_voc


def write_devkit(root: Path) -> None:
    cat, dog = voc_object("cat", (1, 1, 9, 9)), voc_object("dog", (2, 3, 20, 30))
    write_voc(
        root / "VOC2007",
        {"000001": cat, "000002": ""},
        {"trainval": ["000001"], "test": ["000002"]},
    )
    difficult = voc_object("cat", (5, 5, 25, 25), "<difficult>1</difficult>")
    write_voc(root / "VOC2012", {"2008_1": dog + difficult}, {"trainval": ["2008_1"]})


def test_two_years_are_one_data_set(tmp_path: Path) -> None:
    write_devkit(tmp_path / "VOCdevkit")
    for place in (tmp_path, tmp_path / "VOCdevkit"):
        data = open_dataset(place, "trainval")
        assert data.class_names == VOC_CLASSES
        assert [data.image_id(i) for i in range(len(data))] == ["000001", "2008_1"]
        assert data.file_names[1] == "VOC2012/JPEGImages/2008_1.jpg"
        assert data.annotations.ids.tolist() == [1, 2, 3]
        second = data.sample(1)
        assert second.targets.boxes.tolist() == [[1, 2, 19, 29]]
        assert second.targets.labels.tolist() == [VOC_CLASSES.index("dog")]
        assert second.targets.ignored_boxes.tolist() == [[4, 4, 24, 24]]
        # Without lists of their own, trainval is what to train on.
        assert available_splits(place) == ("train", "test")
        assert open_dataset(place, "test").image_id(0) == "000002"


def write_set(
    folder: Path, names: dict[int, str], objects: Sequence[dict[str, Any]], size: int = 40
) -> Path:
    """A COCO file with images 1 and 2, whose categories are ``names``."""
    categories = [{"id": number, "name": name} for number, name in names.items()]
    return write_coco(folder, [(size, 60)] * 2, objects, changes={"categories": categories})


def test_sets_meet_by_class_name_with_their_masks(tmp_path: Path) -> None:
    code = {"size": [50, 60], "counts": [0, 40, 2960]}
    first = write_set(
        tmp_path / "a",
        {3: "cat", 7: "dog"},
        [annotation(5, 2, (1, 2, 10, 20)), annotation(9, 1, (3, 3, 5, 5), category_id=7)],
    )
    second = write_set(
        tmp_path / "b",
        {1: "dog", 3: "emu"},
        [
            annotation(5, 1, (0, 0, 1, 40), category_id=1, segmentation=code, iscrowd=1),
            annotation(6, 2, (4, 4, 9, 9), category_id=3, segmentation=None),
        ],
        size=50,
    )
    data = open_dataset([first, second])
    assert data.class_names == ("cat", "dog", "emu")
    assert data.category_ids[:2] == (3, 7)
    assert len(set(data.category_ids)) == 3
    assert data.sizes.tolist() == [[40, 60]] * 2 + [[50, 60]] * 2
    objects = data.annotations
    assert objects.offsets.tolist() == [0, 1, 2, 3, 4]
    assert [data.class_names[k] for k in objects.labels.tolist()] == ["dog", "cat", "dog", "emu"]
    assert objects.boxes[:, 2:].tolist() == [[5, 5], [10, 20], [1, 40], [9, 9]]
    assert objects.is_crowd.tolist() == [False, False, True, False]
    masks = objects.segmentations
    assert masks is not None
    assert masks.is_there.tolist() == [True, True, True, False]
    assert masks.polygons(1)[0].tolist() == [[1, 2], [11, 2], [11, 22], [1, 22]]
    assert not masks.polygons(2)
    assert decode_rle(masks.code(2), (50, 60)).sum() == 40
    assert data.num_without_mask == 1
    assert data.path(2).endswith("b/train/1.png")
    # Both files have images 1 and 2, and objects 5.
    assert [data.image_id(i) for i in range(4)] == [1, 2, 3, 4]
    assert objects.ids.tolist() == [1, 2, 3, 4]
    assert any("renumbered from 1 to 4" in note for note in data.notes)
    assert f"images of {first} count as showing no emu: not among its classes" in data.notes
    assert f"images of {second} count as showing no cat: not among its classes" in data.notes
    some = union([open_dataset(first), open_dataset(second)], ["emu", "dog"])
    assert some.class_names == ("emu", "dog")
    assert some.annotations.offsets.tolist() == [0, 1, 1, 2, 3]
    assert f"images of {first} count as showing no emu: not among its classes" in some.notes
    assert not any("showing no cat" in note for note in some.notes)
    with pytest.raises(DataError, match="has no class 'fish'"):
        union([open_dataset(first), open_dataset(second)], ["emu", "fish"])


def test_a_set_with_masks_and_one_without(tmp_path: Path) -> None:
    first = write_set(tmp_path / "a", {3: "cat"}, [annotation(1, 1, (1, 2, 10, 20))])
    bare = annotation(1, 1, (1, 2, 10, 20), segmentation=None)
    second = write_set(tmp_path / "b", {3: "cat"}, [bare])
    for order in ([first, second], [second, first]):
        data = open_dataset(order)
        assert data.has_masks
        assert data.num_without_mask == 1
    assert not open_dataset([second, second]).has_masks


def test_ids_of_images_stay_where_they_differ(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    years = [open_dataset(tmp_path / f"VOC{year}", "trainval") for year in (2007, 2012)]
    assert union(years[:1]) is years[0]
    data = union(years)
    assert [data.image_id(i) for i in range(2)] == ["000001", "2008_1"]
    assert not any("renumbered" in note for note in data.notes)
    numbers = read_coco(write_set(tmp_path / "a", {1: "cat"}, []), tmp_path)
    both = union([years[0], numbers])
    assert [both.image_id(i) for i in range(3)] == ["000001", "1", "2"]


def test_names_that_are_nearly_one(tmp_path: Path) -> None:
    files = [
        write_set(tmp_path / name, {3: name}, []) for name in ("Traffic light", "traffic_light")
    ]
    notes = open_dataset(files).notes
    assert "'Traffic light' and 'traffic_light' are two classes: their names differ" in notes


def test_lvis_joins_only_lvis(tmp_path: Path) -> None:
    data = read_coco(write_set(tmp_path / "a", {3: "cat", 7: "dog"}, []), tmp_path)
    some = replace(
        data, federation=Federation(LabelLists.of([[0], [1]]), LabelLists.of([[], [1]]), ("r", "c"))
    )
    other = some.select_classes(["dog", "cat"])
    both = union([some, other]).federation
    assert both is not None
    assert [both.absent[i] for i in range(4)] == [[0], [1], [0], [1]]
    assert [both.partial[i] for i in range(4)] == [[], [1], [], [1]]
    assert both.frequency == ("r", "c")
    with pytest.raises(DataError, match="which classes were looked for"):
        union([some, data])


def test_half_a_million_objects_are_joined_at_once(tmp_path: Path) -> None:
    data = read_coco(write_set(tmp_path, {3: "cat", 7: "dog"}, []), tmp_path)
    count = 250_000
    box = torch.tensor([[1.0, 1, 5, 5]], dtype=torch.float64)
    flags = torch.zeros(count, dtype=torch.bool)
    many = Annotations(
        offsets=torch.tensor([0, count, count]),
        boxes=box.expand(count, 4),
        labels=torch.arange(count) % 2,
        ids=torch.arange(count),
        areas=torch.full((count,), 25.0, dtype=torch.float64),
        is_crowd=flags,
        is_ignored=flags,
        segmentations=None,
    )
    start = time.process_time()
    joined = union([replace(data, annotations=many)] * 2)
    assert time.process_time() - start < 0.5  # 2.5 s with an object per annotation
    assert len(joined.annotations) == 2 * count
