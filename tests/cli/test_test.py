from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from detzoo.data.locate import open_dataset
from detzoo.evaluate import CocoEvaluator, read_ground_truth, read_results
from detzoo.inference.draw import draw_targets
from detzoo.quickstart.scenes import CLASSES
from tests.cli.conftest import FIT, Run, assert_refused, write_checkpoint
from tests.data.files import annotation, write_coco
from tests.tiny import tiny_mask_rcnn, tiny_retinanet

FAST = ("--workers", 0, "--device", "cpu")


def test_files_hold_what_is_printed(detzoo: Run, mask_rcnn: Path, scenes: Path) -> None:
    outcome = detzoo(
        "test", mask_rcnn, "--data", scenes, *FAST, "--per-class", "--batch-size", 3,
        "--json", "metrics.json", "--save-detections", "found.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert "4 images" in outcome.out
    assert "" not in outcome.out.splitlines()  # which a progress bar would leave
    assert "bbox, per class" in outcome.out
    assert "segm, per class" in outcome.out
    metrics = json.loads(Path("metrics.json").read_text())["metrics"]
    assert f"{metrics['bbox/AR100']:.3f}" in outcome.out
    assert metrics["bbox/AR100"] > 0  # untrained, but some of 100 boxes fit
    # Scored from the file, the detections give the same numbers.
    ground_truth = read_ground_truth(scenes / "annotations" / "val.json")
    results = read_results("found.json", ground_truth)
    again = CocoEvaluator(ground_truth, CLASSES, kinds=("bbox", "segm")).score(results)
    for name, value in again.values.items():
        # Boxes are rounded in the file.
        expected = None if value != value else pytest.approx(value, abs=0.02)
        assert metrics[name] == expected, name


def test_the_numbers_are_in_the_right_classes(
    detzoo: Run, scenes: Path, tmp_path: Path, mask_rcnn: Path
) -> None:
    """Classes meet by name: the same weights under reversed names score the reversed classes."""
    names = tuple(reversed(CLASSES))
    reversed_file = write_checkpoint(tmp_path / "reversed.pt", tiny_mask_rcnn(names, FIT))
    found = []
    for index, file in enumerate((mask_rcnn, reversed_file)):
        out = tmp_path / f"{index}.json"
        assert detzoo("test", file, "--data", scenes, *FAST, "--save-detections", out).code == 0
        found.append([d["category_id"] for d in json.loads(out.read_text())])
    assert found[0]
    assert found[1] == [5 - category for category in found[0]]


def test_voc_metrics(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    outcome = detzoo("test", retinanet, "--data", scenes, *FAST, "--metric", "voc")
    assert outcome.code == 0, outcome
    assert "voc" in outcome.out


def test_another_split_and_explicit_files(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    outcome = detzoo("test", retinanet, "--data", scenes, "--split", "train", *FAST)
    assert outcome.code == 0
    assert "8 images" in outcome.out
    file = scenes / "annotations" / "val.json"
    outcome = detzoo("test", retinanet, "--data", file, "--images", scenes / "val", *FAST)
    assert outcome.code == 0, outcome
    assert "4 images" in outcome.out


def test_classes_that_the_checkpoint_lacks(detzoo: Run, scenes: Path, tmp_path: Path) -> None:
    known = ("circle", "square", "bus")
    file = write_checkpoint(tmp_path / "known.pt", tiny_retinanet(known, FIT))
    outcome = detzoo("test", file, "--data", scenes, *FAST)
    assert outcome.code == 0, outcome
    assert "1 object of other classes left out ('triangle', 'star')" in outcome.out


def test_no_class_in_common(detzoo: Run, scenes: Path, tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "other.pt", tiny_retinanet(("cat",), FIT))
    outcome = detzoo("test", file, "--data", scenes, *FAST)
    assert_refused(outcome, "none of the classes", "'cat'", "'circle'")


def test_truncated_checkpoint(detzoo: Run, retinanet: Path, scenes: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(retinanet.read_bytes()[:5000])
    outcome = detzoo("test", damaged, "--data", scenes, *FAST, "--json", "metrics.json")
    assert_refused(outcome, "damaged.pt", "damaged")
    assert not Path("metrics.json").exists()


def test_weights_of_another_model(detzoo: Run, scenes: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other.pt", tiny_mask_rcnn(CLASSES, FIT))
    name = "retinanet_r18_fpn_1x_coco"
    outcome = detzoo("test", name, "--data", scenes, "--weights", other, *FAST)
    assert_refused(outcome, "other.pt", "another model")


def test_bad_options(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    base = ("test", retinanet, "--data")
    assert_refused(detzoo(*base, scenes, "--metric", "f1"), "f1", "coco, lvis, openimages, voc")
    assert_refused(detzoo(*base, scenes, "--split", "dev"), "'dev'", "train, val")
    assert_refused(detzoo(*base, scenes, "--device", "cuda:63"), "cuda:63")
    assert_refused(detzoo(*base, "nowhere"), "nowhere")
    assert_refused(detzoo("test", "retinanet", "--data", scenes), "retinanet")
    assert_refused(
        detzoo(*base, scenes, *FAST, "--json", "no/such/folder/m.json"), "no/such/folder/m.json"
    )


def test_pictures_have_objects_on_the_left_and_detections_on_the_right(
    detzoo: Run, retinanet: Path, scenes: Path
) -> None:
    outcome = detzoo("test", retinanet, "--data", scenes, *FAST, "--draw", "drawn")
    assert outcome.code == 0, outcome
    assert "pictures in drawn" in outcome.out
    data = open_dataset(scenes, "val")
    assert {path.name for path in Path("drawn").iterdir()} == {
        f"{Path(data.path(i)).stem}.jpg" for i in range(4)
    }
    for i in range(4):
        sample = data.sample(i)
        picture = cv2.imread(str(Path("drawn", f"{Path(data.path(i)).stem}.jpg")))
        own = draw_targets(sample.image, sample.targets, data.class_names)
        assert np.abs(own.astype(int) - sample.image).max() > 100
        # Untrained, it finds nothing.
        expected = np.concatenate([own, sample.image], 1).astype(int)
        assert np.abs(picture - expected).mean() < 10  # JPEG


def test_the_worst_images(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    """Where nothing is found, those with the most objects."""
    options = ("--data", scenes, "--split", "train", *FAST)
    outcome = detzoo("test", retinanet, *options, "--draw", "drawn", "--worst", 3)
    assert outcome.code == 0, outcome
    assert "pictures of the images with the most errors at a score of 0.500 in drawn" in outcome.out
    data = open_dataset(scenes, "train")
    counts = {Path(data.path(i)).stem: len(data.sample(i).targets) for i in range(8)}
    files = sorted(path.stem for path in Path("drawn").iterdir())
    assert [name[:5] for name in files] == ["0001-", "0002-", "0003-"]
    assert [counts[name[5:]] for name in files] == sorted(counts.values(), reverse=True)[:3]
    assert_refused(detzoo("test", retinanet, *options, "--worst", 3), "--worst 3: needs --draw DIR")
    Path("file").touch()
    assert_refused(detzoo("test", retinanet, *options, "--draw", "file"), "--draw file: is a file")


def test_the_folder_of_a_run(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    """Stands for its best.pt, or else its last.pt, wherever a checkpoint is expected."""
    Path("run").mkdir()
    Path("none").mkdir()
    shutil.copy(retinanet, "run/last.pt")
    for source in ("run", "./run"):
        outcome = detzoo("test", source, "--data", scenes, *FAST)
        assert outcome.code == 0, outcome
    Path("run/best.pt").write_bytes(b"no checkpoint")
    assert_refused(detzoo("test", "run", "--data", scenes), "run/best.pt", "damaged")
    assert_refused(detzoo("checkpoint", "run"), "run/best.pt", "damaged")
    assert_refused(detzoo("test", "./none", "--data", scenes), "neither best.pt nor last.pt")
    assert_refused(detzoo("checkpoint", "none"), "none: has neither best.pt nor last.pt")


def test_precision(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    outcome = detzoo("test", retinanet, "--data", scenes, *FAST, "--precision", "bf16")
    assert outcome.code == 0, outcome
    outcome = detzoo("test", retinanet, "--data", scenes, *FAST, "--precision", "half")
    assert_refused(outcome, "--precision half: is not one of fp32, bf16, fp16")


def test_the_batch_size_does_not_change_the_numbers(detzoo: Run, tmp_path: Path) -> None:
    """Images of several shapes: none is padded for the sake of another."""
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (48, 96), (96, 48), (64, 64), (48, 96), (64, 80)]
    boxes = [(8.0, 8.0, 30.0, 30.0), (4.0, 4.0, 40.0, 40.0)]
    objects = [
        annotation(2 * i + k, i, boxes[k], category_id=3 + 4 * int(rng.integers(2)))
        for i in range(1, 7)
        for k in range(2)
    ]
    write_coco(tmp_path / "data", sizes, objects, split="val")
    model = write_checkpoint(tmp_path / "x.pt", tiny_mask_rcnn(("cat", "dog"), FIT))
    found = []
    for size in (1, 4):
        file = f"{size}.json"
        outcome = detzoo(
            "test", model, "--data", tmp_path / "data", "--batch-size", size, "--workers", 0,
            "--save-detections", file, "--device", "cpu",
        )  # fmt: skip
        assert outcome.code == 0, outcome
        rows = json.loads(Path(file).read_text())
        found.append(sorted((row["image_id"], -row["score"], *row["bbox"]) for row in rows))
    assert len(found[0]) == len(found[1]) > 20
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-3)
