from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detzoo.data.formats.cityscapes import CITYSCAPES_CLASSES, CLASS_IDS, read_cityscapes
from detzoo.errors import DataError
from detzoo.evaluate import CityscapesEvaluator, GroundTruth, ImageResult
from detzoo.structures import BitmapMasks, Detections
from tests.shared import shared

Found = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # masks, labels, scores by image


def write_maps(root: Path, seed: int, images: int = 4) -> None:
    """Maps of 90 x 120 pixels with instances, tiny ones, groups and void."""
    rng = np.random.default_rng(seed)
    folder = root / "gtFine" / "val" / "town"
    folder.mkdir(parents=True)
    for image in range(images):
        ids = np.full((90, 120), 7, np.uint16)  # road
        for number in range(12):
            class_id = rng.choice([24, 24, 26, 26, 33, 31, 4, 29])
            side = rng.integers(5, 45)
            y, x = rng.integers(0, 90 - side // 2), rng.integers(0, 120 - side // 2)
            single = class_id in CLASS_IDS.values() and rng.random() < 0.8
            ids[y : y + side, x : x + side] = class_id * 1000 + number if single else class_id
        cv2.imwrite(str(folder / f"town_{image:06}_gtFine_instanceIds.png"), ids)


def detections(root: Path, split: str, seed: int, images: int | None = None) -> Found:
    """Instances moved by some pixels, some twice, some of another class, some anywhere."""
    rng = np.random.default_rng(seed)
    dataset = read_cityscapes(root, split)
    found: Found = {}
    for i in range(len(dataset) if images is None else images):
        height, width = dataset.sizes[i].tolist()
        masks, labels, scores = [], [], []
        targets = dataset.targets(i, "bitmap")
        assert targets.masks is not None
        stored = targets.masks.to_bitmaps().bitmaps.numpy()
        for mask, label in zip(stored, targets.labels.tolist()):
            for _ in range(rng.integers(0, 3)):
                shift = tuple(rng.integers(-4, 5, 2))
                masks.append(np.roll(mask, shift, (0, 1)))
                labels.append(label if rng.random() < 0.85 else int(rng.integers(8)))
                scores.append(round(float(rng.random()), 1))
        for box in dataset.targets(i).ignored_boxes.int().tolist():
            mask = np.zeros((height, width), np.uint8)
            mask[box[1] : box[3], box[0] : box[2]] = 1
            masks.append(mask)
            labels.append(int(rng.integers(8)))
            scores.append(0.95)
        for _ in range(4):
            mask = np.zeros((height, width), np.uint8)
            y, x = rng.integers(0, height - 20), rng.integers(0, width - 20)
            mask[y : y + 20, x : x + 20] = 1
            masks.append(mask)
            labels.append(int(rng.integers(8)))
            scores.append(0.5)
        masks.append(np.zeros((height, width), np.uint8))
        labels.append(2)
        scores.append(0.99)
        name = str(dataset.image_id(i))
        found[name] = np.array(masks), np.array(labels), np.array(scores)
    return found


def ours(root: Path, split: str, found: Found) -> dict[str, float]:
    dataset = read_cityscapes(root, split)
    keep = [i for i in range(len(dataset)) if dataset.image_id(i) in found]
    truth = GroundTruth.of(dataset.take(keep))
    results = []
    for name, (masks, labels, scores) in found.items():
        boxes = torch.zeros(len(masks), 4)
        image = Detections(
            boxes, torch.tensor(scores), torch.tensor(labels), BitmapMasks(torch.tensor(masks))
        )
        results.append(ImageResult.of(name, image))
    # An image without detections at all.
    metrics = CityscapesEvaluator(truth, CITYSCAPES_CLASSES).score(results)
    assert metrics.main_name == "cityscapes/AP"
    classes = {name: metrics.per_class["cityscapes/AP"][name] for name in CITYSCAPES_CLASSES}
    return {**metrics.values, **classes}


def official(
    root: Path, split: str, found: Found, work: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, float]:
    """What the scripts of the data set compute from files."""
    tool: Any = pytest.importorskip(
        "cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling"
    )
    # They are not made for numpy 2: a function is gone, and its integers cannot be written as JSON.
    monkeypatch.setattr(tool.np, "in1d", np.isin, raising=False)
    monkeypatch.setattr(tool, "writeDict2JSON", lambda *_: None)
    maps, lists = [], []
    for name, (masks, labels, scores) in found.items():
        city = name.split("_")[0]
        maps.append(str(root / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png"))
        lines = []
        for k, (mask, label, score) in enumerate(zip(masks, labels, scores)):
            cv2.imwrite(str(work / f"{name}_{k}.png"), mask)
            class_id = CLASS_IDS[CITYSCAPES_CLASSES[label]]
            lines.append(f"{name}_{k}.png {class_id} {score}\n")
        (work / f"{name}.txt").write_text("".join(lines))
        lists.append(str(work / f"{name}.txt"))
    args = tool.args
    args.predictionPath = os.path.abspath(work)
    args.gtInstancesFile = str(work / "instances.json")
    args.quiet, args.JSONOutput = True, False
    averages = tool.evaluateImgLists(lists, maps, args)["averages"]
    classes = {name: averages["classes"][name]["ap"] for name in CITYSCAPES_CLASSES}
    return {
        "cityscapes/AP": averages["allAp"],
        "cityscapes/AP50": averages["allAp50%"],
        **classes,
    }


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("seed", range(4))
def test_as_the_scripts(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_maps(tmp_path, seed)
    found = detections(tmp_path, "val", seed)
    expected = official(tmp_path, "val", found, tmp_path, monkeypatch)
    assert 0.02 < expected["cityscapes/AP"] < 0.9
    assert ours(tmp_path, "val", found) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.slow
def test_as_the_scripts_on_real_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = shared("data", "cityscapes_mini")
    found = detections(root, "val", 0)
    expected = official(root, "val", found, tmp_path, monkeypatch)
    assert 0.02 < expected["cityscapes/AP"] < 0.9
    assert ours(root, "val", found) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def one_map(root: Path, ids: np.ndarray) -> None:
    folder = root / "gtFine" / "val" / "town"
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "town_0_gtFine_instanceIds.png"), ids.astype(np.uint16))


def car(*boxes: tuple[int, int, int, int]) -> Found:
    """Cars with falling scores whose masks fill boxes in an image of 60 x 60."""
    masks = np.zeros((len(boxes), 60, 60), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = 1
    scores = 1 - 0.1 * np.arange(len(boxes))
    return {"town_0": (masks, np.full(len(boxes), CITYSCAPES_CLASSES.index("car")), scores)}


def test_groups_and_void_excuse(tmp_path: Path) -> None:
    ids = np.full((60, 60), 7)
    ids[:20, :20] = 26001
    ids[30:50, :20] = 26  # a group of cars
    ids[30:50, 30:50] = 4  # static, not judged
    one_map(tmp_path, ids)
    assert ours(tmp_path, "val", car((0, 0, 20, 20)))["car"] == 1
    excused = car((0, 30, 20, 50), (30, 30, 50, 50), (0, 0, 20, 20))
    assert ours(tmp_path, "val", excused)["car"] == 1
    on_the_road = car((30, 0, 50, 20), (0, 0, 20, 20))
    # The wrong one comes first: precision one half at full recall, which stands for half the way.
    assert ours(tmp_path, "val", on_the_road)["car"] == pytest.approx(0.5 * 0.5)
    twice = car((0, 0, 20, 20), (0, 0, 20, 19))
    assert ours(tmp_path, "val", twice)["cityscapes/AP50"] == pytest.approx(1 * 0.5 + 1 * 0.5)


def test_tiny_objects_are_not_asked_for(tmp_path: Path) -> None:
    ids = np.full((60, 60), 7)
    ids[:20, :20] = 26001
    ids[30:39, 30:39] = 26002
    one_map(tmp_path, ids)
    assert ours(tmp_path, "val", car((0, 0, 20, 20)))["car"] == 1
    assert ours(tmp_path, "val", car((30, 30, 39, 39), (0, 0, 20, 20)))["car"] == 1


def test_nothing_found_and_nothing_there(tmp_path: Path) -> None:
    ids = np.full((60, 60), 7)
    ids[:20, :20] = 26001
    one_map(tmp_path, ids)
    truth = GroundTruth.of(read_cityscapes(tmp_path, "val"))
    metrics = CityscapesEvaluator(truth, CITYSCAPES_CLASSES).score([])
    assert metrics["cityscapes/AP"] == 0
    assert np.isnan(metrics.per_class["cityscapes/AP"]["bus"])


def test_what_it_needs(tmp_path: Path) -> None:
    ids = np.full((60, 60), 26001)
    one_map(tmp_path, ids)
    truth = GroundTruth.of(read_cityscapes(tmp_path, "val"))
    boxes = ImageResult("town_0", np.zeros((1, 4)), np.ones(1), np.zeros(1, np.int64))
    with pytest.raises(DataError, match="no masks"):
        CityscapesEvaluator(truth, CITYSCAPES_CLASSES).score([boxes])
    (tmp_path / "gtFine" / "val" / "town" / "town_0_gtFine_instanceIds.png").unlink()
    with pytest.raises(DataError, match=r"town_0_gtFine_instanceIds\.png: no such file"):
        CityscapesEvaluator(truth, CITYSCAPES_CLASSES)
