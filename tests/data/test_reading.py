"""Reading on after entries that are malformed, and images as they are stored."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from PIL import Image

from detzoo.data.locate import open_dataset
from detzoo.data.reading import reading_on
from detzoo.errors import DataError
from tests.data.files import annotation, noise, write_coco
from tests.data.formats.cases import CASES
from tests.data.formats.files import write

# What is made wrong in a file of each format, and the message about it.
ENTRIES = {
    "yolo labels": ("1 0.5", "7 0.5", "the class is 7"),
    "cvat": ('xtl="', 'xtl="x', "its xtl is"),
    "labelme": ('"label": "wheel"', '"lab": "wheel"', "has no label"),
    "label studio": ('"width":', '"wide":', "its width is None"),
    "via": ('"all_points_x":', '"all":', "are not of one length"),
    "csv": (",cat,", ",,", "has no class"),
    "keras": ("a.jpg,10", "a.jpg,x10", "x1 is"),
    "open images": ("0.1,", "x,", "is no number"),
    "kitti": ("0.00", "x", "are not numbers"),
    "visdrone": (",1,4,", ",1,44,", "the category 44"),
    "dota": (" plane 1", " plane 1 1", "columns instead of 10"),
    "wider face": ("40 5 0", "40 x 0", "is not ten whole numbers"),
    "crowdhuman": ('"fbox":', '"f":', "the fbox None"),
    "hugging face": ("[[8, 1, 5, 2],", "[", "1 boxes, but 2"),
    "bdd100k": ('"x1":', '"x":', "the box2d"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_one_entry_of_each_format(tmp_path: Path, name: str) -> None:
    """It is an error or, where reading goes on, what the rest is read without."""
    old, new, message = ENTRIES[name]
    case = CASES[name]
    root = write(tmp_path, case.files)
    whole = open_dataset(root)
    file = root / case.file
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(DataError, match=message):
        open_dataset(root)
    with reading_on() as faults:
        rest = open_dataset(root, check=False)
    assert [fault.kind for fault in faults] == ["annotation-unreadable"]
    assert message in faults[0].text
    assert case.file in faults[0].text.replace("\\", "/") or name == "cvat"
    assert 0 < len(rest) <= len(whole)
    assert len(rest.annotations) < len(whole.annotations) or len(rest) < len(whole)
    with pytest.raises(DataError, match=message):  # no longer
        open_dataset(root)


def test_all_faults_of_a_coco_file(tmp_path: Path) -> None:
    objects = [
        annotation(1, 1, (5, 5, 20, 20)),
        annotation(2, 1, (5, 5, 20, 20), category_id=77),
        annotation(3, 77, (5, 5, 20, 20)),
        annotation(1, 1, (6, 6, 20, 20)),
        annotation(5, 1, (5, 5, 20, 20), bbox=["x", 0, 1, 1]),
        annotation(6, 1, (5, 5, 20, 20), segmentation=[[1, 2, 3]]),
        annotation(7, 2, (7, 7, 20, 20)),
    ]
    write_coco(tmp_path, [(40, 60), (40, 60)], objects)
    with reading_on() as faults:
        data = open_dataset(tmp_path)
    assert data.annotations.boxes.tolist() == [[5, 5, 20, 20], [7, 7, 20, 20]]
    texts = " ".join(fault.text for fault in faults)
    for part in ("category_id 77", "image_id 77", "occurs twice", "id 5", "id 6"):
        assert part in texts
    assert len(faults) == 5


def test_all_faults_of_the_categories_of_a_coco_file(tmp_path: Path) -> None:
    """Objects of a category that cannot be read are faults too."""
    objects = [annotation(k, 1, (5, 5, 20, 20), category_id=k) for k in (1, 2, 3)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2}, {"id": 1, "name": "bird"}]
    write_coco(tmp_path, [(40, 60)], objects, changes={"categories": categories})
    with pytest.raises(DataError, match=r"categories\[1\]"):
        open_dataset(tmp_path)
    with reading_on() as faults:
        data = open_dataset(tmp_path)
    assert data.class_names == ("cat",)
    assert data.annotations.labels.tolist() == [0]
    texts = [fault.text for fault in faults]
    for part in ("categories[1]", "that of 'cat' too", "category_id 2", "category_id 3"):
        assert [part in text for text in texts].count(True) == 1, part
    assert len(texts) == 4


def test_voc_lists_and_files_that_are_broken(tmp_path: Path) -> None:
    xml = "<annotation><object><name>cat</name><bndbox><xmin>2</xmin><ymin>2</ymin>"
    xml += "<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    files = {f"Annotations/{name}.xml": xml for name in "abc"}
    files |= {f"JPEGImages/{name}.jpg": "" for name in "abc"}
    files["ImageSets/Main/train.txt"] = "a\nb\nb\nc\nd\n"
    files["Annotations/b.xml"] = "<annotation>"
    files["Annotations/c.xml"] = xml.replace("<xmin>2<", "<xmin>two<")
    with reading_on() as faults:
        data = open_dataset(write(tmp_path, files))
    assert data.file_names[0] == "a.jpg"
    assert [len(data), len(data.annotations)] == [2, 1]
    texts = " ".join(fault.text for fault in faults)
    for part in ("lists 'b' twice", "lists 'd', which", "b.xml: is not valid", "is 'two'"):
        assert part in texts
    assert len(faults) == 4


def test_images_whose_size_is_read_from_them(tmp_path: Path) -> None:
    """They are missing or unreadable when the set is opened; the others are read."""
    files = {f"images/{name}.jpg": "" for name in "abc"}
    files |= {f"labels/{name}.txt": "0 .5 .5 .2 .2\n" for name in "abc"}
    files |= {"train.txt": "images/a.jpg\nimages/b.jpg\nimages/c.jpg\n"}
    files |= {"data.yaml": "train: train.txt\nnames: [cat]\n"}
    root = write(tmp_path, files)
    (root / "images/b.jpg").write_bytes(b"\xff\xd8 no image")
    (root / "images/c.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of its 3 images are not in the folder"):
        open_dataset(root)
    with reading_on() as faults:
        data = open_dataset(root)
    assert data.file_names[0] == "a.jpg"
    assert len(data) == 1
    assert {fault.kind for fault in faults} == {"image-missing", "image-unreadable"}


def test_sizes_of_images_that_are_not_turned(tmp_path: Path) -> None:
    """With ``ignore_exif``, fractions are those of the image as it is stored."""
    files = {"images/a.jpg": "", "labels/a.txt": "0 .5 .5 .2 .2\n", "classes.txt": "cat\n"}
    root = write(tmp_path, files)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(50, 100)).save(root / "images/a.jpg", exif=exif)
    turned, stored = (open_dataset(root, ignore_exif=ignore) for ignore in (False, True))
    assert turned.sizes.tolist() == [[100, 50]]
    assert stored.sizes.tolist() == [[50, 100]]
    assert stored.sample(0).image.shape == (50, 100, 3)
    assert stored.targets(0).boxes.tolist() == [[40, 20, 60, 30]]
    assert cv2.imread(str(root / "images/a.jpg")).shape == (100, 50, 3)
