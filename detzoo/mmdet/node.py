"""A V2 dictionary while it is read: every key is taken once, and a key left over is an error."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from detzoo.errors import ConfigError, UserError
from detzoo.mmdet.registry import ADAPTERS

# Keys whose value changes nothing in an experiment, and why.
WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "ann_file": "data sets are named where a run starts",
    "bypass_duplicate": "a parameter that two modules share is one parameter",
    "classwise": "how results are printed",
    "convert_weights": "whose names the pretrained weights have is seen from the names themselves",
    "data_root": "data sets are named where a run starts",
    "debug": "V2 does nothing with it",
    "dist_params": "how V2 starts its processes",
    "gpu_assign_thr": "where V2 computes overlaps",
    "img_prefix": "data sets are named where a run starts",
    "init_scale": "an adaptive loss scale finds its level within some steps",
    "log_config": "what V2 prints",
    "log_level": "what V2 prints",
    "max_keep_ckpts": "which files V2 deletes",
    "meta_keys": "which facts V2 carries along with an image",
    "metric": "what is measured follows from the model and the data",
    "mp_start_method": "how V2 starts its workers",
    "nms_post": "V2's RPN does not read it, and guided anchoring keeps fewer of all levels",
    "opencv_num_threads": "how V2 starts its workers",
    "persistent_workers": "how V2 starts its workers",
    "priority": "the order of V2's hooks",
    "proposal_file": "proposals are given where a run starts",
    "save_best": "the best weights are always kept",
    "seg_prefix": "data sets are named where a run starts",
    "to_float32": "steps that compute in float do so whatever they are given",
    "sync_cls_avg_factor": "losses are always averaged over all processes",
    "work_dir": "the folder of a run is named where it starts",
}

_REQUIRED: Final = object()


class Reading:
    """One configuration being read: where it comes from, and its nodes."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.nodes: list[Node] = []

    def error(self, path: str, reason: str) -> ConfigError:
        return ConfigError(f"{self.source}: {path}: {reason}")

    def require_all_taken(self) -> None:
        """Raises :class:`ConfigError` naming every key that nothing has asked for."""
        left = [(node, key) for node in self.nodes for key in node.left]
        if left:
            node, key = left[0]
            near = difflib.get_close_matches(key, node.taken, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            others = [other.at(name) for other, name in left[1:]]
            also = f" Neither are {', '.join(others[:8])}." if others else ""
            raise self.error(node.at(key), f"is no setting that detzoo knows.{hint}{also}")


class Node:
    """One dictionary at ``path``. Plain values come as tuples where V2 has lists."""

    def __init__(self, data: Mapping[str, Any], path: str, reading: Reading) -> None:
        odd = next((key for key in data if not isinstance(key, str)), None)
        if odd is not None:
            raise reading.error(path, f"has the key {odd!r:.60}; the names of settings are text")
        self.left = dict(data)
        self.taken: set[str] = set()
        self.path = path
        self.reading = reading
        reading.nodes.append(self)
        self._type: str | None = None

    def at(self, key: str) -> str:
        """The full path of ``key``."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, reason: str) -> ConfigError:
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

    def expect(self, key: str, value: Any, reason: str, *, default: Any = None) -> None:
        """Takes a fact that follows from another one, or an option that nothing else uses.

        Raises :class:`ConfigError` where it is not ``value``. V2 takes ``default`` where the key is
        absent; None: that it may be absent.
        """
        if key == "type":
            given = self.type
        else:
            given = self.take(key, _plain(value) if default is None else default)
        if given != _plain(value):
            raise self.error(key, f"{given!r} is not {_plain(value)!r}, {reason}")

    def ignore(self, *keys: str) -> None:
        """Takes keys that are ``WITHOUT_EFFECT``."""
        for key in keys:
            assert key in WITHOUT_EFFECT, key
            self.taken.add(key)
            self.left.pop(key, None)

    def child(self, key: str) -> Node:
        """The dictionary at ``key``."""
        self.taken.add(key)
        if key not in self.left:
            raise self.error(key, "missing, and V2 has no default for it")
        value = self.left.pop(key)
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

    def lists(self, key: str) -> list[list[Node]]:
        """The list of lists of dictionaries at ``key``."""
        self.taken.add(key)
        value = self.left.pop(key, None)
        if not isinstance(value, (list, tuple)):
            raise self.error(key, f"{value!r} is not a list of lists")
        rows = Node({str(i): row for i, row in enumerate(value)}, self.at(key), self.reading)
        return [rows.children(str(i)) for i in range(len(value))]

    def part(self, key: str, kind: str, *known: Any) -> Any:
        """The part at ``key``, read by the adapter of its type; ``known`` is passed on."""
        return self.child(key).adapt(kind, *known)

    def optional_part(self, key: str, kind: str, *known: Any) -> Any:
        """The part at ``key``, None where there is none."""
        node = self.optional_child(key)
        return None if node is None else node.adapt(kind, *known)

    def adapt(self, kind: str, *known: Any) -> Any:
        """This node, read by the adapter of its type."""
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
        except UserError:
            raise
        # What a value of the wrong kind leads to: text where a number belongs, and the like.
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise self.error(
                "type", f"a setting of this {self.type} cannot be ({reason})"
            ) from error


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value
