"""Evaluation of a syntax tree."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from detzoo.errors import ConfigError
from detzoo.mmdet.safe_python.budget import Budget, TooMuchError, require_small
from detzoo.mmdet.safe_python.operations import (
    COMPARE,
    FUNCTIONS,
    UNARY,
    UNKNOWN,
    call,
    call_method,
    combine,
    has_method,
)
from detzoo.mmdet.safe_python.text import formatted

_MAX_TEXT = 1_000_000  # characters of a file: more than ten times what the largest has
_CHARACTERS = 4  # that cost as much to parse as a value
_MAX_DEPTH = 50  # settings that are nested deeper may hold themselves


class SafePython:
    """Evaluates one file.

    Args:
        source: What errors begin with.
        remedy: What errors end with where executing the text might help.
        budget: Shared by all files of a configuration.
        read_module: The variables of the file that ``from ..module import *`` means, given the
            module and its leading dots; None where there is none.
        constants: Names that are known from the start.
        base_value: What stands for the value of a base file that ``_base_.some.name`` means; None
            where there are no such files.
    """

    def __init__(
        self,
        source: str,
        remedy: str,
        budget: Budget,
        read_module: Callable[[str, int], dict[str, Any] | None] = lambda module, level: None,
        constants: Mapping[str, Any] | None = None,
        base_value: Callable[[str], Any] | None = None,
    ) -> None:
        self.source = source
        self.remedy = remedy
        self.budget = budget
        self.read_module = read_module
        self.constants = constants or {}
        self.base_value = base_value
        self.first_line = 0
        # Variables of the file, then those of each comprehension around an expression.
        self.scopes: list[dict[str, Any]] = [{}]

    def run(self, text: str, first_line: int = 0) -> dict[str, Any]:
        """The variables that ``text`` assigns, which share nothing with each other.

        Raises :class:`ConfigError` naming the line; ``first_line`` lines come before the text.
        """
        self.first_line = first_line
        for statement in self._parsed(text):
            try:
                self._execute(statement)
            except ConfigError:  # a ValueError as well
                raise
            except (TooMuchError, MemoryError) as error:
                self._fail(statement, str(error) or "too much memory")
            except RecursionError:
                self._fail(statement, "nested too deeply")
            except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
                self._fail(statement, f"{type(error).__name__}: {error}")
        variables = {}
        for name, value in self.scopes[0].items():
            try:
                variables[name] = self._unshared(value, name, 0)
            except (TooMuchError, MemoryError):
                raise ConfigError(f"{self.source}: {name}: too many values") from None
        return variables

    def _parsed(self, text: str) -> list[ast.stmt]:
        if len(text) > _MAX_TEXT:
            raise ConfigError(f"{self.source}: has {len(text)} characters, too many to be settings")
        try:
            self.budget.spend(len(text) // _CHARACTERS)
        except TooMuchError as error:
            raise ConfigError(f"{self.source}: {error}, with the files before it") from None
        try:
            with warnings.catch_warnings():  # of backslashes in the paths of Windows
                warnings.simplefilter("ignore")
                return ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = self.first_line + (getattr(error, "lineno", None) or 1)
            reason = getattr(error, "msg", None) or str(error) or "nested too deeply"
            raise ConfigError(f"{self.source}: line {line}: {reason}") from None

    def _unshared(self, value: Any, path: str, depth: int) -> Any:
        """``value`` anew: what is named twice counts twice, and can be changed by itself."""
        self.budget.spend()
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{self.source}: {path:.60}: settings are nested too deeply")
        if isinstance(value, dict):
            return {k: self._unshared(item, f"{path}.{k}", depth + 1) for k, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self._unshared(item, path, depth + 1) for item in value])
        return value

    # ------------------------------------------------------------------------------ statements

    def _execute(self, statement: ast.stmt) -> None:
        self.budget.spend()
        match statement:
            case ast.Assign(targets=targets, value=expression):
                value = self._value(expression)
                for target in targets:
                    self._assign(target, value)
            case ast.AnnAssign(target=target, value=expression) if expression is not None:
                self._assign(target, self._value(expression))
            case ast.AugAssign(target=target, op=op, value=expression):
                self._change(target, op, self._value(expression))
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target)
            case ast.For(target=target, iter=items, body=body, orelse=[]):
                for item in self._items(items):
                    self._assign(target, item)
                    self._execute_all(body)
            case ast.If(test=test, body=body, orelse=otherwise):
                self._execute_all(body if self._value(test) else otherwise)
            case ast.ImportFrom(module=module, names=names, level=level):
                self._import(statement, module or "", names, level)
            case ast.Expr(value=expression):
                self._value(expression)
            case ast.Pass():
                pass
            case _:
                self._refuse(statement)

    def _execute_all(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self._execute(statement)

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.scopes[-1][name] = value
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = list(value)
                if len(values) != len(targets):
                    raise ValueError(f"{len(values)} values for {len(targets)} names")
                for one, item in zip(targets, values):
                    self._assign(one, item)
            case ast.Subscript(value=container, slice=index) if not isinstance(index, ast.Slice):
                self._container(container)[self._key(index)] = value
            case ast.Attribute() if self.base_value is not None and (names := _base_path(target)):
                self._assign_base(names, value)
            case _:
                self._refuse(target)

    def _assign_base(self, names: list[str], value: Any) -> None:
        """``_base_.a.b = value``: a change of the value of a base file."""
        place = self.scopes[0]
        for name in names[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise TypeError(f"{name} is no dict")
        place[names[-1]] = value

    def _change(self, target: ast.expr, op: ast.operator, value: Any) -> None:
        """``target += value``, which changes a list in its place."""
        match target:
            case ast.Name(id=name):
                old = self._lookup(target, name)
            case ast.Subscript(value=container, slice=index):
                old = self._container(container)[self._key(index)]
            case _:
                self._refuse(target)
        if isinstance(old, list) and isinstance(op, ast.Add):
            self.budget.spend(len(value))
            old += list(value)
        else:
            self._assign(target, self._combine(target, op, old, value))

    def _delete(self, target: ast.expr) -> None:
        match target:
            case ast.Name(id=name) if name in self.scopes[0]:
                del self.scopes[0][name]
            case ast.Subscript(value=container, slice=index) if not isinstance(index, ast.Slice):
                del self._container(container)[self._key(index)]
            case _:
                self._refuse(target)

    def _import(self, statement: ast.stmt, module: str, names: list[ast.alias], level: int) -> None:
        """``from sibling import ...``, where the sibling is such a file itself."""
        variables = self.read_module(module, level)
        if variables is None:
            self._refuse(statement)
        for name in names:
            if name.name == "*":
                self.scopes[0] |= {k: v for k, v in variables.items() if not k.startswith("_")}
            elif name.name in variables:
                self.scopes[0][name.asname or name.name] = variables[name.name]
            else:
                raise ValueError(f"{'.' * level}{module} has no {name.name}")

    # ----------------------------------------------------------------------------- expressions

    def _value(self, node: ast.expr) -> Any:
        self.budget.spend()
        value = self._evaluate(node)
        if isinstance(value, int):
            require_small(value.bit_length())
        elif isinstance(value, complex):
            raise TypeError("a number with an imaginary part is no setting")
        return value

    def _evaluate(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value) if not isinstance(value, bytes | complex):
                return value
            case ast.Name(id=name):
                return self._lookup(node, name)
            case ast.List(elts=items):
                return self._elements(items)
            case ast.Tuple(elts=items):
                return tuple(self._elements(items))
            case ast.Dict(keys=keys, values=values):
                return self._mapping(keys, values)
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS and not self._knows(name):
                return self._call(node, name)
            case ast.Call(func=ast.Attribute(value=owner, attr=method)):
                return self._call_method(node, self._value(owner), method)
            case ast.Attribute() if self.base_value is not None and (dotted := _base_name(node)):
                return self.base_value(dotted)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
                return UNARY[type(op)](self._value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._combine(node, op, self._value(left), self._value(right))
            case ast.BoolOp(op=op, values=values):
                stops = isinstance(op, ast.Or)
                for item in values[:-1]:
                    if bool(value := self._value(item)) is stops:
                        return value
                return self._value(values[-1])
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(self._value(left), ops, others)
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self._value(body if self._value(test) else otherwise)
            case ast.Subscript(value=container, slice=ast.Slice() as cut):
                limits = (cut.lower, cut.upper, cut.step)
                values = self._value(container)
                self.budget.spend(len(values))
                return values[slice(*(None if x is None else self._value(x) for x in limits))]
            case ast.Subscript(value=container, slice=index):
                return self._value(container)[self._key(index)]
            case ast.JoinedStr(values=parts):
                return "".join(self._text(part) for part in parts)
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
                return [self._value(element) for _ in self._iterations(node.generators)]
            case ast.DictComp(key=key, value=item):
                return {
                    self._key(key): self._value(item) for _ in self._iterations(node.generators)
                }
            case _:
                return self._refuse(node)

    def _knows(self, name: str) -> bool:
        return any(name in scope for scope in self.scopes) or name in self.constants

    def _lookup(self, node: ast.AST, name: str) -> Any:
        for scope in (*reversed(self.scopes), self.constants):
            if name in scope:
                return scope[name]
        if name in FUNCTIONS or name.startswith("__"):
            self._refuse(node)
        return self._fail(node, f"NameError: name {name!r} is not defined")

    def _elements(self, nodes: list[ast.expr]) -> list[Any]:
        elements = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                elements += self._items(node.value)
            else:
                elements.append(self._value(node))
        return elements

    def _items(self, node: ast.expr) -> list[Any]:
        """The elements of what ``node`` means, as a list of its own."""
        items = self._value(node)
        if isinstance(items, str | list | tuple | dict):
            self.budget.spend(len(items))
        return list(items)

    def _mapping(self, keys: list[ast.expr | None], values: list[ast.expr]) -> dict[Any, Any]:
        """A dict of pairs; a key of None unpacks the value."""
        found: dict[Any, Any] = {}
        for key, value in zip(keys, values):
            if key is not None:
                name = self._key(key)
                found[name] = self._value(value)
                continue
            unpacked = self._value(value)
            if not isinstance(unpacked, dict):
                raise TypeError(f"{_shown(value)} is no dict")
            self.budget.spend(len(unpacked))
            found.update(unpacked)
        return found

    def _key(self, node: ast.expr) -> Any:
        key = self._value(node)
        self.budget.weigh(key)  # as hashing looks at all of it
        return key

    def _container(self, node: ast.expr) -> Any:
        value = self._value(node)
        return value if isinstance(value, list | dict) else self._refuse(node)

    def _iterations(self, loops: list[ast.comprehension]) -> Iterator[None]:
        """One step for each element of a comprehension, its variables set."""
        self.scopes.append({})
        yield from self._nested(loops)
        self.scopes.pop()

    def _nested(self, loops: list[ast.comprehension]) -> Iterator[None]:
        if not loops:
            yield
            return
        loop, *inner = loops
        for item in self._items(loop.iter):
            self._assign(loop.target, item)
            if all(self._value(condition) for condition in loop.ifs):
                yield from self._nested(inner)

    def _combine(self, node: ast.AST, op: ast.operator, left: Any, right: Any) -> Any:
        result = combine(op, left, right, self.budget)
        return self._refuse(node) if result is UNKNOWN else result

    def _compare(self, left: Any, ops: list[ast.cmpop], others: list[ast.expr]) -> bool:
        for op, other in zip(ops, others):
            right = self._value(other)
            self.budget.weigh([left, right])
            if not COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _arguments(self, node: ast.Call) -> tuple[list[Any], dict[str, Any]]:
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            key = None if keyword.arg is None else ast.Constant(keyword.arg)
            named |= self._mapping([key], [keyword.value])
        return self._elements(node.args), named

    def _call(self, node: ast.Call, name: str) -> Any:
        given, named = self._arguments(node)
        result = call(name, given, named, self.budget)
        return self._refuse(node) if result is UNKNOWN else result

    def _call_method(self, node: ast.Call, owner: Any, method: str) -> Any:
        if not has_method(owner, method):
            self._refuse(node)
        given, named = self._arguments(node)
        return call_method(owner, method, given, named, self.budget)

    def _text(self, part: ast.expr) -> str:
        """One part of an f-string."""
        match part:
            case ast.FormattedValue(value=expression, conversion=conversion, format_spec=spec):
                value = self._value(expression)
                self.budget.weigh(value)
                if conversion == ord("r"):
                    value = repr(value)
                elif conversion == ord("s"):
                    value = str(value)
                return formatted(value, "" if spec is None else self._value(spec), self.budget)
            case _:
                return str(self._value(part))

    # ---------------------------------------------------------------------------------- errors

    def _refuse(self, node: ast.AST) -> NoReturn:
        """What could only be known by executing it."""
        raise ConfigError(
            f"{self.source}: line {self._line(node)}: {_shown(node)} is more than settings, and "
            f"nothing is executed here. {self.remedy}"
        )

    def _fail(self, node: ast.AST, reason: str) -> NoReturn:
        """What would fail if it were executed as well."""
        raise ConfigError(f"{self.source}: line {self._line(node)}: {reason}") from None

    def _line(self, node: ast.AST) -> int:
        return self.first_line + getattr(node, "lineno", 1)


def _base_name(node: ast.expr) -> str | None:
    """The ``a.b`` of ``_base_.a.b``, None for any other expression."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return ".".join(names) if isinstance(node, ast.Name) and node.id == "_base_" else None


def _base_path(node: ast.expr) -> list[str]:
    """The keys of ``_base_.a[0].b``, of which numbers mean elements of lists; else none."""
    names: list[str] = []
    while True:
        match node:
            case ast.Attribute(value=node, attr=name):
                names.insert(0, name)
            case ast.Subscript(value=node, slice=ast.Constant(value=int(number))):
                names.insert(0, str(number))
            case ast.Name(id="_base_"):
                return names
            case _:
                return []


def _shown(node: ast.AST) -> str:
    """The beginning of what ``node`` was read from."""
    try:
        return repr(ast.unparse(node).splitlines()[0][:60])
    except RecursionError:
        return "something nested deeply"
