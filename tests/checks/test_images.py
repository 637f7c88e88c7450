"""Checks of image files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detzoo.checks import images as images_module
from detzoo.checks.finding import Finding, Place, Split
from detzoo.checks.images import read_files
from detzoo.checks.page import page
from detzoo.checks.run import check_all
from detzoo.checks.thumbnails import thumbnails
from detzoo.data.locate import open_dataset
from tests.checks.planted import HEIGHT, WIDTH, box, picture, plant, reopen
from tests.shared import shared

OBJECTS = [box(1, 2, 30, 20, image=k) for k in (1, 2, 3)]


def only(findings: list[Finding], kind: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.kind == kind)
    return finding


def names_of(finding: Finding) -> list[str]:
    return [place.split.dataset.file_names[place.image] for place in finding.places]


def test_nothing_is_found_in_a_clean_set(tmp_path: Path) -> None:
    splits = [
        plant(tmp_path, OBJECTS, images=3, classes=["cat"]),
        plant(tmp_path, OBJECTS, images=3, classes=["cat"], split="val", seed=10),
    ]
    assert check_all(splits) == []


def test_every_image_counts_in_the_progress(tmp_path: Path) -> None:
    calls: list[int] = []
    check_all([plant(tmp_path, OBJECTS, images=3)], lambda: calls.append(1))
    assert len(calls) == 3


def test_missing_and_damaged_images(tmp_path: Path) -> None:
    split = plant(tmp_path, [*OBJECTS, box(3, 3, 9, 9, image=4)], images=5)
    folder = tmp_path / "train"
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:-200])
    (folder / "3.png").write_bytes(b"")
    (folder / "4.png").write_text("<html>not found</html>")
    findings = check_all([split])
    missing = only(findings, "image-missing")
    assert names_of(missing) == ["1.png"]
    assert missing.severity == "error"
    damaged = only(findings, "image-unreadable")
    assert names_of(damaged) == ["2.png", "3.png", "4.png"]
    assert "empty" in damaged.places[1].note
    assert str(tmp_path) not in damaged.places[1].note


def test_a_jpeg_that_was_cut_off(tmp_path: Path) -> None:
    split = plant(tmp_path, OBJECTS[:2])
    data = cv2.imencode(".jpg", picture(1))[1].tobytes()
    (tmp_path / "train" / "1.png").write_bytes(data[: len(data) // 2])
    assert names_of(only(check_all([split]), "image-unreadable")) == ["1.png"]


def test_wrong_declared_sizes(tmp_path: Path) -> None:
    """Boxes are held against the true size: what lies within it is no second finding."""
    split = plant(tmp_path, [box(100, 2, 30, 20), box(1, 2, 30, 20, image=2)])
    larger = cv2.resize(picture(1), (2 * WIDTH, 2 * HEIGHT))
    cv2.imwrite(str(tmp_path / "train" / "1.png"), larger)
    findings = check_all([split])
    finding = only(findings, "wrong-size")
    assert finding.title == "images of another size than declared: 1 of 2"
    assert finding.places[0].note == "declared 80 x 60, is 160 x 120"
    assert "only the sizes are wrong" in finding.advice
    assert [f.kind for f in findings if f.is_fault] == ["wrong-size"]


def test_masks_are_of_the_declared_size(tmp_path: Path) -> None:
    """Run lengths mean nothing in another size: box and mask agree as they are declared."""
    rle = {"size": [60, 80], "counts": [610, 20, *[40, 20] * 19, 80 * 60 - 610 - 20 - 19 * 60]}
    objects = [box(10, 10, 20, 20, segmentation=rle), box(1, 2, 30, 20, image=2, iscrowd=1)]
    split = plant(tmp_path, objects)
    cv2.imwrite(str(tmp_path / "train" / "1.png"), cv2.resize(picture(1), (160, 100)))
    findings = check_all([split])
    assert [f.kind for f in findings if f.is_fault] == ["wrong-size"]
    assert page("", [split], findings).to_html().count("data:image") == 2


def test_boxes_of_other_versions_of_the_images(tmp_path: Path) -> None:
    split = plant(tmp_path, [box(50, 2, 30, 20), box(1, 2, 30, 20, image=2)])
    cv2.imwrite(str(tmp_path / "train" / "1.png"), cv2.resize(picture(1), (40, 30)))
    findings = check_all([split])
    assert "other versions" in only(findings, "wrong-size").advice
    assert only(findings, "box-off-image").places[0].image == 0


def test_images_that_are_turned(tmp_path: Path) -> None:
    split = plant(tmp_path, OBJECTS[:2])
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(picture(1)[..., ::-1].copy())
    stored.save(tmp_path / "train" / "1.png", "jpeg", exif=exif)
    findings = check_all([split])
    assert only(findings, "image-turned").places[0].note == "orientation 6"
    note = only(findings, "wrong-size").places[0].note
    assert note == "declared 80 x 60, is 60 x 80, turned by its EXIF tag"


def test_images_as_they_lie_in_the_file(tmp_path: Path) -> None:
    split = plant(tmp_path, OBJECTS[:2])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(1)[..., ::-1].copy()).save(
        tmp_path / "train" / "1.png", "jpeg", exif=exif
    )
    split = replace(split, dataset=replace(split.dataset, ignore_exif=True))
    findings = check_all([split])
    assert {f.kind for f in findings} == {"class-without-objects"}
    assert thumbnails(Place(split, 0))


def test_identical_images(tmp_path: Path) -> None:
    train = plant(tmp_path, OBJECTS, images=3)
    val = plant(tmp_path, OBJECTS, images=3, split="val", seed=10)
    shutil.copy(tmp_path / "train" / "1.png", tmp_path / "train" / "3.png")
    shutil.copy(tmp_path / "train" / "2.png", tmp_path / "val" / "1.png")
    findings = check_all([train, val])
    (pair,) = only(findings, "identical-images").places
    assert (pair.image, pair.twin and pair.twin.image) == (0, 2)
    across = only(findings, "identical-images-across-splits")
    assert across.title == "images of val identical to images of train: 1 of 3"
    assert across.split == "train, val"
    assert across.places[0].twin is not None
    assert across.places[0].twin.split.name == "val"
    # What is identical is not said to be similar as well.
    assert not [f for f in findings if f.kind.startswith("similar-images")]


@pytest.mark.parametrize("how", ["small", "quality", "bright"])
def test_images_that_look_alike(tmp_path: Path, how: str) -> None:
    train = plant(tmp_path, OBJECTS, images=3)
    val = plant(tmp_path, OBJECTS, images=3, split="val", seed=10)
    image, suffix, options = picture(2), ".png", ()
    if how == "small":
        image = cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    elif how == "quality":
        suffix, options = ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 40)
    else:
        image = cv2.convertScaleAbs(image, alpha=0.8, beta=30)
    data = cv2.imencode(suffix, image, options)[1].tobytes()
    (tmp_path / "val" / "1.png").write_bytes(data)
    finding = only(check_all([train, val]), "similar-images-across-splits")
    assert finding.is_fault
    assert [(place.image, place.twin and place.twin.image) for place in finding.places] == [(1, 0)]


def test_many_images_are_compared_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detzoo.checks.similar._ROWS", 2)
    split = plant(tmp_path, OBJECTS, images=7)
    for k in (4, 7):
        image = cv2.convertScaleAbs(picture(1), alpha=0.9, beta=10 + k)
        cv2.imwrite(str(tmp_path / "train" / f"{k}.png"), image)
    finding = only(check_all([split]), "similar-images")
    pairs = [(place.image, place.twin and place.twin.image) for place in finding.places]
    assert pairs == [(0, 3), (0, 6)]
    assert not finding.is_fault


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module.importlib.util, "find_spec", lambda _: None)
    split = plant(tmp_path, OBJECTS, images=3)
    shutil.copy(tmp_path / "train" / "1.png", tmp_path / "train" / "3.png")
    assert [f.kind for f in check_all([split]) if f.is_fault] == ["identical-images"]


def test_photos_and_micrographs_are_told_apart() -> None:
    """Of all pairs of these images, only two shots of one field of view look alike."""
    data = open_dataset(shared("data", "bccd"), "train")
    chosen = [i for i in range(len(data)) if 30 <= int(data.file_names[i][-9:-4]) < 60]
    val = open_dataset(shared("data", "bccd"), "val")
    other = [i for i in range(len(val)) if 30 <= int(val.file_names[i][-9:-4]) < 60]
    splits = [Split("train", data.take(chosen)), Split("val", val.take(other))]
    (finding,) = (f for f in check_all(splits) if "images" in f.kind)
    (place,) = finding.places
    assert place.twin is not None
    assert names_of(finding) == ["BloodImage_00038.jpg"]
    assert val.take(other).file_names[place.twin.image] == "BloodImage_00037.jpg"


def test_a_set_that_opens_only_unchecked(tmp_path: Path) -> None:
    plant(tmp_path, OBJECTS, images=3)
    (tmp_path / "train" / "2.png").unlink()
    assert len(read_files(reopen(tmp_path).dataset)) == 3


@pytest.mark.parametrize("bbox", [(9000, 1, 10, 10), (-500, 5, 9, 9), (5, 61, 9, 9)])
def test_the_image_is_seen_where_a_box_is_far_from_it(
    tmp_path: Path, bbox: tuple[float, ...]
) -> None:
    (shown,) = thumbnails(Place(plant(tmp_path, [box(*bbox)]), 0, (0,)))
    pixels = cv2.imdecode(np.frombuffer(shown.jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int)
    gray = (np.abs(pixels - 128) < 12).all(2)
    assert 0.1 < gray.mean() < 0.6
