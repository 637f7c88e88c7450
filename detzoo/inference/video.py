"""Frames of videos, cameras and streams, and videos that browsers play."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from typing_extensions import Self

from detzoo.errors import DataError
from detzoo.files import check_regular

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "rtp", "srt")
_ADDRESS = re.compile(rf"({'|'.join(STREAM_SCHEMES)})://", re.IGNORECASE)
# Of videos that do not say it.
_DEFAULT_RATE = 25.0
# Times in the files that are written, in parts of a second.
_TIME_BASE = Fraction(1, 90_000)


@dataclass(frozen=True)
class Frame:
    """A frame of a video: its number from 0, its time in seconds, and (H, W, 3) uint8 BGR."""

    index: int
    seconds: float
    image: np.ndarray


class Video:
    """A video file, a camera or a stream, to read its frames once.

    ``source`` is a file, the number of a camera ("0") or the address of a stream. ``rate`` is in
    frames per second, ``count`` the number of frames, None where it is not known; ``size`` is
    (height, width). Frames of cameras and streams have the time at which they came. Raises
    :class:`DataError` for what OpenCV cannot open.
    """

    def __init__(self, source: str | Path) -> None:
        self.name = str(source)
        self.is_live = is_live(self.name)
        self._capture = self._open()
        first = self._read()
        if first is None:
            self.close()
            raise DataError(
                f"{self.name}: no frame can be read. Is the camera connected, or the stream there?"
                if self.is_live
                else f"{self.name}: no frame of this video can be read; is it a video?"
            )
        self._first = first
        self.size = first.shape[0], first.shape[1]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate < 1000 else _DEFAULT_RATE
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 and not self.is_live else None

    def _open(self) -> Any:
        if self.name.isdecimal() and self.is_live:
            capture = cv2.VideoCapture(int(self.name))
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one of seconds ago
            return capture
        if not self.is_live:
            check_regular(self.name)
            if not _is_utf8(self.name):
                raise DataError(
                    f"{self.name}: OpenCV cannot open a video whose path is not UTF-8. Rename it."
                )
        return cv2.VideoCapture(self.name)

    def _read(self) -> np.ndarray | None:
        is_there, frame = self._capture.read()
        return frame if is_there else None

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Every ``every``-th frame, decoded as it is asked for; those between are skipped."""
        start = time.monotonic()
        index, image = 0, self._first
        while True:
            seconds = time.monotonic() - start if self.is_live else index / self.rate
            yield Frame(index, seconds, image)
            for _ in range(every - 1):
                if not self._capture.grab():
                    return
            following = self._read()
            if following is None:
                return
            index, image = index + every, following

    def close(self) -> None:
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self.close()


def is_live(source: str) -> bool:
    """Whether it is the number of a camera or the address of a stream, and no file is called so."""
    if _ADDRESS.match(source):
        return True
    return source.isdecimal() and source.isascii() and not Path(source).exists()


def live_stem(source: str) -> str:
    """What files on a camera or stream are called."""
    if source.isdecimal():
        return f"camera-{source}"
    last = source.partition("?")[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w-]+", "-", last.rpartition(".")[0] or last).strip("-") or "stream"


class VideoWriter:
    """Writes an MP4 of H.264, which every browser plays, frame by frame.

    ``size`` is (height, width); odd ones get a row or column more, as H.264 halves colors. Raises
    :class:`DataError` where ``path`` cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        import av

        self._path = path
        self._more = size[0] % 2, size[1] % 2
        self._last = -1
        with self._writing():
            # FFmpeg takes no name that is not UTF-8. With the index in front (faststart), browsers
            # play while they load.
            self._file = open(path, "wb")  # noqa: SIM115
            options = {"movflags": "faststart"}
            self._container = av.open(self._file, "w", format="mp4", options=options)
            self._stream = self._container.add_stream(
                "libx264",
                rate=Fraction(rate).limit_denominator(1001),
                options={"crf": "23", "preset": "veryfast"},
            )
        self._stream.height, self._stream.width = size[0] + self._more[0], size[1] + self._more[1]
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _TIME_BASE

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Appends a picture (H, W, 3) uint8 BGR, shown from ``seconds`` after the start."""
        import av

        if any(self._more):
            below, right = self._more
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        self._last = max(round(seconds / _TIME_BASE), self._last + 1)
        frame.pts, frame.time_base = self._last, _TIME_BASE
        with self._writing():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what is left."""
        with self._writing(), self._file:
            self._container.mux(self._stream.encode(None))
            self._container.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        import av

        try:
            yield
        except (OSError, av.FFmpegError) as error:
            raise DataError(
                f"{self._path}: this video cannot be written ({error.strerror}). Free some disk "
                "space, or give another path."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self.close()


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
