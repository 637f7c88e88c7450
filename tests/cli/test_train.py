from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo.checkpoints import checkpoint
from detzoo.cli.launch import without_option
from detzoo.cli.run_end import resume_command
from detzoo.cli.run_options import RunOptions
from detzoo.cli.run_start import first_experiment
from detzoo.config import ConfigError, diff
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.quickstart.scenes import CLASSES
from detzoo.train import batch_size
from tests.cli.conftest import FIT, Run, assert_refused, write_checkpoint
from tests.tiny import tiny_mask_rcnn, tiny_retinanet

FAST = ("--epochs", 1, "--batch-size", 4, "--workers", 0, "--device", "cpu")


def test_train_test_predict(detzoo: Run, tiny: Path, scenes: Path) -> None:
    """The way of a user, with default folders."""
    trained = detzoo("train", tiny, "--data", scenes, *FAST)
    assert trained.code == 0, trained
    run = Path("runs/tiny-1")
    for name in ("last.pt", "best.pt", "experiment.json", "metrics.jsonl", "metrics.csv"):
        assert (run / name).is_file()
    assert "8 images" in trained.out
    assert "learning rate" in trained.out
    assert f"detzoo test {run}/best.pt --data {scenes}" in trained.out
    assert checkpoint.read(run / "best.pt").class_names == CLASSES

    tested = detzoo("test", run / "best.pt", "--data", scenes, "--device", "cpu", "--workers", 0)
    assert tested.code == 0, tested
    assert "AP50" in tested.out
    drawn = detzoo("predict", run / "best.pt", scenes / "val", "--out", "drawn", "--device", "cpu")
    assert drawn.code == 0, drawn
    assert len(list(Path("drawn").glob("*.jpg"))) == 4

    again = detzoo("train", tiny, "--data", scenes, *FAST)
    assert again.code == 0
    assert Path("runs/tiny-2/last.pt").is_file()


def test_the_report_of_a_run(detzoo: Run, scenes: Path) -> None:
    """The command, curves, pictures over time, and what differs from the recipe."""
    name = "retinanet_mobilenetv2_fpn"
    sizes = "data.{}_transforms[0].sizes=[[64,64]]"
    settings = [part for of in ("train", "test") for part in ("--set", sizes.format(of))]
    arguments = ("--data", scenes, "--from-scratch", "--epochs", 2, *FAST[2:], *settings)
    outcome = detzoo("train", name, *arguments, "--out", "run", "--report")
    assert outcome.code == 0, outcome
    assert "report: run/report.html" in outcome.out
    page = Path("run/report.html").read_text()
    assert f"detzoo train {name} --data {scenes} --from-scratch" in page
    assert "Settings that differ from the recipe" in page
    assert "train_transforms[0].sizes" in page
    assert page.count("<svg") == 4
    # Four scenes, their objects and two evaluations.
    assert page.count("data:image/jpeg") == 4 * 3
    names = {path.name for path in Path("run/pictures").iterdir()}
    assert {"truth-3.jpg", "00000002-0.jpg", "00000004-3.jpg"} <= names


def test_the_command_of_a_run_is_the_one_that_was_typed() -> None:
    options = RunOptions(
        name="atss_r50_fpn_1x_coco",
        data=("/a", "/b c"),
        settings=("optimizer.lr=1",),
        lr_scaling=False,
        skip_broken=True,
        epochs=3,
    )
    assert options.to_command() == [
        *("detzoo", "train", "atss_r50_fpn_1x_coco", "--data", "/a", "--data", "/b c"),
        *("--skip-broken", "--set", "optimizer.lr=1", "--epochs", "3", "--no-lr-scaling"),
    ]


def test_options_are_short_names_of_settings(detzoo: Run, tiny: Path, scenes: Path) -> None:
    arguments = ("--epochs", 3, "--batch-size", 2, "--workers", 1, "--precision", "bf16")
    settings = ("--seed", 7, "--set", "optimizer.lr=0.001", "--set", "schedule.warmup=None")
    # A step per epoch, and none after the first checkpoint: only what is written down counts.
    outcome = detzoo(
        "train", tiny, "--data", scenes, "--out", "run", *arguments, *settings, "--device", "cpu"
    )
    assert outcome.code == 0, outcome
    written = json.loads(Path("run/experiment.json").read_text())
    assert written["schedule"]["length"] == 3
    assert written["schedule"]["policy"]["milestones"] == [2, 3]  # stretched from 8, 11 of 12
    assert written["schedule"]["warmup"] is None
    assert written["data"]["images_per_device"] == 2
    assert written["data"]["workers"] == 1
    assert written["precision"] == "bf16"
    assert written["seed"] == 7
    assert written["optimizer"]["lr"] == 0.001
    assert written["class_names"] == list(CLASSES)


def test_the_largest_batch(
    detzoo: Run, tiny: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found is kept when a run is resumed."""
    found = iter((4,))

    def instead(experiment: Experiment, *_: object, **__: object) -> tuple[Experiment, str]:
        size = next(found)
        data = replace(experiment.data, images_per_device=size)
        return replace(experiment, data=data), f"batch size auto: {size} images"

    def size_of(run: str) -> int:
        return int(
            json.loads(Path(run, "experiment.json").read_text())["data"]["images_per_device"]
        )

    command = ("train", tiny, "--data", scenes, "--epochs", 1, *FAST[4:], "--out", "run")
    assert_refused(detzoo(*command, "--batch-size", "auto"), "--batch-size auto", "on cpu")
    assert_refused(detzoo(*command, "--batch-size", 0), "--batch-size 0: give a number")
    assert_refused(detzoo(*command, "--batch-size", "big"), "--batch-size big: give a number")
    monkeypatch.setattr(batch_size, "check_device", lambda *_: None)
    monkeypatch.setattr(batch_size, "with_largest_batch", instead)
    outcome = detzoo(*command, "--batch-size", "auto")
    assert outcome.code == 0, outcome
    assert "batch size auto: 4 images" in outcome.out
    assert size_of("run") == 4
    resume = ("train", "--resume", "--out", "run", "--epochs", 2)
    assert detzoo(*resume).code == 0
    assert size_of("run") == 4
    assert detzoo(*resume, "--batch-size", "auto").code == 0
    assert size_of("run") == 4
    sized = (*command[:-1], "sized", *FAST[2:4])
    assert detzoo(*sized).code == 0
    assert_refused(
        detzoo("train", "--resume", "--out", "sized", "--batch-size", "auto"),
        "--batch-size auto", "resumed with the batch that it has",
    )  # fmt: skip


def test_explicit_files_and_other_validation_data(detzoo: Run, tiny: Path, scenes: Path) -> None:
    outcome = detzoo(
        "train", tiny, *FAST, "--out", "run",
        "--data", scenes / "annotations" / "train.json", "--images", scenes / "train",
        "--val", scenes / "annotations" / "val.json", "--val-images", scenes / "val",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert "4 images" in outcome.out
    assert Path("run/best.pt").is_file()


def test_without_validation_data(detzoo: Run, tiny: Path, scenes: Path) -> None:
    file = scenes / "annotations" / "train.json"
    images = scenes / "train"
    outcome = detzoo("train", tiny, *FAST, "--out", "run", "--data", file, "--images", images)
    assert outcome.code == 0, outcome
    assert "no evaluation" in outcome.out
    assert not Path("run/best.pt").exists()
    assert "run/last.pt" in outcome.out


def test_declared_class_names_set_the_order(detzoo: Run, tiny: Path, scenes: Path) -> None:
    names = tuple(reversed(CLASSES))
    outcome = detzoo(
        "train", tiny, *FAST, "--data", scenes, "--out", "run", "--classes", ",".join(names)
    )
    assert outcome.code == 0, outcome
    assert checkpoint.read("run/last.pt").class_names == names


def test_weights_meet_the_data_by_name(
    detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path
) -> None:
    names = ("star", "fish", "circle")
    start = write_checkpoint(tmp_path / "start.pt", tiny_retinanet(names, FIT))
    outcome = detzoo(
        "train", tiny, *FAST, "--data", scenes, "--out", "run", "--weights", start,
        "--set", "optimizer.lr=1e-12",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    model = tiny_retinanet(CLASSES, FIT).build_model()
    total = sum("num_batches" not in name for name in model.state_dict())
    assert f"from {start}: {total - 2} of {total} tensors as they are" in outcome.out
    assert "classes with trained weights: circle, star" in outcome.out
    assert "classes with random weights: square, triangle" in outcome.out
    assert "not used: fish" in outcome.out
    old = checkpoint.read(start).model["bbox_head.retina_cls.weight"]
    new = checkpoint.read("run/last.pt").model["bbox_head.retina_cls.weight"]
    for anchor in range(9):
        torch.testing.assert_close(new[anchor * 4], old[anchor * 3 + 2])  # circle
        torch.testing.assert_close(new[anchor * 4 + 3], old[anchor * 3])  # star


def test_no_shared_name_is_announced(detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path) -> None:
    start = write_checkpoint(tmp_path / "start.pt", tiny_retinanet(("cat",), FIT))
    outcome = detzoo("train", tiny, *FAST, "--data", scenes, "--out", "run", "--weights", start)
    assert outcome.code == 0
    assert "tensors as they are" in outcome.out
    assert "classes with random weights: all" in outcome.out


def test_resume(detzoo: Run, tiny: Path, scenes: Path) -> None:
    base = ("train", tiny, "--data", scenes, "--out", "run", "--batch-size", 4, "--device", "cpu")
    assert detzoo(*base, "--epochs", 1).code == 0
    outcome = detzoo(*base, "--epochs", 2, "--resume")
    assert outcome.code == 0, outcome
    assert "resuming after step 2 of 4" in outcome.out
    training = checkpoint.read("run/last.pt").training
    assert training is not None
    assert training["position"]["iteration"] == 4


def test_resume_finds_the_latest_run(detzoo: Run, tiny: Path, scenes: Path) -> None:
    base = ("train", tiny, "--data", scenes, *FAST)
    assert detzoo(*base).code == 0
    outcome = detzoo(*base, "--resume")
    assert outcome.code == 0, outcome
    assert "resuming after step 2 of 2" in outcome.out
    assert not Path("runs/tiny-2").exists()


def test_processes_share_a_test(detzoo: Run, tiny: Path, scenes: Path) -> None:
    """Three images for two processes: each once, and the same metrics as of one process."""
    assert detzoo("train", tiny, "--data", scenes, *FAST, "--out", "run").code == 0
    content = json.loads((scenes / "annotations/val.json").read_text())
    content["images"] = content["images"][:3]
    kept = {image["id"] for image in content["images"]}
    objects = content["annotations"]
    content["annotations"] = [one for one in objects if one["image_id"] in kept]
    Path("three.json").write_text(json.dumps(content))
    data = ("--data", "three.json", "--images", scenes / "val", "--device", "cpu")
    arguments = ("test", "run/best.pt", *data, "--workers", 0)
    assert detzoo(*arguments, "--json", "one.json").code == 0
    command = (sys.executable, "-m", "detzoo", *arguments, "--json", "two.json", "--devices", 2)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [str(part) for part in command],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("AP50") == 1
    one, two = (json.loads(Path(f"{name}.json").read_text()) for name in ("one", "two"))
    assert one == two


@pytest.mark.slow
@pytest.mark.ci
def test_devices_of_one_command(tiny: Path, scenes: Path, tmp_path: Path) -> None:
    """Two processes in a new folder; what is wrong in all of them ends without a traceback."""
    words = (sys.executable, "-m", "detzoo", "train", tiny, "--data", scenes, *FAST)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(*more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in (*words, "--devices=2", "--no-report", *more)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240,
        )  # fmt: skip

    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done: runs/tiny-1/best.pt") == 1
    assert (tmp_path / "runs" / "tiny-1" / "last.pt").is_file()
    done = run("--set", "optimizer.lr=-1")
    assert done.returncode == 2
    assert "error: --set optimizer.lr=-1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ChildFailedError" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        (["train", "x", "--devices", "2", "--out", "y"], ["train", "x", "--out", "y"]),
        (["train", "--devices=2", "x"], ["train", "x"]),
        (["train", "x", "--devices"], ["train", "x"]),
        (["test", "--device", "cpu"], ["test", "--device", "cpu"]),
    ],
)
def test_arguments_of_the_processes(typed: list[str], left: list[str]) -> None:
    assert without_option(typed, "--devices") == left


def test_the_command_to_go_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert resume_command(Path("my run")) == "detzoo train --resume --out 'my run'"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    expected = "torchrun --nproc-per-node 2 -m detzoo train --resume --out runs/x-1"
    assert resume_command(Path("runs/x-1")) == expected


# --------------------------------------------------------------------------- pretrained weights


def backbone_of(name: str) -> tuple[str, ...]:
    return ("--set", f"model.backbone.pretrained={name}")


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("DETZOO_WEIGHTS", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "empty"))
    return tmp_path / "empty"


def test_pretrained_weights_that_cannot_be_found(
    detzoo: Run, tiny: Path, scenes: Path, no_weights: Path
) -> None:
    outcome = detzoo("train", tiny, *FAST, "--data", scenes, *backbone_of("torchvision://resnet18"))
    assert_refused(outcome, "resnet18-f37072fd.pth", str(no_weights), "--from-scratch")
    assert not Path("runs").exists()


def test_from_scratch_freezes_nothing(
    detzoo: Run, tiny: Path, scenes: Path, no_weights: Path
) -> None:
    outcome = detzoo(
        "train", tiny, *FAST, "--data", scenes, "--out", "run", "--from-scratch",
        *backbone_of("torchvision://resnet18"), "--set", "model.backbone.frozen_stages=3",
        "--set", "model.backbone.norm.fixed_statistics=True",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    model = checkpoint.read("run/last.pt").experiment.model
    assert isinstance(model, SingleStageConfig)
    backbone = json.loads(Path("run/experiment.json").read_text())["model"]["backbone"]
    assert backbone["pretrained"] is None
    assert backbone["frozen_stages"] == -1
    assert backbone["norm"]["fixed_statistics"] is False


def test_pretrained_backbone_is_loaded(
    detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(123)
    weights = tiny_retinanet().model.backbone.build().state_dict()
    torch.save({**weights, "fc.weight": torch.ones(1)}, tmp_path / "resnet18-f37072fd.pth")
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))
    outcome = detzoo(
        "train", tiny, *FAST, "--data", scenes, "--out", "run",
        *backbone_of("torchvision://resnet18"), "--set", "model.backbone.frozen_stages=4",
        "--set", "model.backbone.norm.fixed_statistics=True",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert "unused in the pretrained weights: fc.weight" in outcome.out
    saved = checkpoint.read("run/last.pt").model
    assert torch.equal(saved["backbone.conv1.weight"], weights["conv1.weight"])


# --------------------------------------------------------------------------------- bad input


def test_unknown_model(detzoo: Run, scenes: Path) -> None:
    outcome = detzoo("train", "retinanet_r50_fpn_1x", "--data", scenes)
    assert_refused(outcome, "retinanet_r50_fpn_1x", "retinanet_r50_fpn_1x_coco")


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--set", "model.backbone.dpeth=18"), ("dpeth", "did you mean 'depth'?", "fields:")),
        (("--set", "model.backbone.depth=51"), ("51 is not one of 18, 34, 50, 101, 152",)),
        (("--set", "optimizer.lr"), ("optimizer.lr", "path=value")),
        (("--precision", "fp8"), ("fp8", "bf16")),
        (("--early-stopping", "bbox/AP"), ("bbox/AP", "bbox/AP50,3")),
        (("--early-stopping", "bbox/APP,2"), ("bbox/APP",)),
        (("--device", "cuda:63"), ("cuda:63", "Available: cpu")),
        (("--batch-size", 9), ("a batch of 9", "8")),
        (("--classes", "circle,sqare"), ("'sqare'", "Did you mean 'square'?")),
        (("--val-fraction", "1"), ("--val-fraction 1.0", "less than 1")),
        (("--fold", "6/5"), ("--fold 6/5", "K/N")),
        (
            ("--fold", "1/5", "--val-fraction", ".2"),
            ("--fold", "--val-fraction", "Remove one of them"),
        ),
        (("--fold", "1/9"), ("its 8 images cannot be divided into 9 parts",)),
        (("--classes", "circle,square,triangle,star,fish"), ("fish",)),
        (("--weights", "none.pt"), ("none.pt", "no such file")),
        (("--weights", "x.pt", "--from-scratch"), ("x.pt",)),
        (("--val", "nowhere"), ("nowhere",)),
        (("--resume",), ("--resume", "contains no run")),
    ],
)
def test_bad_options(
    detzoo: Run, tiny: Path, scenes: Path, options: tuple[object, ...], texts: tuple[str, ...]
) -> None:
    fast = tuple(o for o in FAST if o != "--device" or "--device" not in options)
    outcome = detzoo("train", tiny, "--data", scenes, *fast[: len(FAST) - 2], *options)
    assert_refused(outcome, *texts)
    assert list(Path().iterdir()) == []


def test_options_that_no_number_fits(detzoo: Run, tiny: Path, scenes: Path) -> None:
    outcome = detzoo("train", tiny, "--data", scenes, "--epochs", "0")
    assert outcome.code == 2
    assert "--epochs" in outcome.error


def break_json(folder: Path) -> None:
    file = folder / "annotations" / "train.json"
    file.write_text(file.read_text()[:-20])


def lose_an_image(folder: Path) -> None:
    (folder / "train" / "0003.png").unlink()


def lose_the_annotations(folder: Path) -> None:
    (folder / "annotations" / "train.json").unlink()


def empty_the_data(folder: Path) -> None:
    (folder / "annotations" / "train.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]})
    )


def lose_a_category(folder: Path) -> None:
    file = folder / "annotations" / "train.json"
    content = json.loads(file.read_text())
    content["categories"] = content["categories"][:2]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "texts"),
    [
        (break_json, ("train.json", "line 1")),
        (lose_an_image, ("train.json", "0003.png")),
        (lose_the_annotations, ("train", "It has: val")),
        (empty_the_data, ("train.json", "no image")),
        (lose_a_category, ("train.json", "categor")),
    ],
)
def test_bad_data(
    detzoo: Run,
    tiny: Path,
    scenes: Path,
    tmp_path_factory: pytest.TempPathFactory,
    damage,  # type: ignore[no-untyped-def]
    texts: tuple[str, ...],
) -> None:
    folder = tmp_path_factory.mktemp("bad") / "data"
    shutil.copytree(scenes, folder)
    damage(folder)
    outcome = detzoo("train", tiny, "--data", folder, *FAST)
    assert_refused(outcome, *texts)
    assert list(Path().iterdir()) == []


def test_data_that_is_not_there(detzoo: Run, tiny: Path) -> None:
    assert_refused(detzoo("train", tiny, "--data", "nowhere", *FAST), "nowhere")


def test_a_run_is_never_written_over(detzoo: Run, tiny: Path, scenes: Path) -> None:
    run = Path("run")
    run.mkdir()
    (run / "last.pt").write_bytes(b"precious")
    outcome = detzoo("train", tiny, "--data", scenes, "--out", "run", *FAST)
    assert_refused(outcome, "--out run", "--resume")
    assert [file.name for file in run.iterdir()] == ["last.pt"]
    assert (run / "last.pt").read_bytes() == b"precious"


def test_resume_of_a_damaged_checkpoint(detzoo: Run, tiny: Path, scenes: Path) -> None:
    run = Path("run")
    run.mkdir()
    (run / "last.pt").write_bytes(b"PK\x03\x04half of it")
    outcome = detzoo("train", tiny, "--data", scenes, "--out", "run", "--resume", *FAST)
    assert_refused(outcome, "last.pt", "damaged")
    assert (run / "last.pt").read_bytes() == b"PK\x03\x04half of it"


def test_resume_with_other_classes(detzoo: Run, tiny: Path, scenes: Path) -> None:
    base = ("train", tiny, "--data", scenes, "--out", "run", *FAST)
    assert detzoo(*base).code == 0
    before = Path("run/last.pt").read_bytes()
    outcome = detzoo(*base, "--resume", "--classes", "star,circle,square,triangle")
    assert_refused(outcome, "last.pt", "star, circle", "same order", "--weights")
    assert Path("run/last.pt").read_bytes() == before


def test_weights_of_another_model(detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other.pt", tiny_mask_rcnn(CLASSES, FIT))
    outcome = detzoo("train", tiny, "--data", scenes, *FAST, "--weights", other)
    assert_refused(outcome, "other.pt", "another model")
    assert not Path("runs").exists()


def test_a_broken_experiment_file(detzoo: Run, scenes: Path) -> None:
    Path("mine.json").write_text('{"type": "Experiment", "model": 3}')
    assert_refused(detzoo("train", "mine.json", "--data", scenes), "mine.json", "model")


def test_several_processes_need_a_folder(
    detzoo: Run, tiny: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_refused(detzoo("train", tiny, "--data", scenes), "--out", "several processes")


# ------------------------------------------------------------------------------- short options


def options_of(**changes: Any) -> RunOptions:
    return RunOptions(name="faster_rcnn_r50_fpn_1x_coco", **changes)


def test_short_options() -> None:
    _, plain, _ = first_experiment(options_of())
    options = options_of(image_size="640x480", lr=0.005, freeze=3)
    _, changed, _ = first_experiment(options)
    settings = {path: new for path, _, new in diff(plain, changed)}
    assert settings == {
        "model.backbone.frozen_stages": 3,
        "data.train_transforms[0].sizes": ((640, 480),),
        "data.test_transforms[0].sizes": ((640, 480),),
        "optimizer.lr": 0.005,
    }
    assert options.to_command()[3:] == ["--image-size", "640x480", "--lr", "0.005", "--freeze", "3"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": "640"}, "--image-size 640: write it as WIDTHxHEIGHT"),
        ({"image_size": "0x640"}, "--image-size 0x640: write it as WIDTHxHEIGHT"),
        ({"lr": -1.0}, "--lr -1.0: optimizer.lr: -1.0 is not at least 0"),
        ({"freeze": 9}, "--freeze 9: .*frozen_stages"),
    ],
)
def test_short_options_that_are_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        first_experiment(options_of(**changes))
