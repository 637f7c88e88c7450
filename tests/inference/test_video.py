"""Videos: reading them, writing them, following and hiding what is in them."""

from __future__ import annotations

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from detzoo.errors import DataError
from detzoo.inference.hide import hide
from detzoo.inference.result import Result
from detzoo.inference.selection import Selection
from detzoo.inference.tracking import Tracker
from detzoo.inference.video import Video, VideoWriter, is_live, live_stem
from detzoo.structures import BitmapMasks, Detections

NAMES = ("cat", "dog")


def write_film(path: Path, count: int = 12, size: tuple[int, int] = (48, 64)) -> None:
    """Frame k is gray of value 10 k."""
    with VideoWriter(path, size, 10.0) as writer:
        for k in range(count):
            writer.write(np.full((*size, 3), 10 * k, np.uint8), k / 10)


def test_written_frames_are_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.mp4")  # a name that is not UTF-8
    write_film(path, size=(49, 65))
    path = path.rename(tmp_path / "film.mp4")
    with Video(path) as video:
        assert (video.rate, video.count, video.size) == (10.0, 12, (50, 66))
        frames = list(video.frames(every=5))
    assert [frame.index for frame in frames] == [0, 5, 10]
    assert [frame.seconds for frame in frames] == [0, 0.5, 1.0]
    assert [round(frame.image.mean() / 10) for frame in frames] == [0, 5, 10]


def test_browsers_play_it(tmp_path: Path) -> None:
    """H.264 with halved colors, and the index before the pictures."""
    path = tmp_path / "film.mp4"
    write_film(path)
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_frames_are_shown_when_they_came(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with VideoWriter(path, (48, 64), 30.0) as writer:
        for seconds in (0.0, 0.1, 2.0, 2.0):  # one came late, two at once
            writer.write(np.zeros((48, 64, 3), np.uint8), seconds)
    with av.open(path) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.1, 2, 2], abs=1e-3)
    assert times[3] > times[2]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/x.mp4: this video cannot be written \(No such file"):
        VideoWriter(tmp_path / "none" / "x.mp4", (48, 64), 30.0)
    if Path("/dev/full").exists():
        with pytest.raises(DataError, match="No space left"):
            write_film(Path("/dev/full"))


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no film")
    with pytest.raises(DataError, match="no frame of this video can be read"):
        Video(tmp_path / "x.mp4")


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("0", "camera-0"),
        ("12", "camera-12"),
        ("rtsp://user:secret@camera:554/front/door.sdp?x=1", "door"),
        ("HTTP://camera/", "camera"),
    ],
)
def test_cameras_and_streams(text: str, stem: str) -> None:
    assert is_live(text)
    assert live_stem(text) == stem


def test_files_are_not_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("0").touch()
    assert not any(map(is_live, ("0", "film.mp4", "-1", "1.5", "s3://x/y.mp4")))


# ------------------------------------------------------------------------------ tracking


def result(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Result:
    classes = torch.tensor(labels, dtype=torch.int64)
    found = Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), classes)
    return Result(found, NAMES, np.zeros((100, 200, 3), np.uint8))


def test_objects_keep_their_numbers() -> None:
    """Two that cross, one with a low score for a while; a third is below the threshold."""
    pytest.importorskip("trackers")
    tracker = Tracker(Selection.of(NAMES, "0.5,dog=0.8"), rate=10.0)
    assert tracker.lowest == 0.1
    seen = []
    for k in range(12):
        weak = 0.2 if 5 <= k < 8 else 0.9
        found = tracker(
            result(
                [
                    [10 * k, 10, 10 * k + 30, 50],
                    [150 - 10 * k, 60, 180 - 10 * k, 95],
                    [0, 90, 9, 99],
                ],
                [weak, 0.9, 0.7],
                [0, 1, 1],
            ),
            k / 10,
        )
        assert found.tracks is not None
        seen.append(list(zip(found.names, found.tracks.tolist())))
    assert seen[0] == [("cat", -1), ("dog", -1)]  # from the second frame on
    cat, dog = dict(seen[1])["cat"], dict(seen[1])["dog"]
    assert {cat, dog} == {0, 1}
    assert all(dict(frame) == {"cat": cat, "dog": dog} for frame in seen[1:])


def test_a_lost_object_is_forgotten() -> None:
    pytest.importorskip("trackers")
    tracker = Tracker(Selection.of(NAMES, "0.5"), rate=10.0)

    def numbers(seconds: float, *, is_there: bool) -> list[int]:
        found = result([[10, 10, 50, 50]] * is_there, [0.9] * is_there, [0] * is_there)
        tracks = tracker(found, seconds).tracks
        assert tracks is not None
        return tracks.tolist()

    steps = [numbers(k / 10, is_there=k < 3) for k in range(6)]
    assert steps == [[-1], [0], [0], [], [], []]
    assert numbers(0.6, is_there=True) == [0]
    for k in range(7, 30):
        assert numbers(k / 10, is_there=False) == []
    assert [numbers(k / 10, is_there=True) for k in (30, 31)] == [[-1], [1]]


def test_other_classes_are_not_tracked() -> None:
    pytest.importorskip("trackers")
    tracker = Tracker(Selection.of(NAMES, "0.5", classes=["dog"]), rate=10.0)
    for k in range(3):
        found = tracker(result([[0, 0, 9, 9], [20, 20, 90, 90]], [0.9, 0.9], [0, 1]), k / 10)
        assert found.names == ["dog"]


def test_numbers_are_shown() -> None:
    found = result([[10, 10, 60, 60]], [0.9], [0])
    plain = found.draw()
    tracked = Result(found.detections, NAMES, found.image, tracks=torch.tensor([7]))
    assert (tracked.draw() != plain).any()
    assert tracked.to_json()["detections"][0]["track"] == 7
    assert "track" not in found.to_json()["detections"][0]


# -------------------------------------------------------------------------------- hiding


def text_image() -> np.ndarray:
    image = np.full((100, 200, 3), 255, np.uint8)
    cv2.putText(image, "SECRET", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 3)
    return image


def test_boxes_are_hidden() -> None:
    image = text_image()
    found = result([[10.0, 20.0, 170.5, 80.0]], [0.9], [0])
    hidden = hide(Result(found.detections, NAMES, image))
    outside = np.ones((100, 200), bool)
    outside[20:80, 10:171] = False
    assert (hidden[outside] == image[outside]).all()
    # No edge of a letter is left: neighboring pixels differ by little.
    steps = np.abs(np.diff(hidden[20:80, 10:171, 0].astype(int), axis=1))
    assert np.abs(np.diff(image[20:80, 10:171, 0].astype(int), axis=1)).max() > 200
    assert steps.max() < 16
    assert (image == text_image()).all()


def test_masks_are_hidden() -> None:
    image = text_image()
    mask = torch.zeros(1, 100, 200, dtype=torch.uint8)
    mask[0, 30:70, 20:100] = 1
    boxes = torch.tensor([[20.0, 30.0, 100.0, 70.0]])
    found = Detections(boxes, torch.tensor([0.9]), torch.tensor([0]), BitmapMasks(mask))
    hidden = hide(Result(found, NAMES, image))
    changed = (hidden != image).any(-1)
    assert changed[30:70, 20:100].mean() > 0.9
    assert not changed[:, 110:].any()
    assert not changed[:20].any()


@pytest.mark.parametrize("box", [[0.0, 0.0, 0.0, 0.0], [-5, -5, 300, 300], [199.5, 99.5, 200, 100]])
def test_boxes_of_all_kinds_are_hidden(box: list[float]) -> None:
    found = result([box], [0.9], [0])
    gray = np.zeros((100, 200, 1), np.uint8)
    assert hide(Result(found.detections, NAMES, gray)).shape == gray.shape
