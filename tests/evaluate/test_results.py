import json

import numpy as np
import pytest
import torch
from pycocotools import mask as official_rle

from detzoo.errors import DataError
from detzoo.evaluate import GroundTruth, ImageResult, read_ground_truth, read_results, write_results
from detzoo.structures import BitmapMasks, Detections

DATA = {
    "images": [{"id": 4, "height": 20, "width": 30}, {"id": 9, "height": 20, "width": 30}],
    "annotations": [],
    "categories": [{"id": 5, "name": "cat"}, {"id": 2, "name": "dog"}],
}
ENTRY = {"image_id": 4, "category_id": 5, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.fixture
def truth():
    return GroundTruth.from_coco(DATA, "annotations.json")


def _bitmaps(count):
    bitmaps = torch.zeros((count, 20, 30), dtype=torch.uint8)
    for i in range(count):
        bitmaps[i, 3 : 9 + i, 4:11] = 1
    return BitmapMasks(bitmaps)


# The official tool's decode on NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_round_trip(tmp_path, truth):
    boxes = torch.tensor([[4.1, 3.2, 11.3, 9.4], [4, 3, 11, 10]])
    found = Detections(boxes, torch.tensor([0.7, 0.1]), torch.tensor([1, 0]), _bitmaps(2))
    results = [ImageResult.of(4, found), ImageResult.of(9, Detections.empty())]
    path = tmp_path / "found.json"
    # The detector's classes are in another order than the categories.
    write_results(path, results, truth.category_ids_of(("dog", "cat")))
    (read,) = read_results(path, truth)
    assert [entry["category_id"] for entry in json.loads(path.read_text())] == [5, 2]
    np.testing.assert_array_equal(read.boxes, results[0].boxes)
    np.testing.assert_allclose(read.boxes[0], [4.1, 3.2, 7.2, 6.2], atol=1e-6)
    np.testing.assert_array_equal(read.scores, results[0].scores)
    assert read.labels.tolist() == [0, 1]
    assert read.masks == results[0].masks
    np.testing.assert_array_equal(
        official_rle.decode(read.masks.to_coco()).transpose(2, 0, 1), _bitmaps(2).bitmaps.numpy()
    )
    assert read.masks.areas().tolist() == [42, 49]


def test_scores_of_masks(tmp_path, truth):
    boxes = torch.tensor([[4.0, 3, 11, 9], [4, 3, 11, 10]])
    found = Detections(
        boxes, torch.tensor([0.75, 0.5]), torch.tensor([1, 0]), _bitmaps(2), torch.tensor([0.25, 1])
    )
    result = ImageResult.of(4, found)
    assert result.scores_of_masks.tolist() == [0.25, 1]
    assert result[np.array([1])].scores_of_masks.tolist() == [1]
    path = tmp_path / "found.json"
    write_results(path, [result], truth.category_ids_of(("dog", "cat")))
    (read,) = read_results(path, truth)
    assert read.scores.tolist() == [0.75, 0.5]
    assert read.scores_of_masks.tolist() == [0.25, 1]
    bare = Detections(boxes, torch.tensor([0.75, 0.5]), torch.tensor([1, 0]), _bitmaps(2))
    assert ImageResult.of(4, bare).scores_of_masks.tolist() == [0.75, 0.5]
    entries = json.loads(path.read_text())
    entries[1]["mask_score"] = "high"
    path.write_text(json.dumps(entries))
    with pytest.raises(DataError, match="entry 1: its mask_score 'high'"):
        read_results(path, truth)
    del entries[1]["mask_score"]
    path.write_text(json.dumps(entries))
    (read,) = read_results(path, truth)
    assert read.scores_of_masks.tolist() == [0.25, 0.5]


def test_classes_that_the_data_lacks_are_left_out(tmp_path, truth):
    found = Detections(torch.rand(2, 4), torch.rand(2), torch.tensor([0, 1]))
    path = tmp_path / "found.json"
    write_results(path, [ImageResult.of(4, found)], truth.category_ids_of(("bird", "dog")))
    assert [entry["category_id"] for entry in json.loads(path.read_text())] == [2]


def test_masks_in_all_forms(tmp_path, truth):
    bitmap = _bitmaps(1).bitmaps[0].numpy()
    compressed = official_rle.encode(np.asfortranarray(bitmap))
    changes = np.flatnonzero(np.diff(bitmap.T.reshape(-1))) + 1
    plain = np.diff([0, *changes, bitmap.size]).tolist()
    forms = [
        {"size": [20, 30], "counts": compressed["counts"].decode()},
        {"size": [20, 30], "counts": plain},
        [[4, 3, 11, 3, 11, 9, 4, 9]],
    ]
    path = tmp_path / "found.json"
    entries = [{**ENTRY, "segmentation": form} for form in forms]
    del entries[0]["bbox"]  # then the box around the mask is meant
    path.write_text(json.dumps(entries))
    (read,) = read_results(path, truth)
    assert len(set(read.masks.counts)) == 1
    assert read.masks.areas().tolist() == [42] * 3
    assert read.boxes.tolist() == [[4, 3, 7, 6], [1, 2, 3, 4], [1, 2, 3, 4]]


SAME_NAMES = {
    "images": [
        {"id": 4, "file_name": "a/1.jpg", "height": 20, "width": 30},
        {"id": 9, "file_name": "b/1.jpg", "height": 20, "width": 30},
    ],
    "annotations": [],
    "categories": DATA["categories"],
}


def predicted(file_name, category="dog"):
    """A data set as ``detzoo predict --save coco`` writes it."""
    return {
        "images": [{"id": 1, "file_name": file_name, "height": 20, "width": 30}],
        "annotations": [{**ENTRY, "id": 1, "image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": category}],
    }


def test_a_data_set_with_scores(tmp_path):
    """Images and classes are those of the same names."""
    truth = GroundTruth.from_coco(SAME_NAMES, "annotations.json")
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(predicted("photos/b/1.jpg")))
    (read,) = read_results(path, truth)
    assert read.image_id == 9
    assert read.boxes.tolist() == [[1, 2, 3, 4]]
    assert truth.class_names[read.labels[0]] == "dog"
    for wrong, message in (
        (predicted("photos/c/1.jpg"), "annotation 0: is for the image 'photos/c/1.jpg'"),
        (predicted("1.jpg"), "is not the name of one image of annotations.json"),
        (predicted("b/1.jpg", "cow"), "is of class 'cow', which annotations.json does not have"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(DataError, match=message):
            read_results(path, truth)


def test_no_detections(tmp_path, truth):
    path = tmp_path / "found.json"
    path.write_text("[]")
    assert read_results(path, truth) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": 1}, "is not a list"),
        ({**DATA, "annotations": [{"id": 1}]}, "contains annotations instead of detections"),
        ({**DATA, "annotations": [3]}, "annotations is not a list of objects"),
        ({"annotations": []}, "images is not a list of objects"),
        ([[1, 2]], r"entry 0: is \[1, 2\] instead of a JSON object"),
        ([ENTRY, {**ENTRY, "image_id": 77}], "entry 1: is for image 77, which annotations.json"),
        ([{**ENTRY, "image_id": [4]}], r"entry 0: its image_id \[4\] is neither"),
        ([{**ENTRY, "category_id": 1}], r"entry 0: has the category 1.*it has 5, 2"),
        ([{**ENTRY, "score": None}], "entry 0: its score None"),
        ([{**ENTRY, "score": float("nan")}], "entry 0: its score nan"),
        ([{k: v for k, v in ENTRY.items() if k != "score"}], "entry 0: has no 'score'"),
        ([{k: v for k, v in ENTRY.items() if k != "bbox"}], "has neither 'bbox' nor"),
        ([{**ENTRY, "bbox": [1, 2, 3]}], r"entry 0: its bbox \[1, 2, 3\]"),
        ([{**ENTRY, "bbox": [5, 5, -1, 3]}], "entry 0: its bbox .* negative"),
        ([{**ENTRY, "bbox": "1 2 3 4"}], "entry 0: its bbox '1 2 3 4'"),
        ([ENTRY, {**ENTRY, "segmentation": [[1, 1, 5, 1, 5, 5]]}], "entry 0 has no segmentation"),
        (
            [{**ENTRY, "segmentation": {"size": [30, 20], "counts": "0X"}}],
            r"entry 0.*its size is \[30, 20\], but the image is 20 high and 30 wide",
        ),
        (
            [{**ENTRY, "segmentation": {"size": [20, 30], "counts": "abc!"}}],
            "its segmentation cannot be read",
        ),
        (
            [{**ENTRY, "segmentation": {"size": [20, 30], "counts": [3, 4]}}],
            "its counts cover 7 pixels of 600",
        ),
        ([{**ENTRY, "segmentation": {"size": [20, 30], "counts": [-3, 603]}}], "its counts are"),
        ([{**ENTRY, "segmentation": {"size": [20, 30], "counts": [0.5, 599.5]}}], "its counts are"),
        # Compressed: 5 and 3 pixels; nothing; a number without an end; one without bounds.
        ([{**ENTRY, "segmentation": {"size": [20, 30], "counts": "53"}}], "cover 8 pixels of 600"),
        ([{**ENTRY, "segmentation": {"size": [20, 30], "counts": ""}}], "its counts are ''"),
        ([{**ENTRY, "segmentation": {"size": [20, 30], "counts": "5PP"}}], "its counts are '5PP'"),
        ([{**ENTRY, "segmentation": {"size": [20, 30], "counts": "o" * 50 + "0"}}], "counts are"),
        ([{**ENTRY, "segmentation": {"size": [20, 30], "counts": "\u00e9"}}], "its counts are"),
        ([{**ENTRY, "segmentation": {"size": [20, 30]}}], "its segmentation cannot be read"),
        ([{**ENTRY, "segmentation": {"size": 3, "counts": "0"}}], "its size is 3, but the image"),
        ([{**ENTRY, "segmentation": 3}], "its segmentation cannot be read"),
        ([{**ENTRY, "segmentation": [["a", "b"]]}], "its segmentation cannot be read"),
        ([{**ENTRY, "segmentation": [[1, 2, 3]]}], "its segmentation cannot be read"),
        ([{**ENTRY, "segmentation": []}], "its segmentation cannot be read"),
    ],
)
def test_malformed_results(tmp_path, truth, entries, message):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(DataError, match=message) as error:
        read_results(path, truth)
    assert str(path) in str(error.value)


def test_files_that_cannot_be_read(tmp_path, truth):
    with pytest.raises(DataError, match=r"nowhere.json: no such file"):
        read_results(tmp_path / "nowhere.json", truth)
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path, truth)
    cut = tmp_path / "cut.json"
    cut.write_text('[\n{"image_id": 4,')
    with pytest.raises(DataError, match=r"cut.json: is not valid JSON: line 2, column"):
        read_results(cut, truth)
    (tmp_path / "image.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match="not a JSON text file"):
        read_results(tmp_path / "image.json", truth)


def test_file_that_cannot_be_written(tmp_path, truth):
    with pytest.raises(DataError, match="cannot be written"):
        write_results(tmp_path / "no" / "folder.json", [], (5, 2))


def test_failed_write_keeps_what_was_there(tmp_path, truth):
    path = tmp_path / "found.json"
    path.write_text("old")
    bad = ImageResult(4, np.ones((1, 4)), np.ones(1), np.zeros(1, int))
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_results(path, [bad], (b"2", 5))  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_finite_is_null(tmp_path, truth):
    path = tmp_path / "found.json"
    bad = ImageResult(4, np.array([[1, np.nan, np.inf, 2]]), np.ones(1), np.zeros(1, int))
    write_results(path, [bad], (5, 2))
    assert json.loads(path.read_text())[0]["bbox"] == [1, None, None, 2]
    with pytest.raises(DataError, match="its bbox"):
        read_results(path, truth)


ANNOTATION = {"id": 1, "image_id": 4, "category_id": 5, "bbox": [0, 0, 2, 3]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "has no list 'images'"),
        ({"categories": {}}, "has no list 'categories'"),
        ({"images": ["a.jpg"]}, r"images\[0\]: is 'a.jpg' instead"),
        ({"images": [{"file_name": "a.jpg"}]}, r"images\[0\]: has no 'id'"),
        ({"images": [{"id": 4}, {"id": 4}]}, r"images\[1\]: the id 4 occurs twice"),
        ({"images": [{"id": None}]}, r"images\[0\]: its id None"),
        (
            {"categories": [{"id": 1, "name": "cat"}] * 2},
            r"categories\[1\]: the id 1 is that of 'cat' too",
        ),
        ({"categories": [{"id": 1}]}, r"categories\[0\]: has no 'name'"),
        (
            {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]},
            "two classes are called 'cat'",
        ),
        ({"annotations": [{**ANNOTATION, "image_id": 5}]}, "no image has the image_id 5"),
        ({"annotations": [{**ANNOTATION, "category_id": 1}]}, "no category has the category_id 1"),
        ({"annotations": [{**ANNOTATION, "bbox": [1, 2, float("nan"), 3]}]}, "its bbox"),
        ({"annotations": [{**ANNOTATION, "area": "big"}]}, "its area 'big'"),
        ({"annotations": [{"image_id": 4, "category_id": 5}]}, r"annotations\[0\]: has no 'bbox'"),
        ({"images": [{"id": 4, "height": "tall", "width": 3}]}, "width 3 and height 'tall'"),
    ],
)
def test_malformed_ground_truth(tmp_path, change, message):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({**DATA, **change}))
    with pytest.raises(DataError, match=message) as error:
        read_ground_truth(path)
    assert str(path) in str(error.value)


def test_masks_of_an_image_without_size(tmp_path):
    truth = GroundTruth.from_coco({**DATA, "images": [{"id": 4}]})
    path = tmp_path / "found.json"
    path.write_text(json.dumps([{**ENTRY, "segmentation": [[1, 1, 5, 1, 5, 5]]}]))
    with pytest.raises(DataError, match=r"entry 0.*do not give the height and width"):
        read_results(path, truth)
    path.write_text(json.dumps([ENTRY]))
    assert len(read_results(path, truth)) == 1


def test_ground_truth_that_is_something_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([ENTRY]))
    with pytest.raises(DataError, match="seems to contain detections"):
        read_ground_truth(path)
    path.write_text("3")
    with pytest.raises(DataError, match="holds a JSON int instead"):
        read_ground_truth(path)


def test_defaults_of_ground_truth():
    truth = GroundTruth.from_coco({**DATA, "annotations": [ANNOTATION]})
    assert truth.area.tolist() == [6]
    assert not truth.is_crowd.any()
    assert not truth.has_masks
