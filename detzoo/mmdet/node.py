"""A V2 dictionary while it is read: every key is taken once, and a key left over is an error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar

from detzoo.errors import ConfigError, UserError
from detzoo.mmdet.defaults import DEFAULTS
from detzoo.mmdet.own_datasets import OwnDataset
from detzoo.mmdet.registry import ADAPTERS, STAND_INS

_DATA: Final = "used where no --data is given"

# Keys whose value changes nothing in an experiment, and why.
WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "ann_file": _DATA,
    "by_epoch": "evaluations are counted as the schedule is",
    "bypass_duplicate": "a parameter that two modules share is one parameter",
    "classwise": "how results are printed",
    "convert_weights": "whose names the pretrained weights have is seen from the names themselves",
    "create_symlink": "the last state is always called last.pt",
    "data_root": _DATA,
    "debug": "V2 does nothing with it",
    "denorm_bbox": "the format of the data says what its numbers mean",
    "dist_params": "how V2 starts its processes",
    "file_client_args": "where V2 reads files from",
    "format_only": "where results go is said by the command",
    "gpu_assign_thr": "where V2 computes overlaps",
    "hierarchy_file": _DATA,
    "image_level_ann_file": _DATA,
    "label_file": _DATA,
    "meta_file": _DATA,
    "gpu_collect": "how V2 gathers results",
    "greater_keys": "what is better follows from the metric",
    "img_prefix": _DATA,
    "ins_ann_file": "of panoptic data, their own things are scored",
    "im2col_step": "how V2 divides the work",
    "inplace": "activations overwrite what nothing else reads",
    "init_scale": "an adaptive loss scale finds its level within some steps",
    "img_scale": "batches are resized by the size of the image that they are",
    "iou_thr": "what is measured follows from the model and the data",
    "iou_thrs": "what is measured follows from the model and the data",
    "jsonfile_prefix": "where results go is said by the command",
    "less_keys": "what is better follows from the metric",
    "log_config": "what V2 prints",
    "log_level": "what V2 prints",
    "max_keep_ckpts": "which files V2 deletes",
    "meta_keys": "which facts V2 carries along with an image",
    "metric_items": "what is printed follows from the metric",
    "metric": "what is measured follows from the model and the data",
    "mp_start_method": "how V2 starts its workers",
    "nms_post": "V2's RPN does not read it, and guided anchoring keeps fewer of all levels",
    "out_dir": "the folder of a run is named where it starts",
    "opencv_num_threads": "how V2 starts its workers",
    "persistent_workers": "how V2 starts its workers",
    "priority": "the order of V2's hooks",
    "proposal_nums": "what is measured follows from the model and the data",
    "proposal_file": _DATA,
    "rule": "what is better follows from the metric",
    "save_best": "the best weights are always kept",
    "save_last": "the last state is always saved",
    "save_optimizer": "the state of the optimizer is always saved",
    "seg_prefix": _DATA,
    "start": "evaluations begin with the first epoch",
    "tmpdir": "how V2 gathers results",
    "to_float32": "steps that compute in float do so whatever they are given",
    "test_mode": "the use of a data set says whether it is a test",
    "sync_cls_avg_factor": "losses are always averaged over all processes",
    "update_pad_shape": "the padded size of an image always follows from its size",
    "work_dir": "the folder of a run is named where it starts",
}

# What only training looks at, wherever it is in a model; so is all that begins with ``loss``.
_TRAINING_ONLY: Final = frozenset(
    ("train_cfg", "init_cfg", "pretrained", "assigner", "sampler", "reg_decoded_bbox")
    + ("teacher_config", "teacher_ckpt", "eval_teacher")
    + ("teacher_backbone", "teacher_neck", "teacher_bbox_head")
)
_RECIPE: Final = frozenset(
    ("optimizer", "optimizer_config", "lr_config", "momentum_config", "runner", "total_epochs")
    + ("fp16", "load_from")
)

# What a part of a configuration is needed for. Nothing else depends on the course of a run: how
# often it evaluates, what it logs, its hooks.
Use = Literal["detect", "train", "run"]

# What a value of the wrong kind leads to: text where a number belongs, and the like.
_CANNOT_BE = (UserError, TypeError, ValueError, LookupError, ArithmeticError)

_REQUIRED: Final = object()

T = TypeVar("T")


def use_of(path: str) -> Use:
    """What the setting at ``path`` is needed for."""
    steps = re.findall(r"[^.\[\]]+", path)
    section, rest = steps[0] if steps else "", steps[1:]
    if section == "model":
        trains = _TRAINING_ONLY.intersection(rest) or any(s.startswith("loss") for s in rest)
        return "train" if trains else "detect"
    if section == "data" and "pipeline" in rest and rest[0] in ("train", "val", "test"):
        return "train" if rest[0] == "train" else "detect"
    return "train" if section in _RECIPE else "run"


class Refusal(ConfigError):
    """What a configuration says at ``path`` that cannot be imported, and why."""

    def __init__(self, source: str, path: str, reason: str, use: Use | None = None) -> None:
        super().__init__(f"{source}: {path}: {reason}")
        self.path = path
        self.reason = reason
        self.use: Use = use_of(path) if use is None else use


class Reading:
    """One configuration being read: where it comes from, its nodes, and what is said of it.

    ``obstacles`` are what cannot be imported, all of them, so that reading goes on after each.
    ``aside`` is what has no effect in detzoo, ``replaced`` what is given in another way: by path.
    ``find_dataset`` finds a data set of the user's own by the name of its class.
    """

    def __init__(
        self, source: str, find_dataset: Callable[[str], OwnDataset | None] = lambda name: None
    ) -> None:
        self.source = source
        self.find_dataset = find_dataset
        self.nodes: list[Node] = []
        self.obstacles: list[Refusal] = []
        self.aside: dict[str, str] = {}
        self.replaced: dict[str, str] = {}
        self.stand_ins: list[Any] = []

    def error(self, path: str, reason: str) -> Refusal:
        return Refusal(self.source, path, reason)

    def note(self, refusal: Refusal) -> None:
        """An obstacle, or what is left aside where no use depends on it."""
        if refusal.use == "run":
            self.aside[refusal.path] = refusal.reason
        elif all(refusal.path != other.path for other in self.obstacles):
            self.obstacles.append(refusal)

    def attempt(self, path: str, read: Callable[[], T], otherwise: T) -> T:
        """What ``read`` reads at ``path``, or ``otherwise`` where it cannot."""
        try:
            return read()
        except Refusal as refusal:
            self.note(refusal)
        except _CANNOT_BE as error:
            self.note(self.error(path, f"a setting here cannot be ({_shown(error)})"))
        self.forget(path)
        return otherwise

    def stand_in(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """What takes the place of a part that cannot be read and that only training looks at."""
        made = STAND_INS[kind](settings)
        if kind != "classification_loss":  # which says how scores are read
            self.stand_ins.append(made)
        return made

    def forget(self, path: str) -> None:
        """Ends the reading of all that is below ``path``."""
        for node in self.nodes:
            if node.path == path or node.path.startswith((f"{path}.", f"{path}[")):
                node.left.clear()

    def finish(self) -> None:
        """Notes every key that nothing has asked for."""
        for node in self.nodes:
            for key in node.left:
                near = difflib.get_close_matches(key, node.taken, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                self.note(node.error(key, f"is no setting that detzoo knows.{hint}"))

    def forget_training(self, why: Refusal) -> None:
        """Leaves ``why`` as the only obstacle to training."""
        self.obstacles = [one for one in self.obstacles if one.use == "detect"] + [why]
        self.replaced.pop("learning rate", None)

    def require(self, *uses: Use) -> None:
        """Raises :class:`ConfigError` with all obstacles, if there is one to these uses."""
        found = self.obstacles
        if all(obstacle.use not in uses for obstacle in found):
            return
        if len(found) == 1:
            raise found[0]
        rows = "".join(f"\n  {one.path}: {one.reason}" for one in found)
        raise ConfigError(f"{self.source}: {len(found)} settings cannot be imported:{rows}")


class Node:
    """One dictionary at ``path``. Plain values come as tuples where V2 has lists."""

    def __init__(self, data: Mapping[str, Any], path: str, reading: Reading) -> None:
        odd = next((key for key in data if not isinstance(key, str)), None)
        if odd is not None:
            raise reading.error(path, f"has the key {odd!r:.60}; the names of settings are text")
        self.original = data
        self.left = dict(data)
        self.taken: set[str] = set()
        self.path = path
        self.reading = reading
        reading.nodes.append(self)
        self._type: str | None = None

    def at(self, key: str) -> str:
        """The full path of ``key``."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, reason: str) -> Refusal:
        return self.reading.error(self.at(key), reason)

    @property
    def type(self) -> str:
        """The V2 type."""
        if self._type is None:
            name = self.take("type")
            if not isinstance(name, str):
                raise self.error("type", f"{name!r} is not the name of a type")
            self._type = name
        return self._type

    def has(self, key: str) -> bool:
        """Whether ``key`` is there with a value other than None."""
        return self.left.get(key) is not None

    def take(self, key: str, default: Any = _REQUIRED) -> Any:
        """The plain value of ``key``; ``default`` where V2 has one."""
        self.taken.add(key)
        if key not in self.left:
            if default is _REQUIRED:
                raise self.error(key, "missing, and V2 has no default for it")
            return default
        value = self.left.pop(key)
        if isinstance(value, Mapping):
            raise self.error(key, "is a dictionary where a plain value is expected")
        return _plain(value)

    def take_any(self, key: str) -> None:
        """Takes ``key``, whatever it holds; it may be absent."""
        self.taken.add(key)
        self.left.pop(key, None)

    def expect(self, key: str, value: Any, reason: str, *, default: Any = None) -> None:
        """Takes a fact that follows from another one, or an option that nothing else uses.

        It is an obstacle where it is not ``value``. V2 takes ``default`` where the key is absent;
        None: that it may be absent.
        """
        if key == "type":
            given = self.type
        else:
            given = self.take(key, _plain(value) if default is None else default)
        if given != _plain(value):
            self.reading.note(self.error(key, f"{given!r} is not {_plain(value)!r}, {reason}"))

    def ignore(self, *keys: str) -> None:
        """Takes keys that are ``WITHOUT_EFFECT``."""
        for key in keys:
            self.taken.add(key)
            if self.left.pop(key, None) is not None:
                reason = WITHOUT_EFFECT[key]
                said = self.reading.replaced if reason == _DATA else self.reading.aside
                said[self.at(key)] = reason

    def leave(self, key: str, reason: str) -> None:
        """Takes ``key``, whatever it holds, which has no effect in this place."""
        if self.has(key):
            self.reading.aside[self.at(key)] = reason
        self.take_any(key)

    def child(self, key: str) -> Node:
        """The dictionary at ``key``, V2's own where it is left out."""
        self.taken.add(key)
        own = DEFAULTS.get(str(self.original.get("type")), {})
        if key not in self.left and key not in own:
            raise self.error(key, "missing, and V2 has no default for it")
        value = self.left.pop(key) if key in self.left else own[key]
        if not isinstance(value, Mapping):
            raise self.error(key, f"{value!r} is not a dictionary")
        return Node(value, self.at(key), self.reading)

    def optional_child(self, key: str) -> Node | None:
        """The dictionary at ``key``, None where there is none."""
        if self.has(key):
            return self.child(key)
        self.take(key, None)
        return None

    def children(self, key: str) -> list[Node]:
        """The list of dictionaries at ``key``; one alone counts as a list of one."""
        self.taken.add(key)
        if key not in self.left:
            raise self.error(key, "missing, and V2 has no default for it")
        value = self.left.pop(key)
        items = [value] if isinstance(value, Mapping) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(i, Mapping) for i in items):
            raise self.error(key, f"{value!r} is not a list of dictionaries")
        single = isinstance(value, Mapping)
        paths = [self.at(key) if single else f"{self.at(key)}[{i}]" for i in range(len(items))]
        return [Node(item, path, self.reading) for item, path in zip(items, paths)]

    def numbered(self, key: str) -> Node:
        """The list at ``key`` as a dictionary, whose keys are ``"0"``, ``"1"`` and so on."""
        self.taken.add(key)
        value = self.left.pop(key, None)
        if not isinstance(value, (list, tuple)):
            raise self.error(key, f"{value!r} is not a list")
        return Node({str(i): item for i, item in enumerate(value)}, self.at(key), self.reading)

    def lists(self, key: str) -> list[list[Node]]:
        """The list of lists of dictionaries at ``key``."""
        rows = self.numbered(key)
        return [rows.children(number) for number in tuple(rows.left)]

    def part(self, key: str, kind: str, *known: Any) -> Any:
        """The part at ``key``, read by the adapter of its type; ``known`` is passed on."""
        try:
            node = self.child(key)
        except Refusal as refusal:
            if refusal.use == "detect" or kind not in STAND_INS:
                raise
            self.reading.note(refusal)
            return self.reading.stand_in(kind, {})
        return node.adapt(kind, *known)

    def optional_part(self, key: str, kind: str, *known: Any) -> Any:
        """The part at ``key``, None where there is none."""
        node = self.optional_child(key)
        return None if node is None else node.adapt(kind, *known)

    def adapt(self, kind: str, *known: Any) -> Any:
        """This node, read by the adapter of its type.

        What only training looks at is replaced where it cannot be read, so that the rest can.
        """
        try:
            return self._adapt(kind, *known)
        except Refusal as refusal:
            if refusal.use == "detect" or kind not in STAND_INS:
                raise
            self.reading.note(refusal)
            self.reading.forget(self.path)
            return self.reading.stand_in(kind, self.original)

    def _adapt(self, kind: str, *known: Any) -> Any:
        adapters = ADAPTERS[kind]
        if self.type not in adapters:
            near = difflib.get_close_matches(self.type, adapters, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise self.error(
                "type",
                f"detzoo has no {kind.replace('_', ' ')} called {self.type!r}{hint} "
                f"(it has {', '.join(sorted(adapters))})",
            )
        try:
            return adapters[self.type](self, *known)
        except Refusal:
            raise
        except _CANNOT_BE as error:
            reason = f"a setting of this {self.type} cannot be ({_shown(error)})"
            raise self.error("type", reason) from error


def _shown(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value
