"""The trainer: set-up, steps, evaluation and saving of a training run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from detzoo.checkpoints.architecture import architecture_of
from detzoo.config import ConfigError
from detzoo.data.dataset import DetectionDataset
from detzoo.data.hold_out import Division
from detzoo.data.loader import dead_workers_explained
from detzoo.detectors.base import Detector
from detzoo.detectors.receptive_fields import ReceptiveFields, branched
from detzoo.devices import autocast
from detzoo.errors import CheckpointError
from detzoo.evaluate.metrics import Metrics
from detzoo.experiment import Experiment
from detzoo.optim.optimizers import set_momentum
from detzoo.structures import Batch, Losses
from detzoo.train.callbacks.base import Callback
from detzoo.train.compiled import CompiledTraining
from detzoo.train.data import (
    check_labels,
    grouped_batches,
    notes_on_priors,
    open_loader,
    usable_data,
)
from detzoo.train.distributed import Processes
from detzoo.train.log import Averages, Stopwatch, memory_in_use
from detzoo.train.plan import fit_recipe
from detzoo.train.rehearsal import Rehearsal
from detzoo.train.state import (
    Learner,
    Position,
    check_unlocked,
    load_last,
    locked,
    seed_step,
)
from detzoo.train.teacher import give_teacher
from detzoo.train.validation import Validation
from detzoo.train.watch import Interrupt, Watch


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run. ``metrics`` is the last evaluation, if there was one.

    ``best`` contains the metrics, by name, of the weights in ``best.pt``. ``stop_signal`` is the
    signal that stopped the run (SIGINT for Ctrl-C), which can be resumed from ``last.pt``.
    ``rehearsal`` is set if the run was only rehearsed.
    """

    run_dir: Path
    iterations: int
    metrics: Metrics | None
    best: dict[str, float]
    stop_signal: signal.Signals | None = None
    rehearsal: Rehearsal | None = None

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped by a signal before its end."""
        return self.stop_signal is not None


class Trainer:
    """One run in one process. Construction checks everything except the run folder; see
    :meth:`run`.

    Callbacks read its attributes, and call :meth:`log`, :meth:`say` and :meth:`stop`. Parameters
    are those of :func:`detzoo.train.loop.train`; ``metric`` is the one to monitor.
    """

    def __init__(
        self,
        experiment: Experiment,
        model: Detector,
        train_data: DetectionDataset,
        val_data: DetectionDataset | None,
        run_dir: Path,
        processes: Processes,
        *,
        callbacks: Sequence[Callback] = (),
        resume: bool = False,
        scale_learning_rate: bool = True,
        metric: str | None = None,
        checkpoint_steps: int | None = None,
        fused: bool = True,
        compiled: bool = False,
        log_interval: int = 20,
        division: Division | None = None,
        val_batch_size: int = 1,
    ) -> None:
        self.experiment, self.run_dir, self.processes = experiment, run_dir, processes
        self.division = division
        self.resumed = resume
        self.callbacks = [c for c in callbacks if processes.is_first or not c.first_process_only]

        # Data and plan.
        check_labels(experiment, train_data)
        experiment.check_needs(train_data, training=True)
        self.train_data, self.val_data = usable_data(experiment, train_data), val_data
        self._loader = open_loader(experiment, self.train_data, processes)
        steps_per_epoch = math.ceil(len(self._loader) / experiment.accumulate)
        plan, self._notes = fit_recipe(
            experiment, steps_per_epoch, processes.count, scale_learning_rate
        )
        self.plan = dataclasses.replace(
            plan, checkpoint_steps=checkpoint_steps, log_interval=log_interval
        )
        self._notes += [n for n in self.train_data.notes if n not in train_data.notes]
        self._notes += notes_on_priors(model, self._loader) if processes.is_first else []

        # What learns.
        give_teacher(model, experiment.class_names)
        self.model = model.to(processes.device).to(memory_format=torch.channels_last).train()
        self.learner = Learner.of(experiment, self.model, processes.device)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._parallel = processes.parallel(CompiledTraining(model) if compiled else model)
        self._watch = Watch(processes, run_dir, self.model)
        if not self.learner.scaler.is_enabled():  # GradScaler skips steps itself
            self._watch.guard(self.optimizer)

        # Validation.
        self.validation = None
        if val_data is not None:
            self.validation = Validation(
                experiment, val_data, processes, metric, self.callbacks, fused, val_batch_size
            )
            if self.validation.is_undefined:
                self._notes.append(
                    f"{self.metric} is undefined on {val_data.source}, which contains no "
                    "objects, so best.pt is not written"
                )

        # Position.
        self.position = Position(steps_per_epoch=steps_per_epoch, lr_scale=plan.lr_scale)
        self.metrics: Metrics | None = None
        self._means, self._stopwatch = Averages(), Stopwatch()
        self._interrupt = Interrupt(self.say)
        self._is_final, self._is_stopping = False, False
        self._epoch = -1
        self._signal = 0  # the number of the signal to stop for

    # ------------------------------------------------------------------------- for callbacks

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self.learner.optimizer

    @property
    def metric(self) -> str:
        """The name of the metric that determines the best evaluation."""
        assert self.validation is not None, "nothing is evaluated"
        return self.validation.metric

    def log(self, values: Mapping[str, Tensor]) -> None:
        """Adds scalars to the averages of the next record; processes must log the same names."""
        self._means.add(values)

    def say(self, text: str) -> None:
        """Displays a message, and appends it to ``log.txt``."""
        for callback in self.callbacks:
            callback.on_message(self, text)

    def stop(self) -> None:
        """Ends the run after this step; must be called in every process."""
        self._is_stopping = True

    # ------------------------------------------------------------------------------- the run

    def run(self) -> TrainingResult:
        """Trains until the end, or until stopped."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(dead_workers_explained())
            stack.callback(self._loader.close)
            if self.processes.is_first:
                stack.enter_context(locked(self.run_dir))
            self._enter_folder()
            for callback in self.callbacks:
                callback.on_start(self)
                stack.push(functools.partial(self._leave, callback))
            for note in self._notes:
                self.say(note)
            stack.enter_context(self._interrupt)
            self._train()
            done, last = self.position.iteration, self.run_dir / "last.pt"
            if self._signal:
                self.say(f"stopped after step {done} of {self.plan.steps}; saved in {last}")
                if self.position.owes_evaluation:
                    self.say("its evaluation was not finished: --resume starts with it")
            stop_signal = signal.Signals(self._signal) if self._signal else None
            return TrainingResult(self.run_dir, done, self.metrics, self.position.best, stop_signal)

    def write_nothing(self) -> None:
        """Makes steps that are tried out, from which no file remains and no callback learns."""
        self.callbacks, self._watch.run_dir = [], None

    def rehearse(self) -> TrainingResult:
        """Takes the next step and evaluates an image in each process; writes nothing.

        No callback is called but for messages. The model has changed then: it is not to be trained.
        """
        with dead_workers_explained(), contextlib.closing(self._loader):
            check_unlocked(self.run_dir)
            self._enter_folder()
            for note in self._notes:
                self.say(note)
            self.write_nothing()
            done = self.position.iteration
            if done < self.plan.steps:
                batches = grouped_batches(
                    self._loader, self.experiment.accumulate, self.plan.steps_per_epoch, done
                )
                self.step(next(batches))
                self._watch.check(everything=True)
            losses, seconds = self._means.drain(), self._stopwatch.drain()["step_time"]
            memory = memory_in_use(self.processes.device)
            evaluated = None
            if self.validation is not None:
                with self.learner.averaged_weights():
                    evaluated = self.validation.run(self.model, self._interrupt, most=1)
        data = self.experiment.data
        sizes = [(p.numel(), p.requires_grad) for p in self.model.parameters()]
        rehearsal = Rehearsal(
            plan=self.plan,
            steps_done=done,
            images=len(self.train_data),
            images_per_step=data.images_per_device
            * self.processes.count
            * self.experiment.accumulate,
            learning_rate=self.experiment.optimizer.lr * self.plan.lr_scale,
            parameters=sum(size for size, _ in sizes),
            trained_parameters=sum(size for size, is_trained in sizes if is_trained),
            losses=losses,
            seconds=seconds,
            memory_gb=memory,
            device=self.processes.device,
            metric=None if self.validation is None else self.metric,
            metrics=None if evaluated is None else evaluated[0],
        )
        return TrainingResult(self.run_dir, done, None, self.position.best, rehearsal=rehearsal)

    def _enter_folder(self) -> None:
        """Restores the state of a run to be resumed, or checks that the folder has no run."""
        last = self.run_dir / "last.pt"
        if self.resumed:
            self.position, changes, fields = load_last(
                last, self.experiment, self.learner, self.position
            )
            self._have(fields)
            self._notes += [f"resuming with a changed setting: {change}" for change in changes]
            done, steps = self.position.iteration, self.plan.steps
            self._notes.append(f"resuming after step {done} of {steps}")
        elif last.exists():
            raise CheckpointError(
                f"{last}: already exists. Resume the run with --resume, or give another folder."
            )
        self.processes.wait()  # until all have read the folder

    def _leave(
        self,
        callback: Callback,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        callback.on_end(self, error)

    def _train(self) -> None:
        """Runs the remaining steps, or those until the run is stopped."""
        if self.position.owes_evaluation:
            self._evaluate()
            self._save()
        batches = grouped_batches(
            self._loader,
            self.experiment.accumulate,
            self.plan.steps_per_epoch,
            self.position.iteration,
        )
        while self.position.iteration < self.plan.steps and not self._ends:
            with self._stopwatch.data():
                group = next(batches)
            self.step(group)
            self._after_step()

    @property
    def _ends(self) -> bool:
        return self._is_stopping or self._signal != 0

    def step(self, batches: Sequence[Batch]) -> None:
        """Runs the optimizer step at ``position``."""
        step, scaler = self.position.iteration, self.learner.scaler
        if self._epoch != (epoch := step // self.plan.steps_per_epoch):
            self._epoch = epoch
            self.model.enter_epoch(epoch)
            if step == epoch * self.plan.steps_per_epoch:  # not when resumed within it
                self._search(epoch)
        if not self._is_final and self.plan.is_final(step):
            self._is_final = True
            self.model.enter_final_epochs()
        seed_step(self.experiment.seed, self.processes.rank, step)
        factor, momentum = self.plan.rate_factor(step), self.plan.momentum(step)
        for group, rate in zip(self.optimizer.param_groups, self._rates):
            group["lr"] = rate * factor
            if momentum is not None:
                set_momentum(group, momentum)
        for number, batch in enumerate(batches, 1):
            is_last = number == len(batches)
            with self.processes.gradients_shared(self._parallel, now=is_last):
                losses = self._losses(batch)
                loss, logged = losses.total(), losses.logged()
                self._watch.observe(loss, logged, batch, step, self._interrupt.requested)
                scaler.scale(loss / len(batches)).backward()
            self.log({**logged, "loss": loss})
        self._signal = self._watch.check()
        scaler.unscale_(self.optimizer)
        for callback in self.callbacks:
            callback.on_backward(self)
        if self.experiment.max_gradient_norm is not None:
            order = self.experiment.gradient_norm_order
            norm = torch.nn.utils.clip_grad_norm_(
                self.model.parameters(),
                self.experiment.max_gradient_norm,
                math.inf if order is None else order,
            )
            self.log({"gradient_norm": norm})
        scaler.step(self.optimizer)
        scaler.update(self.experiment.loss_scale)
        self.optimizer.zero_grad()
        if self.learner.average is not None:
            self.learner.average.update(self.model)

    def _search(self, epoch: int) -> None:
        """Takes a step of the search for receptive fields if it is due."""
        fields = self.experiment.receptive_fields
        if fields is None or not fields.searches_at(epoch):
            return
        before = {name: conv.dilation[0] for name, conv in branched(self.model).items()}
        found = fields.step(self.model)
        changed = sum(before[name] != dilation for name, dilation in found.dilations)
        self.say(f"search: {changed} of {len(found.dilations)} convolutions have another dilation")
        self._have(found)

    def _have(self, fields: ReceptiveFields | None) -> None:
        """Notes the receptive fields that the model has now, which checkpoints say."""
        if fields != self.experiment.receptive_fields:
            self.experiment = dataclasses.replace(self.experiment, receptive_fields=fields)
            built = architecture_of(self.experiment)
            self.learner = dataclasses.replace(self.learner, architecture=built)

    def _losses(self, batch: Batch) -> Losses:
        """Computes the losses of the model and of callbacks."""
        on_device = batch.to(self.processes.device)
        with autocast(self.processes.device, self.experiment.precision):
            images, targets = self.model.preprocess(on_device), on_device.targets
            sizes = self.experiment.data.batch_resize
            if sizes is not None:
                images, targets = sizes.resize(
                    images, targets, seed=self.experiment.seed, step=self.position.iteration
                )
            losses = Losses.of(self._parallel(images, targets))
            for callback in self.callbacks:
                more = Losses.of(callback.on_losses(self, images, targets))
                if clash := losses.logged().keys() & more.logged().keys():
                    raise ConfigError(
                        f"{type(callback).__name__}: there already is a loss {min(clash)}"
                    )
                losses |= more
        return losses

    def _after_step(self) -> None:
        """Logs, evaluates and saves if due."""
        self.position.iteration += 1
        self._stopwatch.steps += 1
        for callback in self.callbacks:
            callback.on_step(self)
        done = self.position.iteration
        evaluates, saves = self.plan.evaluates_after(done), self.plan.saves_after(done)
        if not (evaluates or saves or self._ends or self.plan.logs_after(done)):
            return
        self._signal = max(self._signal, self._watch.check(everything=True))
        self._record()
        if evaluates:
            self._evaluate()
        if saves or self._ends:
            self._save()

    def _record(self) -> None:
        """Passes the averages since the last record to the callbacks."""
        record: dict[str, Any] = {"kind": "train", "iteration": self.position.iteration}
        record |= {"epoch": self.position.epoch, "lr": self.optimizer.param_groups[0]["lr"]}
        record |= self._means.drain() | self._stopwatch.drain()
        record["memory_gb"] = memory_in_use(self.processes.device)
        for callback in self.callbacks:
            callback.on_log(self, record)

    def _evaluate(self) -> None:
        """Evaluates the current weights, or their average if there is one.

        If interrupted by a signal, resuming starts with this evaluation.
        """
        if self.validation is None:
            return
        self.position.owes_evaluation = True
        if self._signal:
            return
        with self._stopwatch.stopped(), self.learner.averaged_weights():
            self.processes.share(self.model.buffers())  # the first one's statistics
            evaluated = self.validation.run(self.model, self._interrupt, self._show_evaluated)
            if evaluated is None:
                self._signal = self._interrupt.of_any(self.processes)
                return
            metrics, results = evaluated
            self.metrics = metrics
            for callback in self.callbacks:
                callback.on_detections(self, results)
            self.position.owes_evaluation = False
            is_best = self.position.note(metrics.values, self.metric)
            for callback in self.callbacks:
                callback.on_evaluation(self, metrics, is_best)

    def _show_evaluated(self, count: int, total: int) -> None:
        for callback in self.callbacks:
            callback.on_images_evaluated(self, count, total)

    def _save(self) -> None:
        for callback in self.callbacks:
            callback.on_save(self)
