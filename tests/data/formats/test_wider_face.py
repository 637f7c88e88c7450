from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.files import noise, voc_object
from tests.shared import shared


def write_faces(root: Path, images: str = ".", *, folder: str = "0--Parade") -> Path:
    (root / "Annotations").mkdir(parents=True)
    (root / images / "0--Parade").mkdir(parents=True)
    cv2.imwrite(str(root / images / "0--Parade" / "x_1.jpg"), noise(40, 60))
    event = f"<folder>{folder}</folder>" if folder else ""
    (root / "Annotations" / "x_1.xml").write_text(
        f"<annotation>{event}<size><width>60</width><height>40</height></size>"
        f"{voc_object('face', (3, 4, 23, 34))}{voc_object('face', (30, 4, 40, 30))}</annotation>"
    )
    return root


@pytest.mark.parametrize("images", [".", "images"])
@pytest.mark.parametrize("listing", ["val.txt", "WIDER_val/val.txt"])
def test_layouts(tmp_path: Path, images: str, listing: str) -> None:
    root = write_faces(tmp_path / "WIDER_val", images)
    (tmp_path / listing).write_text("x_1\n")
    for place in (tmp_path, root):
        assert available_splits(place) == ("val",)
        data = open_dataset(place, "val")
        assert data.class_names == ("face",)
        assert data.sample(0).targets.boxes.tolist() == [[2, 3, 22, 33], [29, 3, 39, 29]]


def test_the_lists_of_the_data_name_the_event_too(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "WIDER_val")
    (root / "val.txt").write_text("0--Parade/x_1.jpg\n")
    assert open_dataset(root, "val").image_id(0) == "x_1"


def test_small_faces_are_ignored_in_training(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "WIDER_val")
    (tmp_path / "val.txt").write_text("x_1\n")
    data = open_dataset(root, "val").for_training(min_object_size=17)
    targets = data.targets(0)
    assert targets.boxes.tolist() == [[2, 3, 22, 33]]
    assert targets.ignored_boxes.tolist() == [[29, 3, 39, 29]]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "WIDER_val", folder="")
    listing = tmp_path / "val.txt"
    listing.write_text("x_1\n")
    with pytest.raises(DataError, match=r"x_1\.xml: names no folder"):
        open_dataset(root, "val")
    listing.write_text("x_2\n")
    with pytest.raises(DataError, match=r"x_2\.xml: cannot be read"):
        open_dataset(root, "val")
    file = root / "Annotations" / "x_1.xml"
    file.write_text(f"<annotation><folder>e</folder>{voc_object('cat', (1, 1, 9, 9))}</annotation>")
    listing.write_text("x_1\n")
    with pytest.raises(DataError, match="holds a 'cat'; WIDER FACE has nothing but 'face'"):
        open_dataset(root, "val")


def test_real_data() -> None:
    data = open_dataset(shared("data", "widerface_mini"), "val")
    assert (len(data), len(data.annotations)) == (6, 302)
    for i in range(len(data)):
        sample = data.sample(i)
        assert (sample.targets.boxes[:, 2:] > sample.targets.boxes[:, :2]).all()


# The form of wider_face_split/wider_face_train_bbx_gt.txt (its readme.txt): x, y, width, height,
# blur, expression, illumination, invalid, occlusion, pose.
PUBLISHED = """\
0--Parade/0_Parade_marchingband_1_849.jpg
3
4 11 22 19 0 0 0 0 0 0
30 5 5 7 2 0 0 1 2 0
40 5 0 7 2 0 0 0 2 0
0--Parade/0_Parade_Parade_0_452.jpg
0
0 0 0 0 0 0 0 0 0 0
"""


def test_the_published_annotations(tmp_path: Path) -> None:
    file = tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    images = tmp_path / "WIDER_val" / "images" / "0--Parade"
    for folder in (file.parent, images):
        folder.mkdir(parents=True)
    for line in PUBLISHED.splitlines():
        if line.endswith(".jpg"):
            cv2.imwrite(str(images.parent / line), noise(40, 60))
    file.write_text(PUBLISHED)
    assert available_splits(tmp_path) == ("val",)
    data = open_dataset(tmp_path, "val")
    assert len(data) == 2
    assert data.class_names == ("face",)
    targets = data.targets(0)
    assert targets.boxes.tolist() == [[4, 11, 26, 30]]  # the third is no pixel wide
    assert targets.ignored_boxes.tolist() == [[30, 5, 35, 12]]
    assert len(data.targets(1).boxes) == 0
    assert data.notes == ("1 object ignored: invalid",)
    for damaged, message in (
        (PUBLISHED[:100], r"line 1: (has|the face)"),
        (PUBLISHED.replace("0 0 0 0 0 0 0 0 0 0\n", ""), r"line 6|is not"),
        ("a.jpg\n1\n1 2 3\n", "is not ten whole numbers"),
    ):
        file.write_text(damaged)
        if damaged.startswith("0--") and len(damaged) > 100:
            continue
        with pytest.raises(DataError, match=message):
            open_dataset(tmp_path, "val")
