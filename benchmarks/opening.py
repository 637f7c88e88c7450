"""How long data sets take to open, and the memory that their annotations stay in.

    python -m benchmarks.opening [--scale 1] [--rounds 3] [--json FILE]

Compares COCO's train2017 with pycocotools, and 100,000 PNGs with labels in YOLO's layout with
Ultralytics, which may be installed without its OpenCV: ``pip install --no-deps ultralytics``. Data
is made here, as large as those: polygons of 8 to 40 points; images are hard links to a few files.
Each opening is a separate process; they are measured alternately.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.record import write_result
from detzoo.benchmark.spread import Spread

COCO = "COCO train2017"
PNGS = "PNGs, YOLO's labels"
IMAGES, OBJECTS, NUM_PNGS, CLASSES = 118_287, 860_001, 100_000, 80
_LINKS = 10_000  # file systems limit how many names a file has


def write_coco(folder: Path, images: int, objects: int) -> None:
    rng = np.random.default_rng(0)
    names = [f"{k:012}.jpg" for k in range(images)]
    write_images(folder / "train", names, (480, 640))
    (folder / "annotations").mkdir()
    corners, sides = rng.random((objects, 2)) * (500, 400), 8 + rng.random((objects, 2)) * 70
    owners = np.sort(rng.integers(0, images, objects)).tolist()
    labels = rng.integers(1, CLASSES + 1, objects).tolist()
    angles = [np.linspace(0, 2 * np.pi, count, endpoint=False) for count in range(8, 41)]
    circles = [np.stack([np.cos(a), np.sin(a)], 1) for a in angles]

    def annotation(k: int) -> dict[str, Any]:
        radius = sides[k] / 2
        points = corners[k] + radius * (1 + circles[k % len(circles)])
        box = [*corners[k].round(2).tolist(), *sides[k].round(2).tolist()]
        return {
            "segmentation": [points.round(2).reshape(-1).tolist()],
            "area": round(float(sides[k].prod()), 2),
            "iscrowd": 0,
            "image_id": owners[k],
            "bbox": box,
            "category_id": labels[k],
            "id": k,
        }

    content = {
        "images": [
            {"license": 3, "file_name": name, "height": 480, "width": 640, "id": k}
            for k, name in enumerate(names)
        ],
        "annotations": [annotation(k) for k in range(objects)],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)],
    }
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


def write_pngs(folder: Path, count: int) -> None:
    """Images of 1920 x 1080 pixels, each with two boxes."""
    names = [f"{k:06}.png" for k in range(count)]
    write_images(folder / "images" / "train", names, (1080, 1920))
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True)
    for name in names:
        (labels / name).with_suffix(".txt").write_text("0 .5 .5 .2 .2\n1 .25 .25 .1 .2\n")
    (folder / "data.yaml").write_text(
        f"path: {folder}\ntrain: images/train\nval: images/train\nnames: [cat, dog]\n"
    )


def write_images(folder: Path, names: list[str], size: tuple[int, int]) -> None:
    """Hard links to pictures of a bright disc."""
    folder.mkdir(parents=True)
    height, width = size
    for k, name in enumerate(names):
        if k % _LINKS == 0:
            first = folder / name
            picture = np.zeros((height, width, 3), np.uint8)
            cv2.circle(picture, (width // 2, height // 2), height // 3, (255, 200, 90), -1)
            cv2.imwrite(str(first), picture)
        else:
            os.link(first, folder / name)


# ------------------------------------------------------------------------------- the contenders


def by_detzoo(folder: Path) -> Callable[[], Any]:
    from detzoo.data.locate import open_dataset

    return lambda: open_dataset(folder, "train")


def by_pycocotools(folder: Path) -> Callable[[], Any]:
    from pycocotools.coco import COCO as Coco

    return lambda: Coco(str(folder / "annotations" / "instances_train2017.json"))


def by_ultralytics(folder: Path) -> Callable[[], Any]:
    from ultralytics.data.dataset import YOLODataset

    images = folder / "images" / "train"

    def read() -> Any:
        (folder / "labels" / "train.cache").unlink(missing_ok=True)  # as for the first time
        return YOLODataset(img_path=str(images), data={"names": {0: "cat", 1: "dog"}})

    return read


CONTENDERS = {
    (COCO, "detzoo"): by_detzoo,
    (COCO, "pycocotools"): by_pycocotools,
    (PNGS, "detzoo"): by_detzoo,
    (PNGS, "Ultralytics"): by_ultralytics,
}


def measure(what: str, tool: str, folder: Path) -> dict[str, float]:
    """Seconds of opening, and how much memory is held after it, in MiB."""
    read = CONTENDERS[what, tool](folder)
    before = _resident()
    start = time.perf_counter()
    data = read()
    seconds = time.perf_counter() - start
    gc.collect()
    held = _resident() - before
    del data
    return {"seconds": seconds, "memory_mib": held / 2**20}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="part of the images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("DATA", "TOOL", "FOLDER"), help="a contender")
    options = parser.parse_args()
    if options.one:
        what, tool, folder = options.one
        with contextlib.redirect_stdout(sys.stderr):
            result = measure(what, tool, Path(folder))
        print(json.dumps(result))
        return

    tools = [key for key in CONTENDERS if importlib.util.find_spec(key[1].lower()) is not None]
    counts = {COCO: round(IMAGES * options.scale), PNGS: round(NUM_PNGS * options.scale)}
    found: dict[tuple[str, str], list[dict[str, float]]] = {key: [] for key in tools}
    with tempfile.TemporaryDirectory() as place:
        folders = {COCO: Path(place, "coco"), PNGS: Path(place, "pngs")}
        write_coco(folders[COCO], counts[COCO], round(OBJECTS * options.scale))
        write_pngs(folders[PNGS], counts[PNGS])
        for _ in range(options.rounds):
            for what, tool in tools:
                command = ["-m", "benchmarks.opening", "--one", what, tool, str(folders[what])]
                done = subprocess.run(
                    [sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True
                )
                found[what, tool].append(json.loads(done.stdout.splitlines()[-1]))
    rows = []
    for (what, tool), results in found.items():
        seconds = Spread.of([result["seconds"] for result in results])
        memory = sorted(result["memory_mib"] for result in results)[len(results) // 2]
        rows.append(
            {
                "data": what,
                "images": counts[what],
                "tool": tool,
                "seconds": seconds.to_json(),
                "memory_mib": memory,
            }
        )
        print(f"{what:20} {tool:12} {seconds.median:7.1f} s  {memory:7.0f} MiB")
    if options.json:
        write_result(options.json, "opening", rows)


if __name__ == "__main__":
    main()
