"""The work of ``detzoo predict``: image by image, video by video."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detzoo.cli.predict_output import write_output
from detzoo.errors import DataError
from detzoo.inference.draw import ColorBy, write_picture
from detzoo.inference.hide import hide
from detzoo.inference.outputs import Output
from detzoo.inference.predictor import Predictor
from detzoo.inference.result import Result
from detzoo.inference.selection import Selection
from detzoo.inference.tracking import Tracker
from detzoo.inference.video import Frame, Video, VideoWriter

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

# A file, or the number of a camera or the address of an image or a stream.
Source = Path | str


@dataclass
class PredictRun:
    """Detects in images and videos, and writes what it finds as soon as it is there.

    ``targets`` are the files for the pictures. ``entries`` collects the content of a JSON file if
    ``keeps_entries``, ``done`` what could be read, and ``failures`` why the others could not.
    """

    predictor: Predictor
    selection: Selection
    targets: Mapping[Source, Path]
    outputs: Sequence[Output]
    write_line: Callable[[dict[str, Any]], None]
    console: Console
    blur: bool = False
    color_by: ColorBy = "class"
    track: bool = False
    every: int = 1
    tile: int | None = None
    batch_size: int = 1
    keeps_entries: bool = False
    entries: dict[Source, dict[str, Any]] = field(default_factory=dict)
    done: set[Source] = field(default_factory=set)
    failures: list[DataError] = field(default_factory=list)

    def detect_images(self, files: Sequence[Source], progress: Progress) -> None:
        sources = {str(file): file for file in files}
        task = progress.add_task("images", total=len(files), visible=bool(files))

        def left_out(error: DataError) -> None:
            self.failures.append(error)
            progress.advance(task)

        for result in self._find(files, self.selection.lowest, left_out):
            result = self.selection(result)
            file = sources[result.path]
            write_picture(self.targets[file], self._picture(result))
            self._write(result, self.targets[file].stem)
            content = result.to_json()
            self.write_line(content)
            if self.keeps_entries:
                self.entries[file] = content
            self.done.add(file)
            progress.advance(task)
            names = Counter(result.segment_names or result.names).items()
            summary = ", ".join(f"{count} {name}" for name, count in names) or "nothing"
            self.console.print(f"{file}  {summary}", soft_wrap=True)

    def detect_video(self, source: Source, progress: Progress) -> None:
        """Ctrl-C ends a camera or stream, and everything else."""
        try:
            with Video(source) as video:
                self._detect_frames(source, video, progress)
        except DataError as error:
            self.failures.append(error)

    def _detect_frames(self, source: Source, video: Video, progress: Progress) -> None:
        target = self.targets[source]
        total = None if video.count is None else math.ceil(video.count / self.every)
        task = progress.add_task(target.stem, total=total)
        height, width = video.size
        about = {"video": video.name, "height": height, "width": width}
        entry: dict[str, Any] = {**about, "frames_per_second": video.rate}
        entry |= {"seconds": [], "frames": []}
        count, tracks = 0, set[int]()
        with (
            contextlib.closing(self._frames(video, target)) as frames,
            contextlib.suppress(*([KeyboardInterrupt] if video.is_live else [])),
        ):
            for frame, result in frames:
                count += 1
                if result.tracks is not None:
                    tracks.update(result.tracks[result.tracks >= 0].tolist())
                self._write(result, f"{target.stem}-{frame.index:06d}")
                found = result.to_json()["detections"]
                time = {"frame": frame.index, "seconds": round(frame.seconds, 3)}
                self.write_line({**about, **time, "detections": found})
                if self.keeps_entries:
                    entry["seconds"].append(time["seconds"])
                    entry["frames"].append(found)
                progress.advance(task)
        self.done.add(source)
        if self.keeps_entries:
            self.entries[source] = entry
        progress.remove_task(task)
        tracked = f", {len(tracks)} tracked" if self.track else ""
        self.console.print(f"{source}  {count} frames{tracked}", soft_wrap=True)

    def _frames(self, video: Video, target: Path) -> Generator[tuple[Frame, Result], None, None]:
        """Yields the result of every N-th frame, after writing its picture to ``target``."""
        tracker = Tracker(self.selection, video.rate / self.every) if self.track else None
        lowest = self.selection.lowest if tracker is None else tracker.lowest
        waiting: list[Frame] = []  # those that are being detected; no others are in memory

        def images() -> Iterator[np.ndarray]:
            for frame in video.frames(self.every):
                waiting.append(frame)
                yield frame.image

        with VideoWriter(target, video.size, video.rate / self.every) as writer:
            for result in self._find(images(), lowest):
                frame = waiting.pop(0)
                result = replace(result, path=f"{video.name}#{frame.index}")
                if tracker is None:
                    result = self.selection(result)
                else:
                    result = tracker(result, frame.seconds)
                writer.write(self._picture(result), frame.seconds)
                yield frame, result

    def _find(
        self,
        images: Iterable[Any],
        min_score: float,
        on_error: Callable[[DataError], None] | None = None,
    ) -> Iterator[Result]:
        return self.predictor.predict(
            images,
            min_score=min_score,
            tile=self.tile,
            batch_size=self.batch_size,
            on_error=on_error,
        )

    def _picture(self, result: Result) -> np.ndarray:
        return hide(result) if self.blur else result.draw(self.color_by)

    def _write(self, result: Result, stem: str) -> None:
        for output in self.outputs:
            write_output(output, result, stem)
