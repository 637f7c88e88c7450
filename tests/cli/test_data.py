"""``detzoo data``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from detzoo.data import published
from detzoo.quickstart.scenes import write_scenes
from tests.checks.planted import box, plant, plant_unread
from tests.cli.conftest import Run, assert_refused
from tests.data.files import write_voc

CLEAN = [box(1, 2, 30, 20), box(9, 9, 20, 30, image=2)]


def test_check_of_a_clean_set(detzoo: Run, scenes: Path) -> None:
    done = detzoo("data", "check", scenes)
    assert done.code == 0, done
    assert done.out.endswith("no faults found\n")


def test_check_names_all_faults(detzoo: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    plant(data, [*CLEAN, box(70, 2, 30, 20)], classes=["cat"])
    plant(data, [*CLEAN, box(3, 3, 0, 0)], classes=["cat"], split="val", seed=10)
    (data / "train" / "2.png").unlink()
    done = detzoo("data", "check", data, "-o", "checked", "--json", "faults.json")
    assert done.code == 1
    first, *_ = done.out.splitlines()
    assert first == "error    train  missing images: 1 of 2"
    assert "train  boxes that reach outside their images: 1 of 3" in done.out
    assert "val    boxes under a pixel wide or high: 1 of 3" in done.out
    findings = json.loads(Path("faults.json").read_text())["findings"]
    assert [one["kind"] for one in findings] == [
        "image-missing",
        "box-outside-image",
        "box-under-a-pixel",
    ]
    assert findings[0]["places"] == [{"split": "train", "file": str(data / "train" / "2.png")}]
    (place,) = findings[1]["places"]
    assert place["note"] == "by 20 pixels"
    assert place["objects"] == [{"id": 3, "class": "cat", "bbox": [70.0, 2.0, 30.0, 20.0]}]
    page = Path("checked", "report.html").read_text("utf-8")
    assert "Boxes that reach outside their images: 1 of 3 (train)" in page
    assert page.count("data:image/jpeg") == 2  # the missing image has none
    assert str(data / "train" / "2.png") in page


def test_check_of_one_split(detzoo: Run, tmp_path: Path) -> None:
    plant(tmp_path, [*CLEAN, box(70, 2, 30, 20)], classes=["cat"])
    plant(tmp_path, CLEAN, classes=["cat"], split="val", seed=10)
    assert detzoo("data", "check", tmp_path, "--split", "val").code == 0
    assert detzoo("data", "check", tmp_path, "--split", "train").code == 1


def test_check_of_files(detzoo: Run, tmp_path: Path) -> None:
    """Each is called by what tells it from the others."""
    splits = ("train", "val")
    for split in splits:
        plant(tmp_path, CLEAN, classes=["cat"], split=split)
    files = [tmp_path / "annotations" / f"{split}.json" for split in splits]
    done = detzoo("data", "check", *files)
    assert done.code == 1
    assert "images of val identical to images of train: all 2\n" in done.out


def test_check_of_several_folders(detzoo: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        plant(tmp_path / name / "data", CLEAN, classes=["cat"])
    done = detzoo("data", "check", tmp_path / "a" / "data", tmp_path / "b" / "data")
    assert done.code == 1
    assert "images of b/data/train identical to images of a/data/train: all 2\n" in done.out


def test_check_against_a_model(detzoo: Run, scenes: Path, tiny: Path) -> None:
    done = detzoo("data", "check", scenes, "--model", tiny, "-o", "checked")
    assert done.code in (0, 1)
    page = Path("checked", "report.html").read_text("utf-8")
    assert "pixels of the model's input" in page
    assert "anchors" in page


def test_check_says_what_it_did_not_check(
    detzoo: Run, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "not checked: images that look alike" in detzoo("data", "check", scenes).out


def test_check_of_nothing(detzoo: Run, tmp_path: Path) -> None:
    assert detzoo("data", "check", "nowhere").code == 2
    done = detzoo("data", "check", tmp_path)
    assert done.code == 2
    assert str(tmp_path) in done.error


def test_where_nothing_can_be_written(detzoo: Run, scenes: Path, tiny: Path) -> None:
    Path("file").write_text("")
    for arguments in (
        ("check", scenes, "-o", "file"),
        ("check", scenes, "--json", "nowhere/faults.json"),
        ("browse", scenes, "--model", tiny, "-o", "file"),
        ("convert", scenes, "file", "--to", "coco"),
    ):
        assert detzoo("data", *arguments).code == 2, arguments


def test_browse(detzoo: Run, scenes: Path, tiny: Path) -> None:
    done = detzoo("data", "browse", scenes, "--model", tiny, "--count", 2)
    assert done.code == 0, done
    folder = Path("runs", "browse-1")
    pictures = sorted(file.name for file in folder.glob("*.jpg"))
    assert [name.partition("_")[0] for name in pictures] == ["001", "001", "002", "002"]
    assert {name.rpartition("_")[2] for name in pictures} == {"before.jpg", "after.jpg"}
    assert (folder / "report.html").read_text("utf-8").count("data:image/jpeg") == 4
    assert str(folder / "report.html") in done.out


def test_browse_without_broken_images(detzoo: Run, tmp_path: Path, tiny: Path) -> None:
    data = tmp_path / "data"
    write_scenes(data, "train", 3, size=64, seed=1)
    broken = sorted((data / "train").iterdir())[0]
    broken.write_bytes(b"\xff\xd8 no image")
    done = detzoo("data", "browse", data, "--model", tiny, "--skip-broken", "-o", "seen")
    assert done.code == 1
    assert "left out as broken: 1 image" in done.out
    assert broken.name in done.out
    assert len(list(Path("seen").glob("*.jpg"))) == 4


def test_browse_of_another_seed_differs(detzoo: Run, scenes: Path, tiny: Path) -> None:
    for seed in (1, 2):
        detzoo("data", "browse", scenes, "--model", tiny, "-n", 3, "--seed", seed, "-o", seed)
    names = [sorted(file.name for file in Path(seed).glob("*.jpg")) for seed in "12"]
    assert names[0] != names[1]


def test_convert(detzoo: Run, scenes: Path) -> None:
    done = detzoo("data", "convert", scenes, "out", "--to", "yolo")
    assert done.code == 0, done
    assert done.out.splitlines() == ["12 images of train, val: out"]
    assert Path("out", "data.yaml").is_file()
    assert detzoo("data", "convert", scenes, "out", "--to", "coco").code == 2


def test_convert_counts_what_it_leaves_out(detzoo: Run, scenes: Path) -> None:
    done = detzoo("data", "convert", scenes, "out", "--to", "voc", "--split", "val")
    assert done.code == 1
    first, second, *_ = done.out.splitlines()
    assert first == "4 images of val: out"
    assert second.endswith("masks left out: VOC's XML has none")


def test_training_says_in_brief_what_is_wrong(detzoo: Run, tmp_path: Path, tiny: Path) -> None:
    data = tmp_path / "data"
    plant(data, [*CLEAN, box(70, 2, 30, 20)], classes=["cat"])
    plant(data, CLEAN, classes=["cat"], split="val", seed=10)
    done = detzoo("train", tiny, "--data", data, "--epochs", 1, "--out", "run", "--device", "cpu")
    assert done.code == 0, done
    lines = done.out.splitlines()
    place = lines.index("  warning: boxes that reach outside their images: 1 of 3")
    assert lines[place + 1] == "  detzoo data check shows where, and what to do"
    assert done.out.count("data check") == 1


def test_check_reads_on_after_what_cannot_be_read(detzoo: Run, tmp_path: Path) -> None:
    """All entries that are malformed are told at once, together with what is found in the rest."""
    objects = [
        box(70, 2, 30, 20),
        box(1, 2, 3, "x"),
        *[box(1, 2, 3, 4, image=2) for _ in range(12)],
    ]
    for item in objects[2:]:
        item["category_id"] = 77
    plant_unread(tmp_path, objects)
    done = detzoo("data", "check", tmp_path, "-o", "checked", "--json", "faults.json")
    assert done.code == 1, done
    assert "error    train  entries of annotations that cannot be read: 13" in done.out
    assert done.out.count("no category has the category_id 77") == 9
    assert "and 3 more (--json FILE lists them all)" in done.out
    assert "boxes that reach outside their images: 1 of 1" in done.out
    first, *_ = json.loads(Path("faults.json").read_text())["findings"]
    assert first["kind"] == "annotation-unreadable"
    assert len(first["messages"]) == 13
    assert "annotation with id 2: its bbox" in first["messages"][0]
    assert Path("checked", "report.html").read_text("utf-8").count("category_id 77") == 12


def test_check_of_a_split_that_cannot_be_opened(detzoo: Run, tmp_path: Path) -> None:
    """The others are checked; without any, there is nothing to check."""
    plant(tmp_path, CLEAN, classes=["cat"])
    (tmp_path / "annotations" / "val.json").write_text("{")
    done = detzoo("data", "check", tmp_path, "-o", "checked")
    assert done.code == 1
    assert "error    val  cannot be opened" in done.out
    assert "val.json: is not valid JSON" in done.out
    assert "Cannot be opened (val)" in Path("checked", "report.html").read_text("utf-8")
    voc = write_voc(tmp_path / "voc", {"a": "<object>", "b": "<x"}, {"train": ["a", "b"]})
    done = detzoo("data", "check", voc)
    assert_refused(done, "none of its images can be read", "a.xml", "b.xml", "is not valid XML")


@pytest.mark.parametrize("command", ["convert", "split"])
def test_broken_images_are_not_written(detzoo: Run, tmp_path: Path, command: str) -> None:
    objects = [box(1, 2, 30, 20, image=k) for k in range(1, 13)]
    plant(tmp_path / "in", objects, images=12, classes=["cat"])
    (tmp_path / "in" / "train" / "3.png").write_bytes(b"no image")
    (tmp_path / "in" / "train" / "4.png").unlink()
    words = ("data", command, tmp_path / "in", "out", "--to", "coco")
    assert_refused(detzoo(*words), "1 of its 12 images", "--skip-broken")
    done = detzoo(*words, "--skip-broken")
    assert done.code == 1, done
    assert "left out as broken: 2 images" in done.out
    assert len([*Path("out").rglob("*.png")]) == 10


def test_get(detzoo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"PK\x05\x06" + bytes(18)  # an empty zip file
    archive = published.Archive(
        ("http://127.0.0.1:9/small.zip",), len(content), hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(published.DATA_SETS, "coco2017", (archive,))
    Path("data/coco2017").mkdir(parents=True)
    Path("data/coco2017/small.zip").write_bytes(content)
    outcome = detzoo("data", "get", "coco2017")
    assert outcome.code == 0, outcome
    assert "done: --data data/coco2017" in outcome.out
    assert [path.name for path in Path("data/coco2017").iterdir()] == [".small.zip.unpacked"]
    assert "is there already" in detzoo("data", "get", "coco2017").out
    assert_refused(detzoo("data", "get", "coco"), "coco: is not one of coco2017, lvis")
    Path("file").touch()
    assert_refused(detzoo("data", "get", "voc2007", "-o", "file"), "--out file: is a file")
