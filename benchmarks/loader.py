"""Our loader against torchvision's data set and transforms: images per second.

Both read a COCO folder, scale to 1333x800, flip half of the images, keep boxes and batch two
images;
runs are interleaved.

    python -m benchmarks.loader DATA [--split val] [--workers 2] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.transforms import v2

from detzoo.data.loader import build_loader
from detzoo.data.locate import open_dataset
from detzoo.data.transforms import Flip, Pad, Resize


def our_loader(data: Path, split: str, workers: int) -> Any:
    dataset = open_dataset(data, split)
    transforms = (Resize(), Flip(), Pad(divisor=32))
    return build_loader(
        dataset, transforms, images_per_device=2, workers=workers, training=True, seed=0
    )


def their_loader(data: Path, split: str, workers: int) -> Any:
    folder = next(data.glob(f"{split}*"))
    (annotations,) = (data / "annotations").glob(f"*{split}*.json")
    transforms = v2.Compose(
        [
            v2.ToImage(),
            v2.Resize(800, max_size=1333, antialias=False),
            v2.RandomHorizontalFlip(0.5),
        ]
    )
    dataset = wrap_dataset_for_transforms_v2(
        CocoDetection(folder, annotations, transforms=transforms), target_keys=("boxes", "labels")
    )
    return DataLoader(
        dataset, batch_size=2, shuffle=True, num_workers=workers, collate_fn=_pad, drop_last=False
    )


def _pad(samples: list[tuple[torch.Tensor, Any]]) -> tuple[torch.Tensor, list[Any]]:
    height = -(-max(image.shape[1] for image, _ in samples) // 32) * 32
    width = -(-max(image.shape[2] for image, _ in samples) // 32) * 32
    batch = torch.zeros((len(samples), 3, height, width), dtype=torch.uint8)
    for row, (image, _) in zip(batch, samples):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch, [target for _, target in samples]


def images_per_second(loader: Any, count: Callable[[Any], int]) -> float:
    images, start = 0, time.perf_counter()
    for batch in loader:
        images += count(batch)
    return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of a COCO data set")
    parser.add_argument("--split", default="val")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ours = our_loader(options.data, options.split, options.workers)
    theirs = their_loader(options.data, options.split, options.workers)
    rates: dict[str, list[float]] = {"detzoo": [], "torchvision": []}
    for number in range(options.rounds + 1):  # the first one warms the page cache
        ours.set_epoch(number)
        round_rates = {
            "detzoo": images_per_second(ours, len),
            "torchvision": images_per_second(theirs, lambda batch: len(batch[1])),
        }
        for name, rate in round_rates.items():
            if number:
                rates[name].append(rate)
    ratios = [a / b for a, b in zip(rates["detzoo"], rates["torchvision"])]
    row = {
        "workers": options.workers,
        "detzoo_images_per_second": statistics.median(rates["detzoo"]),
        "torchvision_images_per_second": statistics.median(rates["torchvision"]),
        "times_as_fast": statistics.median(ratios),
        "slowest_round": min(ratios),
        "fastest_round": max(ratios),
    }
    print(
        f"{options.workers} workers: detzoo {row['detzoo_images_per_second']:.1f} images/s, "
        f"torchvision {row['torchvision_images_per_second']:.1f}: {row['times_as_fast']:.2f} times "
        f"as fast ({row['slowest_round']:.2f} to {row['fastest_round']:.2f})"
    )
    if options.json:
        options.json.write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
