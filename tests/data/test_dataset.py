from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from PIL import Image

from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.errors import DataError
from tests.data.files import annotation, noise, write_coco


@pytest.fixture
def data(tmp_path: Path) -> DetectionDataset:
    boxes = [
        annotation(1, 1, (1, 1, 9, 9)),
        annotation(2, 1, (2, 2, 9, 9), category_id=7),
        annotation(3, 3, (3, 3, 9, 9), category_id=7),
    ]
    file = write_coco(tmp_path, [(40, 60), (64, 48), (50, 50)], boxes)
    return read_coco(file, tmp_path / "train")


def test_classes_are_matched_by_name(data: DetectionDataset) -> None:
    turned = data.select_classes(["dog", "cat"])
    assert turned.class_names == ("dog", "cat")
    assert turned.category_ids == (7, 3)
    assert data.targets(0).labels.tolist() == [0, 1]
    assert turned.targets(0).labels.tolist() == [1, 0]
    # The ids of the file stay, whatever the order of the names.
    assert [a["category_id"] for a in turned.to_coco()["annotations"]] == [3, 7, 7]


def test_classes_not_asked_for_are_an_error_unless_they_may_be_dropped(
    data: DetectionDataset,
) -> None:
    with pytest.raises(DataError, match=r"train\.json: has the class 'cat', which is not among"):
        data.select_classes(["dog"])
    dogs = data.select_classes(["dog"], drop_others=True)
    assert [len(dogs.targets(i)) for i in range(3)] == [1, 0, 1]
    assert dogs.targets(0).boxes.tolist() == [[2, 2, 11, 11]]
    assert dogs.notes == ("1 object of other classes left out ('cat')",)
    masks = dogs.targets(0, "polygon").masks
    assert masks is not None
    assert masks.boxes().tolist() == [[2, 2, 11, 11]]
    assert len(dogs.to_coco()["annotations"]) == 2


def test_unknown_classes_are_an_error_unless_they_may_be_absent(data: DetectionDataset) -> None:
    with pytest.raises(DataError, match=r"has no class 'dogs'; .* Did you mean 'dog'\?"):
        data.select_classes(["cat", "dogs"], drop_others=True)
    more = data.select_classes(["bird", "dog", "cat"], allow_absent=True)
    assert more.targets(0).labels.tolist() == [2, 1]
    assert more.category_ids == (8, 7, 3)  # 8 is nobody's id yet


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", "dog", "cat"], "two classes are called 'cat'"),
        (["cat", ""], "a class has an empty name"),
        ([], "there is no class at all"),
    ],
)
def test_bad_class_names(data: DetectionDataset, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"the class names asked for: {message}"):
        data.select_classes(names)


def test_subsets(data: DetectionDataset) -> None:
    some = data.take([2, 0])
    assert [some.image_id(i) for i in range(2)] == [3, 1]
    assert [some.info(i).original_size for i in range(2)] == [(50, 50), (40, 60)]
    assert [Path(some.path(i)).name for i in range(2)] == ["3.png", "1.png"]
    assert [some.targets(i).labels.tolist() for i in range(2)] == [[1], [0, 1]]
    assert [a["id"] for a in some.to_coco()["annotations"]] == [3, 1, 2]


def test_aspect_ratios(data: DetectionDataset) -> None:
    assert data.aspect_ratios.tolist() == [1.5, 0.75, 1.0]


def test_missing_images_are_found_before_the_first_step(
    data: DetectionDataset, tmp_path: Path
) -> None:
    data.check_files()
    (tmp_path / "train" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 of its 3 images are not in the folder .*'2\.png'"):
        data.check_files()
    with pytest.raises(DataError, match=r"2\.png: no such image file"):
        data.sample(1)


def test_images_of_another_size_than_declared(data: DetectionDataset, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "train" / "1.png"), noise(44, 60))
    message = r"1\.png: the image is 60 x 44 pixels .* declares 60 x 40, so its boxes"
    with pytest.raises(DataError, match=message):
        data.check_files()
    with pytest.raises(DataError, match=message):
        data.sample(0)


def test_annotations_of_the_unrotated_image(data: DetectionDataset, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(40, 60)).save(tmp_path / "train" / "1.png", exif=exif)
    with pytest.raises(DataError, match=r"1\.png: the image is 40 x 60 .* rotated by its EXIF tag"):
        data.check_files()
    Image.fromarray(noise(60, 40)).save(tmp_path / "train" / "1.png")  # no tag: sides swapped
    with pytest.raises(DataError, match=r"1\.png: the image is 40 x 60 .*misplaced. Correct"):
        data.check_files()
