"""The defaults of MMDetection's constructors, from the source in its wheel; nothing is imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from typing import Any

from tests.mmdet.published import published_configs

REQUIRED = "required"


def defaults() -> Mapping[str, Mapping[str, Any]]:
    """By class: the default of each argument, those of base classes included."""
    folder = published_configs().parents[1]
    classes: dict[str, ast.ClassDef] = {}
    for file in sorted(folder.rglob("*.py")):
        if ".mim" not in file.parts:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of backslashes in its comments
                statements = ast.parse(file.read_text(encoding="utf-8")).body
            for node in statements:
                if isinstance(node, ast.ClassDef):
                    classes.setdefault(node.name, node)
    return {name: _arguments(name, classes) for name in classes}


def _arguments(name: str, classes: Mapping[str, ast.ClassDef]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    definition = classes.get(name)
    if definition is None:
        return found
    for base in definition.bases:
        parent = ast.unparse(base).rpartition(".")[2]
        if parent != name:  # mmcv has a class of the same name
            found = _arguments(parent, classes) | found
    for method in definition.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            given = method.args.args[1:]
            values = [None] * (len(given) - len(method.args.defaults)) + list(method.args.defaults)
            own = {one.arg: _value(value) for one, value in zip(given, values)}
            found = (found | own) if method.args.kwarg else own
    return found


def _value(node: ast.expr | None) -> Any:
    """A literal, or dicts and lists of literals; the text of anything else."""
    match node:
        case None:
            return REQUIRED
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return {keyword.arg: _value(keyword.value) for keyword in keywords}
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
