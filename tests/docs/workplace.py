"""A folder with what the documentation's examples speak of, each of them small."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.learning.narrow import narrow_experiment
from detzoo import zoo
from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.config import to_dict
from detzoo.experiment import Experiment
from detzoo.quickstart.scenes import write_scenes
from detzoo.zoo.entry import Entry
from tests.cli.conftest import FIT
from tests.panoptic import write_panoptic_data
from tests.tiny import tiny_retinanet

CLASSES = ("person", "dog", "car", "cat")
SIZE = 64
Detzoo = Callable[..., object]


def prepare(folder: Path, detzoo: Detzoo) -> None:
    """Fills ``folder``, where ``detzoo`` runs the command line."""
    _write_data(folder / "my_data")
    shutil.copytree(folder / "my_data", folder / "coco")
    annotations = folder / "my_data" / "annotations"
    shutil.copy(annotations / "val.json", folder / "annotations.json")
    for name in ("instances_val2017.json", "labels.json", "a.json", "b.json", "val.json"):
        shutil.copy(annotations / "val.json", folder / name)
    shutil.copy(annotations / "train.json", folder / "train.json")
    content = json.loads((annotations / "test.json").read_text())
    del content["annotations"]
    (folder / "image_list.json").write_text(json.dumps(content))
    panoptic = write_panoptic_data(folder) / "annotations" / "panoptic_val2017"
    shutil.copy(panoptic.with_suffix(".json"), folder / "panoptic.json")
    shutil.copytree(panoptic, folder / "panoptic")
    photos = sorted((folder / "my_data" / "val").glob("*.png"))
    shutil.copytree(folder / "my_data" / "val", folder / "photos")
    for name in ("a", "b"):
        shutil.copytree(folder / "photos", folder / name)
    for name in ("summer", "winter", "night", "fog"):
        shutil.copytree(folder / "my_data", folder / name)
    for name in ("folder", "more/deep"):
        (folder / name).mkdir(parents=True)
        shutil.copy(photos[0], folder / name / "one.png")
    picture = cv2.imread(str(photos[0]))
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        cv2.imwrite(str(folder / name), picture)
    cv2.imwrite(str(folder / "aerial.tif"), cv2.resize(picture, (160, 160)))
    _write_film(folder / "film.mp4", picture)
    recipe = tiny_retinanet(CLASSES, FIT)
    (folder / "tiny.json").write_text(json.dumps(to_dict(recipe)))
    detzoo(
        "train", "tiny.json", "--data", "my_data", "--epochs", 1, "--out", "runs/x-1", "--report"
    )
    detzoo("test", "runs/x-1/best.pt", "--data", "my_data", "--save-detections", "detections.json")
    shutil.copytree(folder / "runs" / "x-1", folder / "runs" / "y-1")
    shutil.copy(folder / "runs" / "x-1" / "best.pt", folder / "epoch_12.pth")
    shutil.copy(write_weights(small("retinanet_r50_fpn_1x_coco"), folder), folder / "teacher.pt")
    for layout in ("yolo", "voc"):
        # 1: masks are left out
        detzoo("data", "convert", "my_data", f"my_{layout}", "--to", layout, most=1)


def _write_data(folder: Path) -> None:
    for seed, (split, count) in enumerate((("train", 8), ("val", 4), ("test", 4))):
        path = write_scenes(folder, split, count, size=SIZE, seed=seed)
        content = json.loads(path.read_text())
        for category, name in zip(content["categories"], CLASSES):
            category["name"] = name
        path.write_text(json.dumps(content))


def _write_film(path: Path, picture: np.ndarray) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (SIZE, SIZE))
    for _ in range(3):
        writer.write(picture)
    writer.release()


@functools.cache
def small(name: str) -> Entry:
    """The zoo's entry, narrowed, for these classes and images."""
    entry = FIND(name)
    experiment = narrow_experiment(entry.experiment, augment=False, size=SIZE).stretched_to(1)
    own = dataclasses.replace(experiment, class_names=CLASSES)
    return dataclasses.replace(entry, experiment=own)


FIND = zoo.find


def write_weights(entry: Entry, folder: Path) -> Path:
    """What stands for the published file: the narrowed detector as it is initialized."""
    path = folder / f"{entry.name}.pt"
    torch.manual_seed(0)
    experiment: Experiment = entry.experiment
    save(path, Checkpoint(experiment, experiment.build_model().state_dict()))
    return path
