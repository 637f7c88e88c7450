"""What a user changes in a published configuration, rightly and wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo import zoo
from detzoo.config import diff
from detzoo.errors import ConfigError
from detzoo.experiment import Experiment
from detzoo.mmdet import experiment_of, read_config, read_experiment
from tests.mmdet.published import published_configs

BASE = "faster_rcnn_r50_fpn_1x_coco"
CLASSES = "classes = ('cat', 'dog')\ndata = dict(" + ", ".join(
    f"{split}=dict(classes=classes)" for split in ("train", "val", "test")
)


def edited(folder: Path, text: str) -> Experiment:
    """The published Faster R-CNN with the settings of ``text``."""
    base = published_configs() / "faster_rcnn" / f"{BASE}.py"
    path = folder / "mine.py"
    path.write_text(f"_base_ = {str(base)!r}\n{text}")
    return read_experiment(path)


def changes(experiment: Experiment) -> dict[str, object]:
    """What differs from the zoo's entry, by path."""
    rows = diff(zoo.find(BASE).experiment, experiment)
    return {path: value for path, _, value in rows}


def test_other_classes(tmp_path: Path) -> None:
    heads = "model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))"
    assert changes(edited(tmp_path, f"{CLASSES})\n{heads}")) == {"class_names": ("cat", "dog")}


def test_classes_and_their_number_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.roi_head.bbox_head.num_classes: 80 is not 2"):
        edited(tmp_path, f"{CLASSES})")
    with pytest.raises(ConfigError, match=r"num_classes: 2 is not 80, the number of class names"):
        edited(tmp_path, "model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))")


def test_the_classes_of_all_splits_must_agree(tmp_path: Path) -> None:
    text = (
        "model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))\n"
        "data = dict(train=dict(classes=('cat', 'dog')))"
    )
    with pytest.raises(ConfigError, match=r"data.test.classes: are not those of data.train"):
        edited(tmp_path, text)


def test_other_anchors(tmp_path: Path) -> None:
    text = "model = dict(rpn_head=dict(anchor_generator=dict(scales=[4, 16], ratios=[1.0])))"
    assert changes(edited(tmp_path, text)) == {
        "model.rpn_head.priors.scales": (4.0, 16.0),
        "model.rpn_head.priors.ratios": (1.0,),
    }


def test_a_deeper_backbone_takes_its_weights_along(tmp_path: Path) -> None:
    text = (
        "model = dict(backbone=dict(depth=101,\n"
        "    init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')))"
    )
    assert changes(edited(tmp_path, text)) == {"model.backbone.depth": 101}


def test_a_longer_run(tmp_path: Path) -> None:
    text = (
        "runner = dict(max_epochs=20)\nlr_config = dict(step=[16, 19])\noptimizer = dict(lr=0.01)"
    )
    assert changes(edited(tmp_path, text)) == {
        "schedule.length": 20,
        "schedule.policy.milestones": (16, 19),
        "optimizer.lr": 0.01,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # A renamed field, and one that is only misspelt.
        (
            "model = dict(neck=dict(num_outputs=5))",
            r"mine.py: model.neck.num_outputs: is no setting that detzoo knows. Did you mean "
            "'num_outs'",
        ),
        ("optimzer = dict(lr=0.1)\nmodel = dict(backbone=dict(dept=18))", "backbone.dept: is no"),
        # A module of the user's own.
        (
            "model = dict(neck=dict(_delete_=True, type='MyFPN', in_channels=[256]))",
            r"model.neck.type: detzoo has no neck called 'MyFPN'; did you mean",
        ),
        (
            "custom_imports = dict(imports=['mine'])\ncustom_hooks = [dict(type='MyHook')]",
            r"custom_hooks\[0\].type: detzoo has no hook called 'MyHook'",
        ),
        # Facts that contradict each other.
        (
            "model = dict(neck=dict(in_channels=[64, 128, 256, 512]))",
            r"model.neck.in_channels: .* is not \(256, 512, 1024, 2048\), the channels of the",
        ),
        (
            "model = dict(pretrained='torchvision://resnet50')",
            "model.backbone.pretrained: 'torchvision://resnet50' contradicts",
        ),
        (
            "model = dict(roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[8, 16])))",
            "featmap_strides: .* are not those of the maps",
        ),
        # Values that cannot be.
        ("model = dict(backbone=dict(depth=51))", "depth: 51 is not one of 18, 34, 50, 101, 152"),
        ("optimizer = dict(lr='fast')", r"optimizer.type: a setting of this SGD cannot be"),
        ("model = dict(neck='FPN')", r"model.neck: .*'FPN' is not a list of dictionaries"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        edited(tmp_path, text)


def test_a_misspelt_section_is_no_variable_of_the_author() -> None:
    config = read_config(published_configs() / "faster_rcnn" / f"{BASE}.py")
    config["optimzer"] = config.pop("optimizer")
    with pytest.raises(ConfigError, match="optimzer: did you mean 'optimizer'"):
        experiment_of(config, "mine.py")


def test_the_spellings_of_the_first_v2_releases() -> None:
    """As in the configurations that the first published checkpoints carry."""
    config = read_config(published_configs() / "faster_rcnn" / f"{BASE}.py")
    model = config["model"]
    config["train_cfg"], config["test_cfg"] = model.pop("train_cfg"), model.pop("test_cfg")
    model["pretrained"] = model["backbone"].pop("init_cfg")["checkpoint"]
    for rpn in (config["train_cfg"]["rpn_proposal"], config["test_cfg"]["rpn"]):
        rpn |= {
            "nms_across_levels": False,
            "nms_post": rpn["nms_pre"],
            "max_num": rpn.pop("max_per_img"),
            "nms_thr": rpn.pop("nms")["iou_threshold"],
        }
    config["test_cfg"]["rcnn"]["nms"] = {"type": "nms", "iou_thr": 0.5}
    del config["runner"], config["auto_scale_lr"]
    config["total_epochs"] = 12
    assert experiment_of(config, "old.py") == zoo.find(BASE).experiment


def test_settings_that_v2_copied_into_a_head() -> None:
    """Checkpoints carry them: V2 saves its configuration after it has built the model."""
    config = read_config(published_configs() / "faster_rcnn" / f"{BASE}.py")
    model = config["model"]
    model["roi_head"] |= {
        "train_cfg": model["train_cfg"]["rcnn"],
        "test_cfg": model["test_cfg"]["rcnn"],
        "pretrained": None,
    }
    assert experiment_of(config, "x.pth") == zoo.find(BASE).experiment
    model["roi_head"]["test_cfg"] = {"score_thr": 0.5}
    with pytest.raises(ConfigError, match=r"roi_head.test_cfg: is no setting"):
        experiment_of(config, "x.pth")
