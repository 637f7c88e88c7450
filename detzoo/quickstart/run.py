"""The quickstart, from generating scenes to the report."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from detzoo.analyze import analyze
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import counted
from detzoo.data.loader import build_loader
from detzoo.data.locate import open_dataset
from detzoo.data.sample import apply
from detzoo.data.transforms import Resize
from detzoo.devices import resolve_device
from detzoo.errors import ConfigError
from detzoo.evaluate import Metrics, default_evaluators, detect, score
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.files import write_json
from detzoo.inference.draw import draw_targets
from detzoo.inference.loading import load
from detzoo.inference.predictor import Predictor
from detzoo.logs import read_log
from detzoo.quickstart.model import experiment
from detzoo.quickstart.report import report
from detzoo.quickstart.scenes import write_scenes
from detzoo.report import Picture, write_page
from detzoo.train.loop import train

NUM_PICTURES = 8


def run(
    folder: Path,
    device: torch.device,
    *,
    scenes: int = 400,
    held_out: int = 80,
    epochs: int = 8,
) -> Metrics:
    """Runs the quickstart in ``folder``, which must not contain an earlier run.

    Trains on ``scenes`` scenes, evaluates on ``held_out`` others, and returns the metrics on these.
    """
    started = time.monotonic()
    console = Console(highlight=False)
    if (folder / "run" / "last.pt").exists():
        raise ConfigError(f"--out {folder}: contains an earlier quickstart. Give another folder.")

    console.print(f"[bold]1. Generating {scenes + held_out} scenes of shapes[/]")
    data = folder / "data"
    for seed, (split, count) in enumerate((("train", scenes), ("test", held_out))):
        write_scenes(data, split, count, seed=seed)
    train_data, test_data = open_dataset(data, "train"), open_dataset(data, "test")

    console.print("[bold]2. Training a small Mask R-CNN[/]")
    recipe = experiment(train_data.class_names, epochs=epochs)
    torch.manual_seed(recipe.seed)
    result = train(recipe, recipe.build_model(), train_data, None, folder / "run", device=device)
    if result.stop_signal is not None:
        raise SystemExit(128 + result.stop_signal)
    checkpoint = folder / "detector.pt"
    shutil.copyfile(folder / "run" / "last.pt", checkpoint)

    console.print("[bold]3. Evaluating on the held-out scenes[/]")
    predictor = load(checkpoint, device=device)
    metrics, thresholds = evaluate(predictor, test_data)
    write_json(folder / "metrics.json", metrics.to_json())
    console.print(metrics.table(per_class=True))

    console.print("[bold]4. Drawing detections[/]")
    pictures = _draw(predictor, test_data, folder / "pictures", thresholds)
    seconds = time.monotonic() - started
    facts = (
        f"{scenes} generated training scenes, {held_out} held-out scenes",
        f"classes: {', '.join(predictor.class_names)}",
        f"{seconds / 60:.1f} minutes on {device}",
    )
    log = read_log(folder / "run")
    page = write_page(folder / "report.html", report(metrics, pictures, log, facts))
    _print_end(console, metrics, seconds, folder, page, checkpoint)
    return metrics


def evaluate(predictor: Predictor, data: DetectionDataset) -> tuple[Metrics, dict[str, float]]:
    """The metrics, and the score with the best F1 of each class."""
    loader = build_loader(data, predictor.transforms, images_per_device=4, training=False)
    ground_truth = GroundTruth.from_coco(data.to_coco(), data.source)
    evaluators = default_evaluators(ground_truth, predictor.class_names, predicts_masks=True)
    results = detect(predictor.model, loader)
    analysis = analyze(ground_truth, results, predictor.class_names, resamples=0)
    return score(evaluators, results), analysis.thresholds


def _draw(
    predictor: Predictor, data: DetectionDataset, folder: Path, thresholds: Mapping[str, float]
) -> list[Picture]:
    """Pairs of pictures of the first scenes: the shapes, and the detections above the threshold of
    their class."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = [data.sample(i, "bitmap") for i in range(min(NUM_PICTURES, len(data)))]
    # Enlarged so that labels are readable; the detector resizes them to their own size.
    height, width = samples[0].image.shape[:2]
    enlarge = Resize(sizes=((3 * width, 3 * height),))
    samples = [apply([enlarge], sample, np.random.default_rng(0)) for sample in samples]
    images = [sample.image for sample in samples]
    pictures = []
    lowest = torch.tensor([thresholds.get(name, 0.5) for name in predictor.class_names])
    for i, result in enumerate(predictor.predict(images, batch_size=4, min_score=0.0)):
        found = result.detections
        result = replace(result, detections=found[found.scores >= lowest[found.labels]])
        name, truth = Path(data.path(i)).stem, samples[i].targets
        drawn = draw_targets(images[i], truth, data.class_names)
        pictures += [
            Picture.of(drawn, f"scene {name}: {counted(len(truth), 'shape')}"),
            Picture.of(result.draw(), f"{len(result)} detected"),
        ]
        (folder / f"{name}.jpg").write_bytes(pictures[-1].jpeg)
    return pictures


def _print_end(
    console: Console,
    metrics: Metrics,
    seconds: float,
    folder: Path,
    report: Path,
    checkpoint: Path,
) -> None:
    console.print(
        f"[bold]Done[/] in {seconds / 60:.1f} minutes: box AP {metrics['bbox/AP']:.3f}, "
        f"mask AP {metrics['segm/AP']:.3f}"
    )
    console.print(f"  report    {report}", soft_wrap=True)
    console.print(f"  pictures  {folder / 'pictures'}", soft_wrap=True)
    console.print(f"  detector  {checkpoint}", soft_wrap=True)
    console.print("\n[bold]With your own data[/] (COCO, YOLO, Pascal VOC and other formats):")
    program = Path(sys.prefix, "bin", "activate")
    if shutil.which("detzoo") is None and program.is_file():
        console.print(f"  source {program}", soft_wrap=True)
    has_gpu = resolve_device(None).type != "cpu"
    model = "faster_rcnn_r50_fpn_1x_coco" if has_gpu else "retinanet_mobilenetv2_fpn"
    for line in (
        "detzoo models",
        f"detzoo train {model} --data MY_DATA",
        f"detzoo test runs/{model}-1/best.pt --data MY_DATA",
        f"detzoo predict runs/{model}-1/best.pt PHOTOS --out predictions",
    ):
        console.print(f"  {line}", soft_wrap=True)
