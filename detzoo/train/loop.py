"""Training, from the first step to the last."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from detzoo.checkpoints.architecture import architecture_of
from detzoo.config import ConfigError, to_dict
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import Loader, build_loader
from detzoo.detectors.base import Detector
from detzoo.devices import autocast
from detzoo.errors import CheckpointError, DataError
from detzoo.evaluate.metrics import Metrics
from detzoo.experiment import Experiment
from detzoo.optim.schedules import Schedule
from detzoo.structures import Batch, Losses
from detzoo.train.distributed import Processes, join_processes
from detzoo.train.log import Averages, Display, MetricsFiles, Stopwatch, memory_in_use, write_json
from detzoo.train.state import Learner, Position, load_last, save_best, save_last, seed_step
from detzoo.train.validation import EarlyStopping, Validation
from detzoo.train.watch import Interrupt, Watch


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to. ``metrics`` is the last evaluation, if there was one.

    ``best`` has the values, by name, of the weights in ``best.pt``.
    """

    run_dir: Path
    iterations: int
    metrics: Metrics | None
    best: dict[str, float]
    # Whether the user stopped it (Ctrl-C); ``last.pt`` holds where.
    interrupted: bool


def train(
    experiment: Experiment,
    model: Detector,
    train_data: DetectionDataset,
    val_data: DetectionDataset | None,
    run_dir: Path,
    *,
    device: torch.device | str = "cpu",
    resume: bool = False,
    scale_learning_rate: bool = True,
    early_stopping: EarlyStopping | None = None,
    checkpoint_steps: int | None = None,
    fused: bool = True,
    log_interval: int = 20,
    resume_command: str = "",
    quiet: bool = False,
) -> TrainingResult:
    """Trains ``model`` (initialised by the caller, on any device) as ``experiment`` says.

    Writes into ``run_dir``: ``last.pt`` (with everything that resuming needs), ``best.pt`` (by the
    main metric of ``val_data``), ``experiment.json``, ``metrics.jsonl``, ``metrics.csv`` and
    TensorBoard events. With ``resume`` it continues from ``run_dir/last.pt``, to the same weights,
    bit for bit, as if it had never stopped. ``checkpoint_steps`` writes ``last.pt`` every so many
    steps besides the experiment's ``checkpoint_every``. Each evaluation is made by a copy that is
    prepared for it, unless ``fused`` is false (see :func:`detzoo.evaluate.detect`). Call it in
    every process of a ``torchrun``.
    """
    with contextlib.ExitStack() as stack:
        # Who trains, on what.
        processes = stack.enter_context(join_processes(device))
        device = processes.device
        check_labels(experiment, train_data)
        experiment.check_needs(train_data, training=True)
        usable = usable_data(experiment, train_data)
        loader = open_loader(experiment, usable, processes)
        stack.callback(loader.close)
        steps_per_epoch = math.ceil(len(loader) / experiment.accumulate)
        schedule, lr_scale, notes = fit_recipe(
            experiment, steps_per_epoch, processes.count, scale_learning_rate
        )
        notes += [note for note in usable.notes if note not in train_data.notes]
        steps = schedule.total_iterations(steps_per_epoch)
        steps_per_unit = steps_per_epoch if schedule.counts_epochs else 1

        # What learns.
        model = model.to(device).to(memory_format=torch.channels_last).train()
        optimizer = experiment.optimizer.build(model)
        rates = [group["lr"] for group in optimizer.param_groups]
        scaler = torch.amp.GradScaler(
            device.type,
            init_scale=experiment.loss_scale or 2.0**16,
            enabled=experiment.precision == "fp16",
        )
        average = None if experiment.ema is None else experiment.ema.build(model)
        learner = Learner(model, optimizer, scaler, average, architecture_of(experiment))
        casting = autocast(device, experiment.precision)
        parallel = processes.parallel(model)
        sizes = experiment.data.batch_resize
        validation = None
        if val_data is not None:
            validation = Validation(experiment, val_data, processes, early_stopping, fused)
        elif early_stopping:
            raise ConfigError("early_stopping: needs data to evaluate on (--val)")

        # Where the run is.
        last = run_dir / "last.pt"
        position = Position(steps_per_epoch=steps_per_epoch)
        if resume:
            position, changes = load_last(last, experiment, learner, steps_per_epoch)
            notes += [f"resuming with a changed setting: {change}" for change in changes]
            notes.append(f"resuming after step {position.iteration} of {steps}")
        elif last.exists():
            raise CheckpointError(
                f"{last}: there is a run already. Go on with it (--resume), or give another folder."
            )
        processes.wait()  # until all have seen the folder as it was
        files = None
        if processes.is_first:
            write_json(run_dir / "experiment.json", to_dict(experiment))
            files = stack.enter_context(MetricsFiles(run_dir, position.iteration))
        display = stack.enter_context(
            Display(steps, position.iteration, quiet=quiet or not processes.is_first)
        )
        for note in notes:
            display.say(note)
        if processes.is_first and not resume:
            save_last(last, experiment, learner, position)  # a kill at any moment can be resumed

        interrupt = stack.enter_context(Interrupt(display.say))
        watch = Watch(processes, run_dir, model)
        if not scaler.is_enabled():  # which skips steps by itself
            watch.guard(optimizer)
        means = Averages()
        stopwatch = Stopwatch()
        metrics = None
        interrupted = False
        is_final = False
        is_end = validation is not None and validation.is_exhausted(position)
        batches = grouped_batches(
            loader, experiment.accumulate, steps_per_epoch, position.iteration
        )
        while position.iteration < steps and not is_end and not interrupted:
            if not is_final and is_in_final_epochs(experiment, position):
                is_final = True
                model.enter_final_epochs()

            # One step of the optimizer.
            with stopwatch.data():
                group = next(batches)
            seed_step(experiment.seed, processes.rank, position.iteration)
            factor = lr_scale * schedule.factor(position.iteration, steps_per_epoch)
            for parameters, rate in zip(optimizer.param_groups, rates):
                parameters["lr"] = rate * factor
            for i, batch in enumerate(group):
                is_last = i == len(group) - 1
                with processes.gradients_shared(parallel, now=is_last):
                    on_device = batch.to(device)
                    with casting:
                        images, targets = model.preprocess(on_device), on_device.targets
                        if sizes is not None:
                            images, targets = sizes.resize(
                                images, targets, seed=experiment.seed, step=position.iteration
                            )
                        losses = Losses.of(parallel(images, targets))
                    loss = losses.total()
                    watch.observe(
                        loss, losses.logged(), batch, position.iteration, interrupt.requested
                    )
                    scaler.scale(loss / len(group)).backward()
                means.add({**losses.logged(), "loss": loss})
            interrupted = watch.check()
            if experiment.max_gradient_norm is not None:
                scaler.unscale_(optimizer)
                norm = torch.nn.utils.clip_grad_norm_(
                    model.parameters(), experiment.max_gradient_norm
                )
                means.add({"gradient_norm": norm})
            scaler.step(optimizer)
            scaler.update(experiment.loss_scale)
            optimizer.zero_grad()
            if average is not None:
                average.update(model)
            position.iteration += 1
            stopwatch.steps += 1
            display.advance(position.iteration, position.iteration / steps_per_epoch)

            # What is due after it.
            done = position.iteration
            is_end = done == steps
            evaluate_every = experiment.evaluate_every
            if is_final and experiment.final is not None:
                evaluate_every = experiment.final.evaluate_every
            evaluate_now = is_end or done % (evaluate_every * steps_per_unit) == 0
            save_now = is_end or done % (experiment.checkpoint_every * steps_per_unit) == 0
            save_now |= checkpoint_steps is not None and done % checkpoint_steps == 0
            if not (evaluate_now or save_now or interrupted or done % log_interval == 0):
                continue
            interrupted |= watch.check(everything=True)
            record: dict[str, Any] = {"kind": "train", "iteration": done}
            record |= {"epoch": done / steps_per_epoch, "lr": optimizer.param_groups[0]["lr"]}
            record |= means.drain() | stopwatch.drain() | {"memory_gb": memory_in_use(device)}
            display.training(record)
            if files is not None:
                files.write(record)
            if validation is not None and evaluate_now:
                with stopwatch.stopped(), averaged_weights(learner):
                    processes.share(model.buffers())  # the first one's statistics
                    metrics = validation.run(model)
                    is_better = validation.note(metrics, position)
                    if processes.is_first and is_better:
                        save_best(run_dir / "best.pt", experiment, learner)
                display.evaluation(metrics.values, validation.metric, position.best)
                if files is not None:
                    files.write({"kind": "val", "iteration": done, **metrics.values})
                if validation.is_exhausted(position):
                    display.say(f"stopping early: {validation.metric} does not get better")
                    is_end = True
            if processes.is_first and (save_now or is_end or interrupted):
                save_last(last, experiment, learner, position)

        if interrupted:
            display.say(f"stopped after step {position.iteration} of {steps}; {last} holds all")
            if resume_command:
                display.say(f"go on with: {resume_command}")
        return TrainingResult(run_dir, position.iteration, metrics, position.best, interrupted)


def usable_data(experiment: Experiment, data: DetectionDataset) -> DetectionDataset:
    """The images of ``data`` that ``experiment`` trains on."""
    data = data.with_channels(experiment.model.input_pixels.channels)
    return data.for_training(
        skip_empty=experiment.data.skip_empty, min_object_size=experiment.data.min_object_size
    )


def open_loader(experiment: Experiment, usable: DetectionDataset, processes: Processes) -> Loader:
    """The training batches of this process."""
    data = experiment.data
    return build_loader(
        usable,
        data.train_transforms,
        images_per_device=data.images_per_device,
        workers=data.workers,
        seed=experiment.seed,
        training=True,
        rank=processes.rank,
        world_size=processes.count,
        masks=data.masks,
        repeats=data.repeats,
        oversample_threshold=data.oversample_threshold,
        max_proposals=data.train_proposals,
        final_transforms=experiment.final.transforms if experiment.final else (),
        final_epoch=experiment.final_epoch,
    )


def check_labels(experiment: Experiment, data: DetectionDataset) -> None:
    """Raises :class:`DataError` unless the data's labels mean what the experiment's do."""
    if data.class_names != experiment.class_names:
        raise DataError(
            f"{data.source}: its labels stand for {', '.join(data.class_names)}, the experiment's "
            f"for {', '.join(experiment.class_names)}. Make them agree: "
            "data.select_classes(experiment.class_names), or class_names=data.class_names."
        )


def is_in_final_epochs(experiment: Experiment, position: Position) -> bool:
    """Whether the next step is one of the recipe's final epochs."""
    first = experiment.final_epoch
    return first is not None and position.iteration >= first * position.steps_per_epoch


def fit_recipe(
    experiment: Experiment, steps_per_epoch: int, processes: int, scale_learning_rate: bool
) -> tuple[Schedule, float, list[str]]:
    """The schedule and the factor of the learning rate for this run's batch and length.

    The rate grows with the number of images per step (https://arxiv.org/abs/1706.02677). What
    differs from the recipe is said in the notes.
    """
    notes = []
    batch = experiment.data.images_per_device * processes * experiment.accumulate
    scale = batch / experiment.reference_batch if scale_learning_rate else 1.0
    if scale != 1:
        rate = experiment.optimizer.lr
        notes.append(
            f"learning rate {rate:g} -> {rate * scale:g}: {batch} images per step, where the "
            f"recipe has {experiment.reference_batch} (--no-lr-scaling keeps it)"
        )
    steps = experiment.schedule.total_iterations(steps_per_epoch)
    schedule = experiment.schedule.with_warmup_within(max(1, steps // 10))
    if schedule.warmup is not None and schedule != experiment.schedule:
        notes.append(
            f"warm-up shortened to {schedule.warmup.iterations} steps, "
            f"a tenth of this run's {steps}"
        )
    return schedule, scale, notes


def grouped_batches(
    loader: Loader, size: int, steps_per_epoch: int, first_step: int
) -> Iterator[list[Batch]]:
    """The batches of each step from ``first_step`` on, epoch after epoch without end.

    A step has ``size`` batches; the last one of an epoch has what is left.
    """
    epoch, step = divmod(first_step, steps_per_epoch)
    while True:
        loader.set_epoch(epoch, start=step * size)
        batches = iter(loader)
        while group := list(islice(batches, size)):
            yield group
        epoch, step = epoch + 1, 0


@contextlib.contextmanager
def averaged_weights(learner: Learner) -> Iterator[None]:
    """Inside, the model has the averaged weights, where an average is kept."""
    if learner.average is None:
        yield
        return
    learner.average.swap(learner.model)
    try:
        yield
    finally:
        learner.average.swap(learner.model)
