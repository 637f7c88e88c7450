"""Several data sets as one, some of their classes, and images that are held out."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detzoo.checkpoints import checkpoint
from detzoo.cli.run_options import read_options
from detzoo.data.locate import open_dataset
from detzoo.quickstart.scenes import write_scenes
from tests.cli.conftest import Outcome, Run, assert_refused
from tests.data.files import annotation, write_coco
from tests.data.formats.files import write
from tests.shared import shared

PATHS = {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}
MACHINE = ("--workers", 0, "--device", "cpu")
FAST = (*MACHINE, "--from-scratch", "--epochs", 1)


@pytest.fixture(scope="session")
def train_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder of 20 scenes without any other split."""
    folder = tmp_path_factory.mktemp("train_only")
    write_scenes(folder, "train", 20, size=64, seed=3)
    return folder


def assert_repeated(
    detzoo: Run, run: str | Path, said: str, file: Path = Path("again.json")
) -> None:
    """The ``detzoo test`` command in what training ``said`` evaluates what the ``run`` did."""
    line = next(line for line in said.splitlines() if line.startswith("  detzoo test "))
    outcome = detzoo(*shlex.split(line)[1:], "--json", file)
    assert outcome.code == 0, outcome
    ours, theirs = (
        next(line for line in text.splitlines() if line.startswith(purpose))
        for text, purpose in ((said, "val"), (outcome.out, "test"))
    )
    assert ours.split(maxsplit=1)[1] == theirs.split(maxsplit=1)[1]  # images, objects, source
    records = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    evaluations = [record for record in records if record["kind"] == "val"]
    logged = max(evaluations, key=lambda record: record["bbox/AP"])  # that of best.pt
    again = json.loads(file.read_text())["metrics"]
    assert again == {name: logged[name] for name in again}


def test_a_split_is_held_out_where_there_is_none(detzoo: Run, tiny: Path, train_only: Path) -> None:
    outcome = detzoo("train", tiny, *FAST, "--data", train_only, "--out", "run")
    assert outcome.code == 0, outcome
    assert "There is no validation data: 20% of the images are held out" in outcome.out
    division = json.loads(Path("run/split.json").read_text())
    assert division["rule"] == "--val-fraction 0.2, seed 0"
    (part,) = division["sets"]
    assert 2 <= len(part["val"]) <= 8
    assert sorted(part["train"] + part["val"]) == sorted(
        file.name for file in (train_only / "train").iterdir()
    )
    for name in ("last.pt", "best.pt"):
        kept = checkpoint.read(Path("run", name)).division
        assert kept is not None
        assert kept.to_json() == division
    assert_repeated(detzoo, "run", outcome.out)
    whole = detzoo("train", tiny, *FAST, "--data", train_only, "--val-fraction", 0, "--out", "all")
    assert "no evaluation" in whole.out
    assert "20 images" in whole.out
    assert not Path("all/split.json").exists()


def test_joined_sets_some_classes_and_a_fold(
    detzoo: Run, tiny: Path, train_only: Path, scenes: Path
) -> None:
    command = (
        "train", tiny, *FAST, "--data", scenes, "--data", train_only,
        "--classes", "star,circle", "--fold", "2/4",
    )  # fmt: skip
    outcome = detzoo(*command, "--out", "run")
    assert outcome.code == 0, outcome
    assert "objects of star, circle" in outcome.out
    assert "objects of other classes left out" in outcome.out
    assert checkpoint.read("run/best.pt").class_names == ("star", "circle")
    first, second = json.loads(Path("run/split.json").read_text())["sets"]
    assert len(first["train"] + first["val"]) == 8
    assert len(second["train"] + second["val"]) == 20
    assert_repeated(detzoo, "run", outcome.out)
    # Each set is divided alike with and without the other.
    assert detzoo("train", tiny, *FAST, "--data", train_only, "--classes", "star,circle",
                  "--fold", "2/4", "--out", "alone").code == 0  # fmt: skip
    (alone,) = json.loads(Path("alone/split.json").read_text())["sets"]
    assert alone == second
    one_short = detzoo("test", "run/best.pt", "--data", scenes, "--held-out", *MACHINE)
    assert_refused(one_short, "run/best.pt", "made for 2 data sets, not 1", "--data")


def test_validation_sets_are_joined_and_may_know_more(
    detzoo: Run, tiny: Path, train_only: Path, scenes: Path
) -> None:
    few = json.loads((scenes / "annotations" / "train.json").read_text())
    kept = [c for c in few["categories"] if c["name"] in ("circle", "star")]
    ids = {c["id"] for c in kept}
    few["categories"] = kept
    few["annotations"] = [a for a in few["annotations"] if a["category_id"] in ids]
    Path("few.json").write_text(json.dumps(few))
    outcome = detzoo(
        "train", tiny, *FAST, "--data", "few.json", "--images", scenes / "train",
        "--val", train_only, "--val", scenes, "--val-split", "train", "--out", "run",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert "val    28 images" in outcome.out
    assert "left out ('square', 'triangle')" in outcome.out
    assert "--split train" in outcome.out
    assert_repeated(detzoo, "run", outcome.out)
    other = write_coco(Path("other"), [(64, 64)], [annotation(1, 1, (4, 4, 20, 20))])
    outcome = detzoo(
        "train", tiny, *FAST, "--data", "few.json", "--images", scenes / "train", "--val", other
    )
    assert_refused(outcome, "train.json", "none of the training classes", "cat, dog")


def test_resuming_keeps_what_is_held_out(
    detzoo: Run, tiny: Path, train_only: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(train_only, data)
    base = ("train", tiny, *FAST, "--data", data)
    assert detzoo(*base, "--out", "run", "--val-fraction", ".3").code == 0
    before = Path("run/split.json").read_bytes()
    for option in (("--val-fraction", ".2"), ("--fold", "1/5"), ("--val", data)):
        outcome = detzoo("train", "--resume", "--out", "run", *option)
        assert_refused(outcome, option[0], "run", "cannot change on resuming")
    # An image that came later is on neither side, and so the run can go on.
    file = data / "annotations" / "train.json"
    content = json.loads(file.read_text())
    content["images"].append({**content["images"][0], "id": 99, "file_name": "later.png"})
    file.write_text(json.dumps(content))
    shutil.copy(data / "train" / content["images"][0]["file_name"], data / "train" / "later.png")
    outcome = detzoo("train", "--resume", "--out", "run", "--epochs", 2)
    assert outcome.code == 0, outcome
    assert "1 image not yet divided, so neither trained nor tested on" in outcome.out
    assert Path("run/split.json").read_bytes() == before
    assert_repeated(detzoo, "run", outcome.out)


def test_a_run_without_held_out_images_gets_none_later(
    detzoo: Run, tiny: Path, train_only: Path
) -> None:
    options = ("--data", train_only, "--val-fraction", 0, "--out", "run")
    assert detzoo("train", tiny, *FAST, *options).code == 0
    outcome = detzoo("train", "--resume", "--out", "run", "--val-fraction", ".2")
    assert_refused(outcome, "--val-fraction", "cannot change")
    outcome = detzoo("test", "run/last.pt", "--data", train_only, "--held-out", *MACHINE)
    assert_refused(outcome, "--held-out", "run/last.pt", "does not record", "--split")


def test_broken_images_are_left_out_and_listed(
    detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    gone, cut, small = sorted((data / "train").iterdir())[:3]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:200])
    cv2.imwrite(str(small), np.zeros((32, 32, 3), np.uint8))
    train = ("train", tiny, *FAST, "--data", data)
    assert_refused(detzoo(*train), "1 of its 8 images", gone.name, "--skip-broken")
    sorted((data / "val").iterdir())[0].unlink()
    outcome = detzoo(*train, "--skip-broken", "--out", "run")
    assert outcome.code == 1, outcome
    assert "train  5 images" in outcome.out
    assert "val    3 images" in outcome.out
    end = outcome.out[outcome.out.index("left out as broken: 4 images") :]
    for file, fault in ((gone, "no such image"), (cut, "decoded"), (small, "is 32 x 32 pixels")):
        assert file.name in end
        assert fault in end
    test = detzoo("test", "run/best.pt", "--data", data, "--skip-broken", *MACHINE)
    assert test.code == 1
    assert "left out as broken: 1 image\n" in test.out


def test_exif_rotation_is_ignored_where_boxes_ignore_it(
    detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    sizes, boxes = [(48, 64)] * 8, [annotation(k, k, (4, 4, 20, 20)) for k in range(1, 9)]
    for split in ("train", "val"):
        write_coco(data, sizes, boxes, split=split)
    for file in [*(data / "train").iterdir(), *(data / "val").iterdir()]:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(file).save(file, exif=exif)
    train = ("train", tiny, *FAST, "--data", data, "--out", "run")
    assert_refused(detzoo(*train), "48 x 64 pixels", "declares 64 x 48", "--ignore-exif")
    outcome = detzoo(*train, "--ignore-exif")
    assert outcome.code == 0, outcome
    assert "--ignore-exif" in outcome.out
    assert_repeated(detzoo, "run", outcome.out)


def test_image_folders_of_several_files(detzoo: Run, tiny: Path, scenes: Path) -> None:
    files = [scenes / "annotations" / f"{split}.json" for split in ("train", "val")]
    options = [part for file in files for part in ("--data", file)]
    folders = [part for split in ("train", "val") for part in ("--images", scenes / split)]
    outcome = detzoo("train", tiny, *FAST, *options, *folders, "--val-fraction", 0, "--out", "run")
    assert outcome.code == 0, outcome
    assert "train  12 images, " in outcome.out
    outcome = detzoo("train", tiny, *FAST, *options, *options, *folders)
    assert_refused(outcome, "--images: given 2 times for 4 data sets")


def test_options_of_a_run_from_before_sets_were_joined(tmp_path: Path) -> None:
    options = {"data": "/d", "images": None, "val": None, "val_images": "/v", "split": "train"}
    lists: dict[str, list[str]] = {"settings": [], "imports": [], "loggers": [], "callbacks": []}
    (tmp_path / "run.json").write_text(json.dumps({"options": options | lists}))
    read = read_options(tmp_path)
    assert read is not None
    assert (read.data, read.images, read.val, read.val_images) == (("/d",), (), (), ("/v",))


def test_a_division_is_written_as_training_makes_it(
    detzoo: Run, tiny: Path, train_only: Path
) -> None:
    outcome = detzoo("data", "split", train_only, "divided", "--fold", "2/4", "--to", "yolo")
    assert outcome.code == 0, outcome
    assert detzoo(
        "train", tiny, *FAST, "--data", train_only, "--fold", "2/4", "--out", "run"
    ).code == 0  # fmt: skip
    (kept,) = json.loads(Path("run/split.json").read_text())["sets"]
    for split in ("train", "val"):
        data = open_dataset("divided", split)
        assert sorted(data.file_names[i] for i in range(len(data))) == sorted(kept[split])
    outcome = detzoo("data", "split", train_only, "divided")
    assert_refused(outcome, "divided", "is there already")
    both = ("--fold", "1/2", "--val-fraction", ".2")
    assert_refused(detzoo("data", "split", train_only, "other", *both), "--fold", "one of the two")
    outcome = detzoo("data", "split", train_only, "other", "--val-fraction", "1")
    assert_refused(outcome, "--val-fraction 1", "between 0 and 1")


def test_broken_images_whose_size_is_not_declared(detzoo: Run, tiny: Path, tmp_path: Path) -> None:
    """They cannot even be opened, and are left out all the same; malformed labels are not."""
    names = [f"{k}.png" for k in range(4)]
    files = {f"images/{name}": "" for name in names}
    files |= {f"labels/{k}.txt": "0 .5 .5 .4 .4\n" for k in range(4)}
    files |= {"train.txt": "".join(f"images/{name}\n" for name in names)}
    root = write(tmp_path / "data", {**files, "data.yaml": "train: train.txt\nnames: [cat]\n"})
    (root / "images" / "1.png").write_bytes(b"no image")
    (root / "images" / "2.png").unlink()
    train = ("train", tiny, *FAST, "--data", root, "--val-fraction", 0)
    assert_refused(detzoo(*train), "1 of its 4 images", "2.png", "--skip-broken")
    outcome = detzoo(*train, "--skip-broken", "--out", "run")
    assert outcome.code == 1, outcome
    assert "train  2 images" in outcome.out
    end = outcome.out[outcome.out.index("left out as broken: 2 images") :]
    assert "1.png" in end
    assert "2.png" in end
    (root / "labels" / "3.txt").write_text("0 .5 .5\n")
    assert_refused(detzoo(*train, "--skip-broken"), "3.txt: line 1: holds 3 numbers")


def test_ignored_objects_are_told_once(detzoo: Run, tiny: Path, tmp_path: Path) -> None:
    objects = [annotation(k, k, (4, 4, 20, 20)) for k in (1, 2)]
    objects.append(annotation(3, 1, (8, 8, 30, 30), iscrowd=1))
    write_coco(tmp_path / "data", [(64, 64)] * 2, objects)
    outcome = detzoo("train", tiny, *FAST, "--data", tmp_path / "data", "--out", "run")
    assert outcome.code == 0, outcome
    assert outcome.out.count("1 object ignored") == 1, outcome.out


@pytest.mark.slow
@pytest.mark.parametrize("rule", [("--val-fraction", ".2"), ("--fold", "2/3")])
def test_held_out_balloons(tiny: Path, tmp_path: Path, rule: tuple[str, str]) -> None:
    """Real photos, each command in a process of its own."""
    data = tmp_path / "data"
    shutil.copytree(shared("data", "balloon", "train"), data / "train")
    shutil.copytree(shared("data", "balloon", "annotations"), data / "annotations")
    (data / "annotations" / "val.json").unlink()

    def run(*words: object) -> Outcome:
        command = [sys.executable, "-m", "detzoo", *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, text=True, capture_output=True, env=os.environ | PATHS
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    # Scores of a model that has hardly learned are low, and still tell its images from others.
    settings = ("--set", "model.bbox_head.select.min_score=0", "--set", "optimizer.lr=0.01")
    train = ("train", tiny, *FAST, *settings, "--data", data, *rule)
    outcome = run(*train, "--out", "run")
    assert outcome.code == 0, outcome
    division = json.loads((tmp_path / "run" / "split.json").read_text())
    (part,) = division["sets"]
    assert len(part["train"]) + len(part["val"]) == 61
    assert_repeated(run, tmp_path / "run", outcome.out, tmp_path / "again.json")
    resumed = run("train", "--resume", "--out", "run", "--epochs", 2)
    assert resumed.code == 0, resumed
    assert json.loads((tmp_path / "run" / "split.json").read_text()) == division
    assert_repeated(run, tmp_path / "run", resumed.out, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["metrics"]["bbox/AP"] > 0

    # Images that are added move no others, in a run that divides again.
    file = data / "annotations" / "train.json"
    content = json.loads(file.read_text())
    for k, image in enumerate([*content["images"][:5]]):
        content["images"].append({**image, "id": 1000 + k, "file_name": f"later{k}_photo.jpg"})
        shutil.copy(data / "train" / image["file_name"], data / "train" / f"later{k}_photo.jpg")
    file.write_text(json.dumps(content))
    assert run(*train, "--out", "new").code == 0
    (new,) = json.loads((tmp_path / "new" / "split.json").read_text())["sets"]
    assert set(part["train"]) <= set(new["train"])
    assert set(part["val"]) <= set(new["val"])
    assert len(new["train"]) + len(new["val"]) == 66
