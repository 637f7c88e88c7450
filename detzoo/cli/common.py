"""Options and helpers shared by several commands. Heavy imports are deferred to the functions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detzoo.errors import CheckpointError, ConfigError, DataError
from detzoo.files import why_absent
from detzoo.weights.places import RUN_CHECKPOINTS, SUFFIXES, checkpoint_of_run, is_address
from detzoo.zoo_list import unknown_name, zoo_rows

if TYPE_CHECKING:
    from rich.console import Console

    from detzoo.data.dataset import DetectionDataset
    from detzoo.detectors.base import Detector
    from detzoo.experiment import Experiment

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one setting; repeat as needed. [bold]detzoo config NAME[/] lists them all.",
        show_default=False,
    ),
]


def _import_modules(names: list[str] | None) -> list[str] | None:
    """Imports the modules of ``--import`` before a command runs."""
    if names:
        from detzoo.checkpoints.catalog import import_modules

        import_modules(names)
    return names


Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, mps. Default: a GPU if available."),
]
TtaScales = Annotated[
    str | None,
    typer.Option(
        "--tta-scales",
        metavar="WxH,WxH",
        help="Test-time augmentation: merge detections at several scales, such as "
        "1000x600,1333x800.",
    ),
]
TtaFlip = Annotated[
    bool,
    typer.Option("--tta-flip", help="Test-time augmentation: also detect in the flipped image."),
]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        callback=_import_modules,
        help="Import a module that defines config classes used by the model.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Execute the V2 config file, as MMDetection does, or open an exported program "
        "(.pt2), which can do anything. By default nothing is executed.",
    ),
]
DataSets = Annotated[
    list[Path],
    typer.Option(
        "--data",
        help="A data set: a folder, or its annotation file (COCO, YOLO, VOC, ...); repeat to join "
        "several by class name.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Weights for a zoo name or a V2 config file. Default: the published ones.",
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        help="Image folder, where --data is an annotation file; one for all, or one for each.",
        show_default=False,
    ),
]
TestSplit = Annotated[
    str | None, typer.Option("--split", help="Which split of the folder. Default: val.")
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Images per batch.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that load images.")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Compute in fp32, bf16 (faster, almost as accurate) or fp16. Default: that of "
        "evaluations during training, else fp32."
    ),
]
Fuse = Annotated[
    bool,
    typer.Option(
        "--fuse/--no-fuse", help="Detect with a copy whose layers are fused: faster on a CPU."
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile backbone and neck (torch.compile), once per size of input: minutes at first.",
    ),
]
MissingMasks = Annotated[
    Literal["ignore", "empty"],
    typer.Option(
        "--missing-masks",
        help="Objects without a mask in mask metrics: ignore them and detections that overlap "
        "their boxes, or count them as empty masks, as pycocotools does.",
    ),
]
SkipBroken = Annotated[
    bool,
    typer.Option(
        "--skip-broken",
        help="Leave out images that are missing, unreadable or of a different size than "
        "declared, and list them at the end (exit code 1).",
    ),
]
IgnoreExif = Annotated[
    bool,
    typer.Option(
        "--ignore-exif",
        help="Ignore EXIF orientation, for annotations made without EXIF rotation.",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write the output to a JSON file."),
]


def print_overflow(model: Detector) -> None:
    """Says so where an exported detector had more candidates than fit."""
    count = getattr(model, "num_overflowing", 0)
    if count:
        print(
            f"in {count} images there were more candidates than fit into this file, and the best "
            "were taken; detzoo export --max-candidates makes room for more"
        )


def find_experiment(
    source: str,
    settings: Sequence[str] | None = None,
    *,
    trust: bool = False,
    to_train: bool = False,
) -> Experiment:
    """Returns the experiment of a zoo name, checkpoint or config file, with ``--set`` applied."""
    check_source(source)
    from detzoo.inference import loading

    experiment = loading.find_experiment(source, trust=trust, to_train=to_train)
    for setting in settings or ():
        experiment = apply_setting(experiment, setting)
    return experiment


def apply_setting(experiment: Experiment, setting: str) -> Experiment:
    """``experiment`` with ``path=value`` applied."""
    from detzoo.checkpoints.catalog import config_classes
    from detzoo.config import override

    path, equals, value = setting.partition("=")
    if not equals:
        raise ConfigError(f"--set {setting}: write it as path=value, e.g. model.backbone.depth=18")
    try:
        return override(experiment, path.strip(), value.strip(), config_classes())
    except ConfigError as error:
        raise ConfigError(f"--set {setting}: {error}") from None


def with_tta(experiment: Experiment, scales: str | None, flip: bool) -> Experiment:
    """``experiment`` with the test-time augmentation of ``--tta-scales`` and ``--tta-flip``."""
    from detzoo.data.tta import TTA

    if scales is None and not flip:
        return experiment
    sizes = []
    for part in (scales or "").split(",") if scales is not None else ():
        width, _, height = part.partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise ConfigError(
                f"--tta-scales {scales}: write sizes as WIDTHxHEIGHT, e.g. 1000x600,1333x800"
            )
        sizes.append((int(width), int(height)))
    flips = ("horizontal",) if flip else experiment.data.tta.flips
    try:
        own = experiment.data.tta
        tta = TTA(scales=tuple(sizes), flips=flips) if sizes else replace(own, flips=flips)
        tta.pipelines(experiment.data.test_transforms)
    except ConfigError as error:
        raise ConfigError(f"--tta-scales {scales}: {error}") from None
    return replace(experiment, data=replace(experiment.data, tta=tta))


def open_split(path: Path, wanted: str, images: Path | None, **selection: Any) -> DetectionDataset:
    """The ``wanted`` split of a folder, or the annotation file ``path`` itself."""
    from detzoo.data.locate import open_dataset

    return open_dataset(path, wanted, images=images and images.resolve(), **selection)


def open_sets(
    paths: Sequence[str | Path],
    images: Sequence[str | Path],
    split: str,
    *,
    skip_broken: bool = False,
    ignore_exif: bool = False,
) -> tuple[list[DetectionDataset], tuple[str, ...]]:
    """Opens the ``split`` of each of ``paths``; also returns why each left-out image is broken.

    ``images`` are image folders: none, one for all, or one for each path. Without ``skip_broken``,
    a missing image raises :class:`DataError`.
    """
    from detzoo.data.broken import broken_images
    from detzoo.data.locate import open_dataset
    from detzoo.data.reading import reading_on

    if len(images) not in (0, 1, len(paths)):
        raise ConfigError(
            f"--images: given {len(images)} times for {len(paths)} data sets. Give it once per "
            "data set, in the same order."
        )
    sets, faults = [], []
    for k, path in enumerate(paths):
        folder = Path(images[min(k, len(images) - 1)]).resolve() if images else None
        with reading_on(skip_broken) as unread:
            data = open_dataset(path, split, images=folder, check=False, ignore_exif=ignore_exif)
        malformed = next((one.text for one in unread if one.kind == "annotation-unreadable"), None)
        if malformed is not None:
            raise DataError(malformed)
        faults += [one.text for one in unread]
        if skip_broken:
            found = _with_progress(broken_images, data, "reading all images")
            if len(found) == len(data):
                raise DataError(f"{data.source}: every image is broken. {found[0]}")
            data = data.take([i for i in range(len(data)) if i not in found])
            faults += found.values()
        else:
            data.check_files()
        sets.append(data)
    return sets, tuple(faults)


def _with_progress(work: Any, data: DetectionDataset, text: str) -> Any:
    """Runs ``work(data, progress)`` with a progress bar in the main process."""
    from rich.progress import Progress

    with Progress(transient=True, disable=not is_first_process()) as progress:
        task = progress.add_task(text, total=len(data))
        return work(data, lambda: progress.advance(task))


def print_broken(faults: Sequence[str], most: int = 50) -> None:
    """Lists the images that ``--skip-broken`` left out."""
    if not faults:
        return
    console = plain_console()
    console.print(f"left out as broken: {len(faults)} image{'s' if len(faults) > 1 else ''}")
    for fault in faults[:most]:
        console.print(f"  {fault}", soft_wrap=True)
    if len(faults) > most:
        console.print(f"  and {len(faults) - most} more")


def check_source(source: str | None, weights: str | Path | None = None) -> None:
    """Raises :class:`UserError` for a missing file or a name that is not in the zoo, before heavy
    imports.
    """
    for path in (os.fspath(item) for item in (source, weights) if item is not None):
        if is_address(path):
            continue
        is_path = os.sep in path or Path(path).suffix in (*SUFFIXES, ".py", ".json", ".onnx")
        file = checkpoint_of_run(path)
        if is_path and not file.exists():
            raise CheckpointError(f"{path}: no such file. Check the path.")
        if file.is_dir() and (is_path or path != source):
            raise CheckpointError(
                f"{path}: has neither {' nor '.join(RUN_CHECKPOINTS)}. Give a checkpoint, or the "
                "folder of a run."
            )
        if path == source and not is_path and not file.is_file() and path not in zoo_rows():
            raise unknown_name(path, zoo_rows())


def check_data(*paths: Path | None) -> None:
    """Raises :class:`DataError` for missing data, before heavy imports."""
    for path in paths:
        if path is not None and not path.exists():
            raise why_absent(path)


def check_folder(out: Path | None, option: str = "--out") -> None:
    """Raises :class:`ConfigError` for an output folder that is a file, before heavy imports."""
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"{option} {out}: is a file, not a folder. Give a folder.")


def plain_console() -> Console:
    """A console that prints file and class names without interpreting markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def print_dataset(purpose: str, dataset: DetectionDataset) -> None:
    """Prints a summary line of a data set, and a line per note and per fault of its annotations."""
    from rich.console import Console
    from rich.markup import escape

    from detzoo.checks.finding import Split
    from detzoo.checks.run import check_annotations
    from detzoo.data.formats.base import counted

    console = Console(highlight=False, emoji=False)
    names = ", ".join(dataset.class_names[:8])
    more = f" and {len(dataset.class_names) - 8} more" if len(dataset.class_names) > 8 else ""
    objects = len(dataset.annotations)
    counts = f"{counted(len(dataset), 'image')}, {counted(objects, 'object')}"
    stuff = len(dataset.stuff_names)
    if stuff:
        more += f", and {stuff} class{'' if stuff == 1 else 'es'} of stuff"
    text = f"{counts} of {names}{more}  ({dataset.source})"
    console.print(f"[bold]{purpose}[/]  {escape(text)}", soft_wrap=True)
    for note in (*dataset.notes, *note_on_masks(dataset.num_without_mask)):
        console.print(f"  {escape(note)}", soft_wrap=True)
    findings = check_annotations([Split(purpose.strip(), dataset)])
    faults = [one for one in findings if one.is_fault and one.kind != "mask-missing"]
    for fault in faults:
        console.print(f"  {fault.severity}: {escape(fault.title)}", soft_wrap=True)
    if faults:
        console.print("  [dim]detzoo data check shows where, and what to do[/]")


def note_on_masks(count: int) -> list[str]:
    """A note on ``count`` objects without a mask in a data set with masks."""
    objects = "1 object has" if count == 1 else f"{count} objects have"
    return [f"{objects} no mask: only their boxes are used"] if count else []


def wide_console() -> Console:
    """A console for tables whose names are never truncated when piped."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=260, highlight=False)


def next_folder(parent: Path, name: str) -> Path:
    """``parent/name-<n>`` with the next free number, from 1."""
    return parent / f"{name}-{_last_number(parent, name) + 1}"


def latest_folder(parent: Path, name: str) -> Path | None:
    """The folder ``parent/name-<n>`` with the highest number, if there is one."""
    number = _last_number(parent, name)
    return parent / f"{name}-{number}" if number else None


def _last_number(parent: Path, name: str) -> int:
    taken = [path.name.removeprefix(f"{name}-") for path in parent.glob(f"{name}-*")]
    return max((int(number) for number in taken if number.isdigit()), default=0)


def is_first_process() -> bool:
    """Whether this is the main process (rank 0) of ``torchrun``, which prints for all."""
    return int(os.environ.get("RANK", "0")) == 0
