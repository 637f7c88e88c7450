"""``detzoo evaluate``."""

import json

import pytest
import typer
from typer.testing import CliRunner

from detzoo.cli.evaluate import evaluate
from detzoo.errors import ConfigError, DataError, UserError
from tests.data.formats import test_open_images
from tests.data.formats.files import write
from tests.evaluate import synthetic
from tests.evaluate.test_coco import GOLDEN
from tests.shared import shared

app = typer.Typer()
app.command()(evaluate)


def _run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def _rows(output):
    """Cells of the tables, by the first one."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.fixture
def files(tmp_path):
    data = synthetic.coco_data(0)
    annotations, boxes, masks = (tmp_path / f"{n}.json" for n in ("annotations", "boxes", "masks"))
    annotations.write_text(json.dumps(data))
    boxes.write_text(json.dumps(synthetic.coco_results(data, 0, with_masks=False)))
    masks.write_text(json.dumps(synthetic.coco_results(data, 0, with_masks=True)))
    return annotations, boxes, masks


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_prints_the_published_values(kind):
    folder = shared("data", "coco_eval_golden")
    output = _run(
        folder / f"cocoapi_results/results/instances_val2014_fake{kind}100_results.json",
        folder / "tests/dataset/cocoapi/instances_val2014_100.json",
        "--type",
        kind,
    )
    values = [cell for (cell,) in _rows(output).values()]
    assert values == [f"{value:.3f}" for value in GOLDEN[kind]]


def test_type_is_what_the_detections_have(files):
    annotations, boxes, masks = files
    assert len(_rows(_run(boxes, annotations))["AP"]) == 1
    assert len(_rows(_run(masks, annotations))["AP"]) == 2
    assert len(_rows(_run(masks, annotations, "--type", "segm"))["AP"]) == 1
    with pytest.raises(DataError, match="no segmentation"):
        _run(boxes, annotations, "--type", "segm")


def test_per_class_and_json(files, tmp_path):
    annotations, boxes, _ = files
    target = tmp_path / "metrics.json"
    rows = _rows(_run(boxes, annotations, "--per-class", "--json", target))
    data = json.loads(target.read_text())
    assert rows["AP"] == [f"{data['metrics']['bbox/AP']:.3f}"]
    assert rows["class 7"][0] == f"{data['per_class']['bbox/AP']['class 7']:.3f}"
    # A class without objects has no precision; -1 would look like a number.
    assert set(rows["class 90"]) == {"-"}
    assert data["per_class"]["bbox/AP"]["class 90"] is None


def test_custom_numbers_and_areas(files):
    annotations, boxes, _ = files
    rows = _rows(
        _run(boxes, annotations, "--max-detections", "2,5", "--areas", "tiny:0:99,rest:99:1e9")
    )
    assert " ".join(rows) == "AP AP50 AP75 APtiny APrest AR2 AR5 ARtiny ARrest"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--type", "keypoints"),
        ("--max-detections", "1,many"),
        ("--max-detections", "0"),
        ("--max-detections", "5,5"),
        ("--areas", "tiny"),
        ("--areas", "tiny:9:3"),
        ("--areas", "50:0:9"),
        ("--areas", "tiny:0:9,tiny:9:20"),
    ],
)
def test_wrong_options(files, option, value):
    with pytest.raises(ConfigError, match=f"{option} {value}"):
        _run(files[1], files[0], option, value)


def test_swapped_files(files):
    with pytest.raises(DataError, match="Give the detections first"):
        _run(files[0], files[1])


def test_missing_file(files, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        _run(tmp_path / "missing.json", files[0])


def test_some_of_the_classes(files, tmp_path):
    annotations, boxes, _ = files
    out = tmp_path / "metrics.json"
    _run(boxes, annotations, "--json", out)
    every = json.loads(out.read_text())["per_class"]["bbox/AP"]
    first, second = [name for name, value in every.items() if value is not None][:2]
    _run(boxes, annotations, "--json", out, "--classes", f"{second}, {first}")
    some = json.loads(out.read_text())
    assert some["per_class"]["bbox/AP"] == {name: every[name] for name in (first, second)}
    assert some["metrics"]["bbox/AP"] == pytest.approx((every[first] + every[second]) / 2)
    with pytest.raises(ConfigError, match="has no class 'fish'"):
        _run(boxes, annotations, "--classes", f"{first},fish")


def test_data_of_open_images(tmp_path):
    """A folder in its format, with detections under the numbers of classes and names of images."""
    files = {
        "validation-annotations-bbox.csv": test_open_images.BOXES,
        "class-descriptions-boxable.csv": test_open_images.CLASSES,
        "validation-annotations-human-imagelabels-boxable.csv": test_open_images.LABELS,
        "bbox_labels_600_hierarchy.json": json.dumps(test_open_images.HIERARCHY),
        "validation/000026e7ee790996.jpg": "",
        "validation/000026e7ee790999.jpg": "",
    }
    data = write(tmp_path / "data", files)
    # Images have 100 x 50 pixels. A tree; a tortoise, which is a bird, in the group of birds, where
    # none was seen; the bird of the other image, and a tree there, which nobody looked for.
    found = [
        ("000026e7ee790996", 3, [10, 10, 30, 20], 0.9),
        ("000026e7ee790996", 1, [52, 22, 10, 10], 0.8),
        ("000026e7ee790999", 2, [50, 20, 40, 20], 0.7),
        ("000026e7ee790999", 3, [10, 10, 30, 20], 0.95),
    ]
    entries = [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image, category, box, score in found
    ]
    detections = tmp_path / "found.json"
    detections.write_text(json.dumps(entries))
    out = tmp_path / "metrics.json"
    _run(detections, data, "--json", out)
    assert json.loads(out.read_text()) == {
        "main": "openimages/AP50",
        "metrics": {"openimages/AP50": 1},
        "per_class": {"openimages/AP50": {"Tortoise": None, "Bird": 1, "Tree": 1}},
    }
    file = data / "validation-annotations-bbox.csv"
    assert "AP75" in _run(detections, file, "--metric", "coco")
    assert "AP50" in _run(detections, data, "--metric", "voc")
    with pytest.raises(ConfigError, match="--areas: is of COCO's metric, and this is openimages"):
        _run(detections, data, "--areas", "all:0:1e10")
    with pytest.raises(ConfigError, match="--metric f1: is not one of coco, lvis"):
        _run(detections, data, "--metric", "f1")
