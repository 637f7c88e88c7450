"""The configuration mechanism: frozen dataclasses, and five functions over them.

A configuration is a tree of ``@config`` classes whose leaves are plain values (``bool``, ``int``,
``float``, ``str``, ``None`` and tuples of them). It is compared with ``==``, changed with
``dataclasses.replace`` or :func:`override`, written with :func:`to_dict` and read with
:func:`from_dict`. Reading never executes code: only the classes that the caller lists are built.

The range of a number is part of its annotation (``channels: PositiveInt``) and is checked whenever
a configuration is constructed, in Python or from a file. All numbers are finite.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar, Union

from typing_extensions import dataclass_transform

from detzoo import renamed
from detzoo.errors import ConfigError
from detzoo.ranges import (
    Ascending,
    Channels,
    Interval,
    Length,
    NonEmpty,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveUnitFloat,
    Range,
    ScoreThreshold,
    UnitFloat,
    check_ranges,
    hints_of,
    is_number,
    without_range,
)

__all__ = [
    "Ascending",
    "Channels",
    "ConfigError",
    "Interval",
    "Length",
    "NonEmpty",
    "NonNegativeFloat",
    "NonNegativeInt",
    "PositiveFloat",
    "PositiveInt",
    "PositiveUnitFloat",
    "Range",
    "ScoreThreshold",
    "Setting",
    "UnitFloat",
    "UnknownTypeError",
    "check",
    "config",
    "diff",
    "find",
    "from_dict",
    "is_config",
    "leaves",
    "override",
    "spelled",
    "to_dict",
    "type_name",
    "without_range",
]

T = TypeVar("T")


class UnknownTypeError(KeyError):
    """A mapping of known classes does not contain a name; ``advice`` is appended to the message."""

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(name)
        self.advice = advice


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Makes ``cls`` a frozen, keyword-only dataclass that can be part of a configuration.

    Constructing an instance raises :class:`ConfigError` if a number is outside the range of its
    annotation, before the class's own ``__post_init__`` runs.
    """
    own: Any = getattr(cls, "__post_init__", None)
    if own is None or "__post_init__" in vars(cls):

        def check_then_own(self: Any) -> None:
            check_ranges(self)
            if own is not None:
                own(self)

        cls.__post_init__ = check_then_own  # type: ignore[attr-defined]
    made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    if any(field.name == "type" for field in dataclasses.fields(made)):
        raise TypeError(f"{cls.__name__}: 'type' is the class name in the saved form")
    return made


def is_config(cls: Any) -> bool:
    """Whether ``cls`` is a class that can be part of a configuration."""
    return isinstance(cls, type) and dataclasses.is_dataclass(cls)


def type_name(cls: type) -> str:
    """The name of a config class in files: ``Class`` if it is detzoo's own, otherwise
    ``package.module:Class``."""
    own = cls.__module__.startswith("detzoo.")
    return cls.__name__ if own else f"{cls.__module__}:{cls.__qualname__}"


def to_dict(value: Any) -> Any:
    """Converts to JSON form: a config becomes ``{"type": its name, **fields}``, a tuple a list.

    See :func:`type_name`.
    """
    if dataclasses.is_dataclass(value):
        fields = {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type_name(type(value)), **fields}
    if isinstance(value, tuple):
        return [to_dict(item) for item in value]
    return value


def from_dict(data: Any, known: Mapping[str, type], path: str = "") -> Any:
    """Rebuilds a configuration from its JSON form.

    ``known`` maps the names of classes that may be built to the classes. Names of classes and
    fields from earlier versions are accepted (``detzoo/renamed.py``). Raises :class:`ConfigError`
    for an unknown class, an unknown or missing field, or a value that a field cannot hold.
    """
    if not isinstance(data, Mapping) or "type" not in data:
        raise ConfigError(f"{path or 'configuration'}: expected an object with a 'type'")
    name = data["type"]
    where = path or "configuration"
    try:
        cls = known[renamed.CLASSES.get(name, name)] if isinstance(name, str) else None
    except UnknownTypeError as error:
        raise ConfigError(f"{where}: unknown type {name!r}{error.advice}") from None
    except KeyError:
        cls = None
    if cls is None:
        raise ConfigError(f"{where}: unknown type {name!r}{_suggest(str(name), known)}")
    hints = hints_of(cls)
    values = {}
    for key, item in data.items():
        if key == "type":
            continue
        field_name = key if key in hints else renamed.field(cls, key)
        if field_name is None:
            raise ConfigError(_no_such_field(cls, str(key), path))
        if field_name in values:
            raise ConfigError(f"{_join(path, field_name)}: given twice, once by its old name")
        item = renamed.value(cls, field_name, item)
        values[field_name] = _conform(item, hints[field_name], _join(path, field_name), known)
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING
        if required and field.default_factory is dataclasses.MISSING and field.name not in values:
            raise ConfigError(f"{_join(path, field.name)}: missing, and it has no default")
    return _construct(cls, values, path)


def override(value: T, path: str, new: Any, known: Mapping[str, type]) -> T:
    """Replaces the field at ``path`` (``model.backbone.depth``, ``stages[1].size``) of ``value``.

    A string ``new`` is parsed as a Python or JSON literal unless the field holds text, so that
    ``"18"``, ``"(1, 2)"``, ``"None"`` and ``'{"type": ...}'`` work on a command line.
    """
    steps = _parse_path(path)
    return _override(value, type(value), steps, new, "", known)


def diff(a: Any, b: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Lists the differences between two configurations: (path, value in ``a``, value in ``b``)."""
    if type(a) is type(b) and dataclasses.is_dataclass(a):
        rows = []
        for field in dataclasses.fields(a):
            inner = _join(path, field.name)
            rows += diff(getattr(a, field.name), getattr(b, field.name), inner)
        return rows
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) and _has_configs(a + b):
        rows = []
        for i, (x, y) in enumerate(zip(a, b)):
            rows += diff(x, y, f"{path}[{i}]")
        return rows
    return [] if type(a) is type(b) and a == b else [(path, a, b)]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (path, plain value) for every leaf, in order; ``override`` accepts these paths."""
    if dataclasses.is_dataclass(value):
        if not dataclasses.fields(value):
            yield path, value
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name), _join(path, field.name))
    elif isinstance(value, tuple) and _has_configs(value):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value


def check(value: Any, known: Mapping[str, type]) -> None:
    """Raises :class:`ConfigError` if a field holds a value that its annotation does not allow."""
    from_dict(to_dict(value), known)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting in a configuration: its value, and which values are allowed.

    ``field`` is the field of the config class ``owner`` that holds ``value``, itself or as an
    element.
    """

    value: Any
    annotation: Any
    owner: type
    field: dataclasses.Field[Any]


def find(value: Any, path: str) -> Setting:
    """Finds the setting at ``path``, in the syntax of :func:`override`.

    Raises :class:`ConfigError` if there is none.
    """
    found: Setting | None = None
    done = ""
    for step in _parse_path(path):
        if isinstance(step, int):
            _require_element(value, step, done)
            assert found is not None  # a path starts with a field
            annotation = _element_annotation(found.annotation, value, step)
            value, done = value[step], f"{done}[{step}]"
            found = dataclasses.replace(found, value=value, annotation=annotation)
        else:
            _require_field(value, step, done)
            owner: Any = type(value)
            field = next(f for f in dataclasses.fields(value) if f.name == step)
            value, done = getattr(value, step), _join(done, step)
            found = Setting(value, hints_of(owner)[step], owner, field)
    assert found is not None
    return found


def spelled(annotation: Any) -> str:
    """Formats an annotation as in source code, without ranges: ``tuple[int, ...] | None``."""
    annotation = without_range(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Ellipsis:
        return "..."
    if annotation is type(None):
        return "None"
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in (Union, types.UnionType):
        return " | ".join(map(spelled, args))
    if origin is tuple:
        return f"tuple[{', '.join(map(spelled, args))}]"
    return str(getattr(annotation, "__name__", annotation))


# ------------------------------------------------------------------------------------ internals


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _has_configs(items: tuple[Any, ...]) -> bool:
    return any(dataclasses.is_dataclass(item) for item in items)


def _suggest(name: str, candidates: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _no_such_field(cls: type, key: str, path: str) -> str:
    names = list(hints_of(cls))
    where = path or cls.__name__
    if key == "type" and path:
        return (
            f"{where}: the class of {cls.__name__} cannot be changed by its 'type' alone; replace "
            "all "
            f'of it: {path}={{"type": "...", ...}}'
        )
    new_name = renamed.field(cls, key)
    if new_name is not None:
        return f"{where}: the field {key!r} of {cls.__name__} has been renamed to {new_name!r}"
    listed = f"(fields: {', '.join(names)})" if names else "(it has no fields)"
    suggestion = _suggest(key, names) or ";"
    return f"{where}: {cls.__name__} has no field {key!r}{suggestion} {listed}".replace("; (", " (")


def _construct(cls: type[T], values: Mapping[str, Any], path: str) -> T:
    try:
        return cls(**values)
    except ConfigError as error:  # raised by a class's own __post_init__: "field: reason"
        raise ConfigError(_join(path, str(error))) from None


def _parse_path(path: str) -> list[str | int]:
    if not re.fullmatch(r"\w+(\[\d+\])*(\.\w+(\[\d+\])*)*", path):
        raise ConfigError(
            f"{path}: is not a path; write it like model.backbone.depth or stages[1].x"
        )
    return [
        int(token) if token.isdigit() else token for token in re.findall(r"[^\W\d]\w*|\d+", path)
    ]


def _override(
    value: Any,
    annotation: Any,
    steps: list[str | int],
    new: Any,
    path: str,
    known: Mapping[str, type],
) -> Any:
    """Replaces the element of ``value``, of type ``annotation``, at the end of ``steps`` by
    ``new``.
    """
    if not steps:
        return _conform_text(new, annotation, path, known)
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        _require_element(value, step, path)
        item_annotation = _element_annotation(annotation, value, step)
        item = _override(value[step], item_annotation, rest, new, f"{path}[{step}]", known)
        return (*value[:step], item, *value[step + 1 :])
    _require_field(value, step, path)
    cls: Any = type(value)
    item = _override(getattr(value, step), hints_of(cls)[step], rest, new, _join(path, step), known)
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return _construct(cls, {**fields, step: item}, path)


def _require_element(value: Any, index: int, path: str) -> None:
    if not isinstance(value, tuple):
        raise ConfigError(f"{path}: {_show(value)} has no elements")
    if index >= len(value):
        raise ConfigError(f"{path}: has {len(value)} elements, so no [{index}]")


def _require_field(value: Any, name: str, path: str) -> None:
    if not dataclasses.is_dataclass(value):
        raise ConfigError(f"{path}: {value!r} has no fields, so no {name!r}")
    cls: Any = type(value)
    if name not in hints_of(cls):
        raise ConfigError(_no_such_field(cls, name, path))


def _element_annotation(annotation: Any, value: tuple[Any, ...], index: int) -> Any:
    """The annotation of element ``index`` of the tuple ``value``, whose own is ``annotation``."""
    annotation = without_range(annotation)
    if typing.get_origin(annotation) is not tuple:
        # A union: the first tuple type that the current value conforms to.
        for option in typing.get_args(annotation):
            try:
                _conform(value, option, "", {})
            except ConfigError:
                continue
            return _element_annotation(option, value, index)
    args = typing.get_args(annotation)
    return args[0] if len(args) == 2 and args[1] is Ellipsis else args[index]


def _conform_text(new: Any, annotation: Any, path: str, known: Mapping[str, type]) -> Any:
    if not isinstance(new, str):
        return _conform(new, annotation, path, known)
    literal = _read_literal(new)
    try:
        return _conform(literal, annotation, path, known)
    except ConfigError:
        if literal is new or str not in (annotation, *typing.get_args(annotation)):
            raise
        return new  # a text field whose value happens to look like a number


def _read_literal(text: str) -> Any:
    """Parses ``text`` as a Python or JSON literal; returns ``text`` itself if it is neither."""
    words: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
    stripped = text.strip()
    if stripped.lower() in words:
        return words[stripped.lower()]
    for read in (ast.literal_eval, json.loads):
        try:
            return read(stripped)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return text


def _conform(value: Any, annotation: Any, path: str, known: Mapping[str, type]) -> Any:
    """Converts ``value`` to the type of ``annotation``. Raises a ConfigError with ``path``."""
    annotation = without_range(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        for choice in args:
            if type(value) is type(choice) and value == choice:
                return value
        raise ConfigError(f"{path}: {value!r} is not one of {', '.join(map(str, args))}")
    if origin in (Union, types.UnionType):
        return _conform_union(value, args, path, known)
    if origin is tuple:
        return _conform_tuple(value, args, path, known)
    if annotation is type(None):
        if value is None:
            return None
    elif annotation is float:
        if is_number(value):
            try:
                return float(value)
            except OverflowError:
                raise ConfigError(f"{path}: is too large a number") from None
    elif annotation in (int, str, bool):
        if type(value) is annotation:
            return value
    elif isinstance(annotation, type):
        value = from_dict(value, known, path) if isinstance(value, Mapping) else value
        if isinstance(value, annotation) and dataclasses.is_dataclass(value):
            return value
    raise ConfigError(f"{path}: {_show(value)} is not {_describe(annotation)}")


def _conform_union(
    value: Any, options: tuple[Any, ...], path: str, known: Mapping[str, type]
) -> Any:
    if value is None and type(None) in options:
        return None
    errors = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _conform(value, option, path, known)
        except ConfigError as error:
            errors.append(str(error))
    # With one option besides None, its own message is the most helpful; so is one about a nested
    # value.
    deeper = [text for text in errors if not text.startswith(f"{path}: ")]
    if len(errors) == 1 or deeper:
        raise ConfigError((deeper or errors)[0])
    wanted = " or ".join(_describe(option) for option in options)
    raise ConfigError(f"{path}: {_show(value)} is not {wanted}")


def _conform_tuple(
    value: Any, args: tuple[Any, ...], path: str, known: Mapping[str, type]
) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{path}: {_show(value)} is not a sequence")
    if len(args) == 2 and args[1] is Ellipsis:
        args = (args[0],) * len(value)
    if len(value) != len(args):
        raise ConfigError(f"{path}: {value!r} has {len(value)} elements instead of {len(args)}")
    return tuple(
        _conform(item, arg, f"{path}[{i}]", known) for i, (item, arg) in enumerate(zip(value, args))
    )


def _show(value: Any) -> str:
    return type(value).__name__ if dataclasses.is_dataclass(value) else repr(value)


def _describe(annotation: Any) -> str:
    annotation = without_range(annotation)
    plain = {int: "an integer", float: "a number", str: "text", bool: "true or false"}
    if annotation in plain:
        return plain[annotation]
    if annotation is type(None):
        return "none"
    return f"a {annotation.__name__}" if isinstance(annotation, type) else spelled(annotation)
