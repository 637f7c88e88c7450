"""What a user changes in a published configuration, rightly and wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detzoo import zoo
from detzoo.config import diff
from detzoo.errors import ConfigError
from detzoo.experiment import Experiment
from detzoo.mmdet import Imported, experiment_of, import_file, read_config
from tests.mmdet.published import published_configs

BASE = "faster_rcnn_r50_fpn_1x_coco"
CLASSES = "classes = ('cat', 'dog')\ndata = dict(" + ", ".join(
    f"{split}=dict(classes=classes)" for split in ("train", "val", "test")
)


def edited(folder: Path, text: str) -> Experiment:
    """The published Faster R-CNN with the settings of ``text``."""
    return imported(folder, text).to_train()


def imported(folder: Path, text: str) -> Imported:
    """The same, with what is said of it."""
    base = published_configs() / "faster_rcnn" / f"{BASE}.py"
    path = folder / "mine.py"
    path.write_text(f"_base_ = {str(base)!r}\n{text}")
    return import_file(path)


def changes(experiment: Experiment) -> dict[str, object]:
    """What differs from the zoo's entry, by path."""
    rows = diff(zoo.find(BASE).experiment, experiment)
    return {path: value for path, _, value in rows}


def test_other_classes(tmp_path: Path) -> None:
    heads = "model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))"
    assert changes(edited(tmp_path, f"{CLASSES})\n{heads}")) == {"class_names": ("cat", "dog")}


@pytest.mark.parametrize("wrong", ["True", "7", "('cat', 1)"])
def test_what_names_no_classes(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"data.train.classes: .* is neither a list of names"):
        edited(tmp_path, f"data = dict(train=dict(classes={wrong}))")


def test_the_number_of_the_model_rules_for_its_checkpoint(tmp_path: Path) -> None:
    """Names are those of ``classes=``, which are the ones that are trained; the rest has none."""
    found = imported(tmp_path, f"{CLASSES})")
    assert found.experiment.class_names[:3] == ("cat", "dog", "class_3")
    assert len(found.experiment.class_names) == 80
    assert found.to_train().class_names == ("cat", "dog")
    assert "num_classes" in found.reading.replaced
    found = imported(tmp_path, "model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))")
    assert found.experiment.class_names == ("class_1", "class_2")
    assert found.trained_classes is None  # the data name them
    assert found.row_names(("a",)) == ("a", "class_2")
    with pytest.raises(ConfigError, match=r"mine.py: names 3 classes .*has 2"):
        found.row_names(("a", "b", "c"))


def test_heads_must_agree_about_the_number_of_classes(tmp_path: Path) -> None:
    base = published_configs() / "mask_rcnn" / "mask_rcnn_r50_fpn_1x_coco.py"
    path = tmp_path / "mine.py"
    heads = "dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=2))"
    path.write_text(f"_base_ = {str(base)!r}\nmodel = dict(roi_head={heads})")
    with pytest.raises(ConfigError, match=r"mask_head.num_classes: 2 is not 3"):
        import_file(path)


def test_the_trained_classes_are_those_of_the_training_data(tmp_path: Path) -> None:
    text = (
        "model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))\n"
        "data = dict(train=dict(classes=('cat', 'dog')), test=dict(classes=('dog', 'cat')))"
    )
    found = imported(tmp_path, text)
    assert found.to_train().class_names == ("cat", "dog")
    assert "data.test.classes" in found.reading.aside


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
        "reference_batch": None,  # the published rate is for 16 images, this one for those it gets
    }


def test_all_obstacles_are_named_at_once(tmp_path: Path) -> None:
    text = (
        "model = dict(neck=dict(type='MyFPN'), roi_head=dict(type='MyHead'))\n"
        "optimizer = dict(type='Lion')\n"
        "data = dict(train=dict(pipeline=[dict(type='Magic'), dict(type='Trick')]))"
    )
    with pytest.raises(ConfigError) as error:
        edited(tmp_path, text)
    for path in ("model.neck.type", "model.roi_head.type"):
        assert f"\n  {path}: detzoo has no" in str(error.value)
    obstacles = imported(tmp_path, text.partition("\n")[2]).obstacles
    assert [one.path for one in obstacles] == [
        "data.train.pipeline[0].type",
        "data.train.pipeline[1].type",
        "optimizer.type",
    ]


TRAINING_ONLY = [
    "data = dict(train=dict(type='MyDataset', pipeline=[dict(type='Magic')]))",
    "model = dict(train_cfg=dict(rcnn=dict(assigner=dict(type='MyAssigner'), more=3)))",
    "model = dict(roi_head=dict(bbox_head=dict(loss_bbox=dict(type='MyLoss', beta=3))))",
    "model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(type='MyLoss'))))",
    "model = dict(rpn_head=dict(loss_cls=dict(type='MyLoss', use_sigmoid=True)))",
    "model = dict(train_cfg=None)",
    "optimizer = dict(type='Lion')",
    "optimizer = dict(lr='fast')",
    "optimizer_config = dict(type='MyHook')",
    "lr_config = dict(_delete_=True, policy='mine')",
    "runner = dict(type='MyRunner')",
    "fp16 = dict(loss_scale='much')",
    "model = dict(backbone=dict(init_cfg=dict(checkpoint='open-mmlab://mine')))",
]


@pytest.mark.parametrize("text", TRAINING_ONLY)
def test_what_only_training_needs_keeps_nobody_from_detecting(tmp_path: Path, text: str) -> None:
    found = imported(tmp_path, text)
    published = zoo.find(BASE).experiment
    assert found.obstacles
    assert found.experiment.data.test_transforms == published.data.test_transforms
    own, theirs = found.experiment.model, published.model
    with torch.device("meta"):
        shapes = [
            {name: value.shape for name, value in model.build(80).state_dict().items()}
            for model in (own, theirs)
        ]
    assert shapes[0] == shapes[1]
    assert own.roi_head.select == theirs.roi_head.select
    with pytest.raises(ConfigError):
        found.to_train()


RUN_ONLY = [
    "resume_from = 'epoch_3.pth'",
    "workflow = [('train', 1), ('val', 1)]",
    "custom_imports = dict(imports=['mine'])\ncustom_hooks = [dict(type='MyHook')]",
    "checkpoint_config = dict(interval=5000, by_epoch=False, save_last=True)",
    "evaluation = dict(start=10, rule='greater', mine=3)",
    "data = dict(test=dict(samples_per_gpu=8, test_mode=True), trainCS=dict(type='Mine'))",
    "data = dict(val=dict(pipeline=[dict(type='LoadImageFromFile')]))",
]


@pytest.mark.parametrize("text", RUN_ONLY)
def test_the_course_of_a_run_is_reported_and_refuses_nothing(tmp_path: Path, text: str) -> None:
    found = imported(tmp_path, text)
    assert changes(found.to_train()) == {}
    assert found.reading.aside.keys() - imported(tmp_path, "").reading.aside.keys()


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("", 16),
        # What V2's default_runtime says is nothing that this file says.
        ("optimizer = dict(lr=0.0025)", None),
        ("optimizer = dict(weight_decay=0.01)", None),
        ("optimizer = dict(lr=0.0025)\nauto_scale_lr = dict(enable=True)", 16),
        ("optimizer = dict(lr=0.0025)\nauto_scale_lr = dict(enable=False, base_batch_size=8)", 8),
        ("auto_scale_lr = dict(base_batch_size=8)", 8),
        ("optimizer = dict(lr=0.0025)\nauto_scale_lr = dict(_delete_=True, enable=True)", None),
        ("auto_scale_lr = dict(_delete_=True, enable=True)", 16),  # the published rate
        ("optimizer = dict(lr=0.0025)\nauto_scale_lr = dict(base_batch_size=4)", 4),
    ],
)
def test_the_batch_that_the_learning_rate_is_for(
    tmp_path: Path, text: str, batch: int | None
) -> None:
    found = imported(tmp_path, text)
    assert found.to_train().reference_batch == batch
    assert ("as written" in found.reading.replaced["learning rate"]) == (batch is None)


def test_the_batch_of_a_whole_file(tmp_path: Path) -> None:
    """V2 writes down what a run was told, with all that it inherits: only its name is left."""
    config = read_config(published_configs() / "faster_rcnn" / f"{BASE}.py")
    assert experiment_of(config, f"{BASE}.py").reference_batch == 16
    assert experiment_of(config, "mine.py").reference_batch is None
    config["optimizer"]["lr"] = 0.0025
    assert experiment_of(config, f"{BASE}.py").reference_batch is None


def test_schedules_of_mmdetection_are_no_published_models(tmp_path: Path) -> None:
    folder = published_configs() / "_base_"
    parts = ("models/faster_rcnn_r50_fpn", "datasets/coco_detection", "schedules/schedule_1x")
    bases = [str(folder / f"{part}.py") for part in (*parts, "default_runtime")]
    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = {bases!r}\n")
    assert import_file(path).to_train().reference_batch is None
    # The published file says no more.
    path = tmp_path / f"{BASE}.py"
    path.write_text(f"_base_ = {bases!r}\n")
    assert import_file(path).to_train().reference_batch == 16


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
    assert experiment_of(config, f"{BASE}.py") == zoo.find(BASE).experiment


def test_settings_that_v2_copied_into_a_head() -> None:
    """Checkpoints carry them: V2 saves its configuration after it has built the model."""
    config = read_config(published_configs() / "faster_rcnn" / f"{BASE}.py")
    model = config["model"]
    model["roi_head"] |= {
        "train_cfg": model["train_cfg"]["rcnn"],
        "test_cfg": model["test_cfg"]["rcnn"],
        "pretrained": None,
    }
    assert experiment_of(config, f"{BASE}.pth") == zoo.find(BASE).experiment
    model["roi_head"]["test_cfg"] = {"score_thr": 0.5}
    with pytest.raises(ConfigError, match=r"roi_head.test_cfg: is no setting"):
        experiment_of(config, "x.pth")
