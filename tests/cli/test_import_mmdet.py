from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from detzoo.checkpoints.catalog import config_classes
from detzoo.checkpoints.checkpoint import read
from detzoo.config import from_dict
from detzoo.mmdet import read_experiment
from tests.cli.conftest import Run, assert_refused
from tests.mmdet.published import published_configs
from tests.train.tiny import make_data

RETINANET = "retinanet/retinanet_r18_fpn_1x_coco.py"


def edited(folder: Path) -> Path:
    """RetinaNet for two classes with a narrow backbone."""
    path = folder / "mine.py"
    splits = ", ".join(
        f"{split}=dict(classes=('cat', 'dog'))" for split in ("train", "val", "test")
    )
    path.write_text(
        f"_base_ = {str(published_configs() / RETINANET)!r}\n"
        "model = dict(backbone=dict(init_cfg=None), bbox_head=dict(num_classes=2))\n"
        f"data = dict({splits})\n"
    )
    return path


def test_a_published_configuration_is_recognised(detzoo: Run) -> None:
    outcome = detzoo("import-mmdet", published_configs() / RETINANET)
    assert outcome.code == 0
    assert "zoo      retinanet_r18_fpn_1x_coco\n" in outcome.out


def test_an_edited_one_is_compared_with_the_nearest(detzoo: Run, tmp_path: Path) -> None:
    path = edited(tmp_path)
    outcome = detzoo("import-mmdet", path, "-o", "mine.json")
    assert outcome.code == 0
    assert "most similar is retinanet_r18_fpn_1x_coco, with 2 different settings" in outcome.out
    assert re.search(r"\n +classes +2: cat, dog\s*\n", outcome.out)
    assert "good for predict, test, train\n" in outcome.out
    written = from_dict(json.loads(Path("mine.json").read_text()), config_classes())
    assert written == read_experiment(path)


def test_what_cannot_be_trained_can_detect(detzoo: Run, tmp_path: Path) -> None:
    path = edited(tmp_path)
    path.write_text(path.read_text() + "optimizer = dict(type='Lion')\nwork_dir = 'x'\n")
    outcome = detzoo("import-mmdet", path, "-o", "mine.json")
    assert outcome.code == 1
    assert re.search(r"\nnot understood +optimizer.type +detzoo has no optimizer", outcome.out)
    assert re.search(r"\nleft aside .*\n( .*\n)* +work_dir +the folder of a run", outcome.out)
    assert "good for predict, test\n" in outcome.out
    assert "mine.json has detzoo's defaults" in outcome.out
    assert detzoo("config", path, "model.neck").code == 0
    refused = detzoo("train", path, "--data", ".")
    assert_refused(refused, "optimizer.type", f"detzoo import-mmdet {path} --out mine.json")
    data = make_data(tmp_path / "data")
    assert data.class_names == ("red", "green")
    outcome = detzoo(
        "train", "mine.json", "--data", tmp_path / "data", "--from-scratch", "--image-size",
        "64x64", "--workers", 0, "--device", "cpu", "--val-fraction", 0, "--dry-run",
    )  # fmt: skip
    assert outcome.code == 0, outcome


def test_with_weights_it_becomes_a_checkpoint(detzoo: Run, tmp_path: Path) -> None:
    path = edited(tmp_path)
    state = read_experiment(path).build_model().state_dict()
    meta = {"mmdet_version": "2.28.2", "CLASSES": ("dog", "cat")}
    torch.save({"meta": meta, "state_dict": state}, "epoch_1.pth")
    outcome = detzoo("import-mmdet", path, "--checkpoint", "epoch_1.pth", "-o", "mine.pt")
    assert outcome.code == 0
    made = read("mine.pt")
    assert made.class_names == ("dog", "cat")  # those that the weights were trained for
    assert made.model.keys() == state.keys()
    assert all(torch.equal(made.model[name], state[name]) for name in state)


def test_weights_of_another_model_are_refused(detzoo: Run, tmp_path: Path) -> None:
    path = edited(tmp_path)
    state = read_experiment(path).build_model().state_dict()
    del state["bbox_head.retina_cls.bias"]
    torch.save({"meta": {"mmdet_version": "2.28.2"}, "state_dict": state}, "other.pth")
    outcome = detzoo("import-mmdet", path, "--checkpoint", "other.pth")
    assert_refused(outcome, "other.pth", "missing bbox_head.retina_cls.bias")
    torch.save(
        {"meta": {"mmdet_version": "2.28.2", "CLASSES": ("a", "b", "c")}, "state_dict": state},
        "three.pth",
    )
    outcome = detzoo("import-mmdet", path, "--checkpoint", "three.pth")
    assert_refused(outcome, "three.pth", "has 3 classes")


def test_what_cannot_be_written(detzoo: Run, tmp_path: Path) -> None:
    path = edited(tmp_path)
    assert_refused(detzoo("import-mmdet", path, "-o", "mine.pt"), "--checkpoint FILE")
    assert_refused(detzoo("import-mmdet", path, "-o", "mine.txt"), ".json")
    assert_refused(detzoo("import-mmdet", "nowhere.py"), "nowhere.py", "no such file")
