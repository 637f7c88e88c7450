"""How a training run starts: its folder, its experiment, and the weights it begins with."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from detzoo.cli.common import (
    apply_setting,
    find_experiment,
    is_first_process,
    latest_folder,
    next_folder,
    plain_console,
)
from detzoo.cli.own_data import with_own_data
from detzoo.cli.run_options import FILE, RunOptions, read_options, version_changes
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from detzoo.checkpoints.transfer import ClassTransfer
    from detzoo.detectors.base import Detector
    from detzoo.experiment import Experiment

RUNS = Path("runs")


def is_restarted(out: Path | None) -> bool:
    """Whether ``torchrun --max-restarts`` restarted this process and there is a checkpoint."""
    from detzoo.train.distributed import restarts

    return restarts() > 0 and out is not None and (out / "last.pt").is_file()


def run_folder(name: str | None, out: Path | None, resume: bool) -> Path:
    """The folder of the run, existing or new."""
    if out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--out: required with several processes, which share the folder")
    if out is None and name is None:
        if resume:
            raise ConfigError(
                "--resume: give the run folder with --out, or a model NAME for its latest run"
            )
        raise ConfigError("NAME: give a model (detzoo models lists the zoo's)")
    stem = Path(name or "").stem
    if resume:
        folder = out or latest_folder(RUNS, stem)
        if folder is None or not (folder / "last.pt").is_file():
            place = folder or RUNS / f"{stem}-<n>"
            raise ConfigError(
                f"--resume: {place} contains no run (last.pt). Give the run folder with --out, "
                "or start one without --resume."
            )
        return folder
    folder = out or next_folder(RUNS, stem)
    if (folder / "last.pt").exists():
        raise ConfigError(
            f"--out {folder}: already contains a run. Resume it with --resume, or give another "
            "folder."
        )
    return folder


def first_experiment(
    options: RunOptions,
) -> tuple[RunOptions, Experiment, tuple[str, ...] | None]:
    """What is trained, and the classes that a V2 file says are (None: all of the data).

    The options come with the data of a V2 file where they name none.
    """
    name = options.name
    if name is None:
        raise ConfigError("NAME: give a model (detzoo models lists the zoo's)")
    names = None
    if is_v2_file(name):
        from detzoo.cli.import_mmdet import print_notes
        from detzoo.mmdet import import_file

        imported = import_file(name, trust=options.trust)
        try:
            experiment = imported.to_train()
        except ConfigError as error:
            raise ConfigError(
                f"{error}\nTo train with what is understood, and without the rest or with detzoo's "
                f"defaults for it: detzoo import-mmdet {name} --out mine.json, and detzoo train "
                "mine.json"
            ) from None
        names = None if imported.trained_classes is None else experiment.class_names
        if is_first_process():
            print_notes(imported, name)
        options = with_own_data(options, imported)
        for setting in options.settings:
            experiment = apply_setting(experiment, setting)
    else:
        experiment = find_experiment(name, options.settings, to_train=True)
    experiment = _with_options(experiment, options)
    if options.from_scratch:
        model = experiment.model.from_scratch()
        experiment = replace(experiment, model=model, initial_weights=None)
    return options, experiment, names


def is_v2_file(name: str | None) -> bool:
    return name is not None and name.endswith(".py")


def resumed_experiment(
    run_dir: Path, given: RunOptions, typed: set[str]
) -> tuple[RunOptions, Experiment, list[str]]:
    """Options and experiment of the run in ``run_dir``, updated with what was typed; and notes on
    the changes.
    """
    from detzoo.checkpoints.catalog import import_modules

    kept = read_options(run_dir)
    if kept is None:
        if given.name is None or not given.data:
            raise ConfigError(
                f"--resume: {run_dir} has no {FILE} with the options it was started with (it may "
                "be from an older version). Give the full command that started it, plus --resume."
            )
        return given, first_experiment(given)[1], []
    if "name" in typed and given.name != kept.name:
        raise ConfigError(
            f"{given.name}: the run in {run_dir} trains {kept.name}. Omit the name to resume "
            "it, or give another --out to train this model."
        )
    if given.batch_size == "auto" != kept.batch_size:
        raise ConfigError(
            "--batch-size auto: a run is resumed with the batch that it has. Remove the option, or "
            "start a new run."
        )
    options, new, notes = kept.changed_by(given, typed)
    import_modules(options.imports)
    experiment = find_experiment(str(run_dir / "experiment.json"))
    for setting in new.settings:
        experiment = apply_setting(experiment, setting)
    return options, _with_options(experiment, new), notes + version_changes(run_dir)


def _with_options(experiment: Experiment, options: RunOptions) -> Experiment:
    """Applies the options that are shorthand for settings."""
    if options.epochs is not None:
        if not experiment.schedule.counts_epochs:
            raise ConfigError(
                f"--epochs {options.epochs}: this model's schedule counts iterations; give "
                "--set schedule.length=N, or a model that counts epochs."
            )
        experiment = experiment.stretched_to(options.epochs)
    if options.lr is not None:
        experiment = _set(experiment, f"--lr {options.lr}", f"optimizer.lr={options.lr}")
    if options.freeze is not None:
        setting = f"model.backbone.frozen_stages={options.freeze}"
        experiment = _set(experiment, f"--freeze {options.freeze}", setting)
    data = experiment.data
    if options.image_size is not None:
        try:
            data = data.with_image_size(_size(options.image_size))
        except ConfigError as error:
            raise ConfigError(f"--image-size {options.image_size}: {error}") from None
    if isinstance(options.batch_size, int):
        data = replace(data, images_per_device=options.batch_size)
    if options.workers is not None:
        data = replace(data, workers=options.workers)
    experiment = replace(experiment, data=data)
    if options.precision is not None:
        from detzoo.devices import check_precision

        experiment = replace(experiment, precision=check_precision(options.precision))
    return experiment if options.seed is None else replace(experiment, seed=options.seed)


def _set(experiment: Experiment, option: str, setting: str) -> Experiment:
    """Applies ``setting``, for which ``option`` is short."""
    try:
        return apply_setting(experiment, setting)
    except ConfigError as error:
        raise ConfigError(f"{option}: {str(error).removeprefix(f'--set {setting}: ')}") from None


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError("write it as WIDTHxHEIGHT, such as 640x640.")
    return int(width), int(height)


def _origins(
    experiment: Experiment, weights: str | None, resume: bool
) -> tuple[str | None, str | None]:
    """Where the initial weights of the detector and those of its backbone alone come from."""
    if weights is not None or resume:
        return weights, None
    if experiment.initial_weights is not None:
        return experiment.initial_weights, None
    return None, experiment.model.backbone.pretrained_name


def describe_origin(experiment: Experiment, weights: str | None) -> str:
    """The origin of the weights that a new run starts with."""
    of_detector, of_backbone = _origins(experiment, weights, False)
    if of_detector is not None:
        return of_detector
    return "random" if of_backbone is None else f"{of_backbone} for the backbone, random beyond it"


def initial_model(experiment: Experiment, weights: str | None, resume: bool) -> Detector:
    """Builds the detector with its initial weights."""
    import torch

    from detzoo import zoo
    from detzoo.backbones.pretrained import find_pretrained
    from detzoo.backbones.timm import SCHEME
    from detzoo.checkpoints import checkpoint
    from detzoo.checkpoints.transfer import initialize, initialize_backbone
    from detzoo.inference.loading import find_published, is_checkpoint_path

    origin, pretrained = _origins(experiment, weights, resume)
    source: Path | str | None = origin
    names: tuple[str, ...] | None = None
    if weights is None and origin is not None and not is_checkpoint_path(origin):
        entry = zoo.find(origin)
        source, names = find_published(entry), entry.experiment.all_names
    # Missing files are reported before the model is built, which takes seconds.
    if pretrained is not None and not pretrained.startswith(SCHEME):
        find_pretrained(pretrained)
    given = None if source is None else checkpoint.read_weights(source)

    torch.manual_seed(experiment.seed)
    model = experiment.build_model()
    if given is not None:
        transfer = initialize(
            model,
            given.tensors,
            from_names=given.class_names or names,
            to_names=experiment.all_names,
            num_stuff=len(experiment.stuff_names),
            source=str(source),
        )
        if is_first_process() and model.class_parameters():
            _print_transfer(transfer, model, str(source))
    elif pretrained is not None:
        report = initialize_backbone(model.pretrained_modules(), pretrained)
        if is_first_process():
            _print_names("not in the pretrained weights", report.missing)
            _print_names("unused in the pretrained weights", report.unexpected)
    return model


def _print_transfer(transfer: ClassTransfer, model: Detector, source: str) -> None:
    from detzoo.checkpoints.checkpoint import is_counter

    total = sum(not is_counter(name) for name in model.state_dict())
    count = len(model.class_parameters())
    plain_console().print(
        f"from {source}: {total - count} of {total} tensors as they are; {count} depend on the "
        "classes",
        soft_wrap=True,
    )
    _print_names("  classes with trained weights", transfer.copied)
    if transfer.copied:
        _print_names("  classes with random weights", transfer.fresh)
    else:
        print("  classes with random weights: all, since it names none of the data's")
    _print_names("  not used", transfer.unused)


def _print_names(what: str, names: tuple[str, ...]) -> None:
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        print(f"{what}: {', '.join(names[:8])}{more}")
