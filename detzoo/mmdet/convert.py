"""A V2 configuration as an experiment."""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import check
from detzoo.detectors.base import DetectorConfig
from detzoo.errors import ConfigError
from detzoo.experiment import DataConfig, Experiment
from detzoo.mmdet.adapters import recipe
from detzoo.mmdet.adapters.schedules import momentum_of, schedule_of
from detzoo.mmdet.data_paths import DataPaths
from detzoo.mmdet.data_section import Data, read_data
from detzoo.mmdet.node import Node, Reading, Refusal
from detzoo.mmdet.older_spellings import modernized
from detzoo.mmdet.read_config import SourceFile
from detzoo.mmdet.registry import ADAPTERS
from detzoo.mmdet.version1 import REASON, sign_of_version1
from detzoo.mmdet.version1 import TO_TRAIN as TO_TRAIN_1
from detzoo.mmdet.version1 import as_version2 as as_version2_of_1
from detzoo.mmdet.version3 import TO_TRAIN, as_version2, is_version3
from detzoo.optim.optimizers import OptimizerConfig, SGDConfig
from detzoo.optim.schedules import Schedule
from detzoo.structures import Pixels
from detzoo.zoo.classes import OBJECT

# The variables of a V2 file that mean something; all others are the author's own.
SECTIONS = (
    "model",
    "data",
    "optimizer",
    "optimizer_config",
    "lr_config",
    "momentum_config",
    "runner",
    "total_epochs",
    "evaluation",
    "checkpoint_config",
    "custom_hooks",
    "fp16",
    "auto_scale_lr",
    "load_from",
    "resume_from",
    "workflow",
)

# Sections that say how V2 runs; what takes their place.
LEFT_ASIDE = {
    "resume_from": "a run is resumed with --resume",
    "log_config": "what is logged is chosen where a run starts (--logger)",
    "custom_imports": "nothing is imported; --import MODULE imports for detzoo",
    "work_dir": "the folder of a run is named where it starts (--out)",
}


@dataclass(frozen=True)
class Imported:
    """What a V2 configuration describes.

    ``experiment`` has a name for each class of the model, ``trained_classes`` are those that
    training is for (None: all of the data). Where there are ``obstacles`` to training, the parts
    that they concern are stand-ins: ``require_training`` before using these.

    Args:
        experiment: As detzoo says it.
        trained_classes: Those of ``classes=``, None where the data name them.
        reading: What was replaced, left aside, and not understood.
        paths: Where the data lie of which a file says so: by "train", "val" and "test".
    """

    experiment: Experiment
    trained_classes: tuple[str, ...] | None
    reading: Reading
    paths: Mapping[str, DataPaths] = dataclasses.field(default_factory=dict)

    @property
    def obstacles(self) -> tuple[Refusal, ...]:
        """What stands in the way of training with this configuration."""
        return tuple(self.reading.obstacles)

    def to_train(self) -> Experiment:
        """The experiment, once there is no obstacle to training with it.

        Raises :class:`ConfigError` with all obstacles.
        """
        self.reading.require("detect", "train")
        names = self.trained_classes
        return self.experiment if names is None else self.experiment.with_all_names(names)

    def row_names(self, class_names: tuple[str, ...]) -> tuple[str, ...]:
        """A name for each class of the model, stuff included, of which a checkpoint may name fewer.

        Raises :class:`ConfigError` if it names more.
        """
        count = len(self.experiment.all_names)
        if len(class_names) > count:
            raise ConfigError(
                f"{self.reading.source}: names {len(class_names)} classes "
                f"({', '.join(class_names[:5])}, ...), but its model has {count} (num_classes)."
            )
        return (*class_names, *_unnamed(class_names, range(count - len(class_names))))


def experiment_of(config: Mapping[str, Any], source: str) -> Experiment:
    """The experiment that a merged V2 configuration describes; ``source`` is its name in errors.

    Raises :class:`ConfigError`, naming the places in the configuration, for types that detzoo does
    not have, settings that no adapter knows, and facts that contradict each other.
    """
    return import_config(config, Reading(source)).to_train()


def import_config(
    config: Mapping[str, Any], reading: Reading, files: Sequence[SourceFile] | None = None
) -> Imported:
    """What a merged V2 configuration describes.

    Strict about the model and how an image reaches it: raises :class:`ConfigError` with all
    obstacles to detecting. Those to training alone are kept. What concerns only the course of a run
    is understood, or left aside and reported. ``files`` are the file and its bases.
    """
    if files is None:
        files = (SourceFile(Path(reading.source).stem, config),)
    is_newer = is_version3(config)
    if is_newer:
        config = as_version2(config)
    _check_names(config, reading.source)
    sections = {key: config[key] for key in SECTIONS if key in config}
    root = Node(modernized(sections, config), "", reading)
    _leave_aside(root, config)
    if "model" not in root.left:
        raise reading.error("model", "missing: this file describes no detector")
    data = read_data(root)
    given = data.class_names
    sign = sign_of_version1(config.get("model"), None if given is None else len(given))
    if sign is not None:
        older = as_version2_of_1(root.left["model"])
        if older is None:
            raise reading.error("model", REASON.format(sign))
        root.left["model"] = older
    model = root.child("model")
    count = _number_of_classes(model, data.class_names)
    num_stuff = _number_of_stuff(model)
    names = OBJECT if model.left.get("type") == "RPN" else _names(data, count, reading)
    detector = _read_model(model, len(names) - num_stuff, data.pixels)
    batch_resize = reading.attempt(
        "model", lambda: recipe.batch_resize(model, data.settings.train_transforms), None
    )
    settings = _read_recipe(root, data.settings, files)
    resize = settings.pop("batch_resize", batch_resize)
    reading.finish()
    if is_newer:
        reading.forget_training(Refusal(reading.source, "train_dataloader", TO_TRAIN, use="train"))
    if sign is not None:
        reason = TO_TRAIN_1.format(sign)
        reading.forget_training(Refusal(reading.source, "train_cfg", reason, use="train"))
    reading.require("detect")
    if detector is None:  # what training alone needs was not there, and nothing can replace it
        reading.require("detect", "train")
        raise AssertionError("a model that cannot be read has an obstacle")
    detector = _settled(detector, reading.stand_ins)
    known = DataConfig(train_transforms=(), test_transforms=data.settings.test_transforms)
    _require_valid(detector, reading)
    _require_valid(known, reading)
    detects = Experiment(
        model=detector,
        class_names=(),
        data=known,
        receptive_fields=settings.pop("receptive_fields", None),
    )
    detects = detects.with_all_names(names, num_stuff)
    try:
        data_settings = replace(data.settings, batch_resize=resize)
        experiment = replace(detects, data=data_settings, **settings)
        check(experiment, config_classes())
    except ConfigError as error:
        path, _, reason = str(error).partition(": ")
        reading.note(Refusal(reading.source, path, reason, use="train"))
        experiment = detects
    trained = data.class_names if data.names_are_given and names is not OBJECT else None
    return Imported(experiment, trained, reading)


def _settled(value: Any, stand_ins: Sequence[Any]) -> Any:
    """``value`` with the defaults of its fields where these hold stand-ins."""
    if isinstance(value, tuple):
        return tuple(_settled(item, stand_ins) for item in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        stands_in = any(item is one for one in stand_ins)
        if stands_in and field.default is not dataclasses.MISSING:
            changes[field.name] = field.default
        elif (settled := _settled(item, stand_ins)) != item:
            changes[field.name] = settled
    return replace(value, **changes) if changes else value


def _require_valid(settings: Any, reading: Reading) -> None:
    """Refuses values that a field cannot have, in the words of detzoo's settings."""
    try:
        check(settings, config_classes())
    except ConfigError as error:
        raise ConfigError(f"{reading.source}: {error}") from None


def _read_model(node: Node, num_classes: int, pixels: Pixels) -> DetectorConfig | None:
    """The detector, None where it cannot be read; then other types that are unknown are noted."""
    detector: DetectorConfig | None = None
    original = copy.deepcopy(dict(node.original))
    try:
        detector = node.adapt("detector", num_classes, pixels)
    except Refusal as refusal:
        node.reading.note(refusal)
        node.reading.forget("model")
        known = {name for adapters in ADAPTERS.values() for name in adapters}
        for path, name in _types(original, "model"):
            if name not in known | PLAIN_TYPES:
                node.reading.note(node.reading.error(path, f"detzoo has no {name!r}"))
    return detector


def _types(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The path and value of every ``type`` in ``value``."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "type" and isinstance(item, str):
                yield f"{path}.type", item
            elif key not in ("init_cfg", "train_cfg") and not key.startswith("loss"):
                yield from _types(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _types(item, f"{path}[{i}]")


# Types within a model that need no adapter of their own: their part reads them.
PLAIN_TYPES = frozenset(
    (
        "RoIAlign",
        "RoIPool",
        "DeformRoIPoolPack",
        "ModulatedDeformRoIPoolPack",
        "Linear",
        "Conv",
        "dilation",
    )
    + ("NormedLinear", "NormedConv2d", "deconv", "carafe", "GHMC", "GHMR", "QualityFocalLoss")
    + ("DistributionFocalLoss", "MSELoss", "MaskIoUHead", "FusedSemanticHead")
    + ("offset", "StageCascadeRPNHead")
)


def _read_recipe(root: Node, data: DataConfig, files: Sequence[SourceFile]) -> dict[str, Any]:
    """Optimizer, schedule and the course of a run: fields of the experiment."""
    attempt = root.reading.attempt
    optimizer: OptimizerConfig = attempt(
        "optimizer", lambda: root.part("optimizer", "optimizer"), SGDConfig(lr=0.02)
    )
    schedule = attempt("lr_config", lambda: schedule_of(root, optimizer), Schedule())
    batch = recipe.reference_batch_of(root, optimizer, files)
    if any(obstacle.path.startswith("optimizer") for obstacle in root.reading.obstacles):
        root.reading.replaced.pop("learning rate")
    momentum = attempt("momentum_config", lambda: momentum_of(root, optimizer, schedule), None)
    hooks = recipe.hooks_of(root, data.train_transforms)
    nothing: dict[str, Any] = {}
    settings = {
        "optimizer": optimizer,
        "schedule": replace(schedule, momentum=momentum),
        "reference_batch": batch,
        "initial_weights": attempt("load_from", lambda: _initial_weights(root), None),
        **attempt("fp16", lambda: recipe.precision_of(root), nothing),
        **attempt("optimizer_config", lambda: recipe.steps_of(root), nothing),
        **hooks,
        **recipe.intervals_of(root, schedule, hooks.get("final")),
    }
    for key in SECTIONS:  # what could not be read has been noted
        root.take_any(key)
    return settings


def _leave_aside(root: Node, config: Mapping[str, Any]) -> None:
    """Sections that say how V2 runs, and not what."""
    for key, reason in LEFT_ASIDE.items():
        if config.get(key) not in (None, (), [], {}):
            root.reading.aside[key] = reason
        root.take_any(key)
    if "workflow" in root.left and not _is_plain_workflow(root.take("workflow")):
        root.reading.aside["workflow"] = "each epoch trains, then evaluates"


def _is_plain_workflow(value: Any) -> bool:
    return value is None or value == (("train", 1),)


def _number_of_classes(model: Node, names: tuple[str, ...] | None) -> int | None:
    """That of the model's heads, stuff included; where none says it, that of the names."""
    fusion = model.left.get("panoptic_fusion_head")
    if isinstance(fusion, Mapping):
        return int(fusion.get("num_things_classes", 80)) + _number_of_stuff(model)
    roi_head = model.left.get("roi_head")
    for place in (model.left, roi_head):
        for key in ("bbox_head", "mask_head"):
            head = place.get(key) if isinstance(place, Mapping) else None
            while isinstance(head, list | tuple) and head:
                head = head[0]
            if isinstance(head, Mapping) and isinstance(head.get("num_classes"), int):
                return int(head["num_classes"])
    return None if names is None else len(names)


def _number_of_stuff(model: Node) -> int:
    """The number of classes without instances, which only panoptic models have."""
    fusion = model.left.get("panoptic_fusion_head")
    return int(fusion.get("num_stuff_classes", 53)) if isinstance(fusion, Mapping) else 0


def _names(data: Data, count: int | None, reading: Reading) -> tuple[str, ...]:
    """A name for each class of the model, whose number rules: its weights have as many rows."""
    names = data.class_names
    if count is None or count < 1:
        raise reading.error("model", "says nowhere how many classes it has (num_classes)")
    if names is not None and len(names) == count:
        return names
    if names is None or not data.names_are_given:
        reading.replaced["class names"] = f"those of the checkpoint or the data, which has {count}"
        return _unnamed((), range(count))
    reading.replaced["num_classes"] = (
        f"this model has {count}; what is trained are the {len(names)} of classes="
    )
    if len(names) > count:
        return _unnamed((), range(count))
    return (*names, *_unnamed(names, range(count - len(names))))


def _unnamed(names: Sequence[str], rows: Sequence[object]) -> tuple[str, ...]:
    """What classes are called that have no name, which come after ``names``."""
    return tuple(f"class_{len(names) + i + 1}" for i in range(len(rows)))


def _check_names(config: Mapping[str, Any], source: str) -> None:
    """A misspelt section would pass for one of the author's own variables."""
    for name in config:
        if name in SECTIONS:
            continue
        near = difflib.get_close_matches(name, SECTIONS, n=1, cutoff=0.85)
        if near and near[0] not in config:
            raise ConfigError(f"{source}: {name}: did you mean {near[0]!r}? No section has it.")


def _initial_weights(root: Node) -> str | None:
    """``load_from``: a file where it lies, the entry whose published file it is, or an address.

    Published files lie in a folder with the name of their entry; some entries have had several.
    """
    load_from = root.take("load_from", None)
    if load_from is None:
        return None
    if not isinstance(load_from, str):
        raise root.error("load_from", f"{load_from!r} is not the name or address of a file")
    if Path(load_from).is_file():
        return load_from
    folder, file = ("", *load_from.split("/"))[-2:]
    published = (
        entry.name
        for entry in zoo.entries()
        if (entry.weights is not None and entry.weights.split("/")[-1] == file)
        or ("/v2.0/" in load_from and file.endswith(".pth") and entry.name == folder)
    )
    return next(published, load_from)
