from __future__ import annotations

from typing import Any

import pytest

from detzoo.errors import ConfigError
from detzoo.mmdet.safe_python import Budget, SafePython


def run(text: str) -> dict[str, Any]:
    return SafePython("x.py", "Trust it.", Budget()).run(text)


PROGRAMS = [
    "x = [i * j for i in range(3) if i for j in (1, 2)]",
    "x = {k: v for k, v in dict(a=1).items()}\ny = tuple(i for i in range(2))",
    "a, (b, *_) = 1, (2,)" if False else "a, (b, c) = 1, (2, 3)",
    "x = [1]\ny = x\nx += [2]\ny.append(3)",
    "x = '%5.1f%% of %-4s|' % (12.345, 'b')\ny = '%(a)s%(a)d' % {'a': 3}",
    "x = dict(a=1)\ny = x.get('b', 2) + x.setdefault('c', 3) + x.pop('a')\nx.update([('d', 4)])",
    "x = dict(a=dict(b=1))\nx['a']['b'] += 2\ndel x['a']['b']\nx.update(c=3)",
    "x = []\nfor i in range(3):\n    if i % 2 == 0 and not i > 2: x.insert(0, i)\n    else: pass",
    "x = 'a/' + 'b' * 2\ny = f'{x}-{0.5:.2f}-{x!r}'\nz = '{}_{name:>4}'.format(1, name='n')",
    "x = '%s_%03d_%(a)s' % dict(a=1) if False else '%s_%03d' % ('a', 7)",
    "x = list(range(10))[2:8:2][::-1]\ny = 'path/file.json'.split('/')[-1].replace('.json', '')",
    "x = 2 ** -1 + 7 // 2 + 7 % 4 - (3 if len('ab') == 2 else 4)\ny: int = 3\nz = max(1, 2, x)",
    "x = [*range(2), *(5, 6)]\ny = {**dict(a=1), 'b': 2}\nz = dict(y, c=3) | {'d': 4}",
    "x = sorted([3, 1], reverse=True)\ny = [i for i, c in enumerate('ab') if c in 'bc']",
    "x = float('inf') > 3 or None\ny = 1 < 2 < 3 and x is not None",
    "x = [(1, 2)] * 2\ny = list(zip((1, 2), 'ab')) + list(reversed([1, 2]))",
    "i = 5\nx = [i for i in range(2)]",
    "x = sum([1, 2, 3]) / 2\ny = ','.join(str(v) for v in (1, 2))\nz = round(1.234, 1)",
    'x = \'C:/data\'\ny = """text"""\n\'comment\'',
]


@pytest.mark.parametrize("text", PROGRAMS)
def test_it_computes_what_python_does(text: str) -> None:
    names: dict[str, Any] = {}
    exec(text, names)
    assert run(text) == {k: v for k, v in names.items() if not k.startswith("__")}


def test_nothing_is_shared() -> None:
    found = run("x = dict(a=1)\ny = [x, x]")
    assert found["y"][0] is not found["y"][1]
    assert found["x"] is not found["y"][0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\ny = __import__('os')", 2),
        ("import os", 1),
        ("from os import path", 1),
        ("x = open('a')", 1),
        ("x = print", 1),
        ("x = dict", 1),
        ("x = dict.fromkeys([1])", 1),
        ("x = (lambda: 1)()", 1),
        ("x = ().__class__", 1),
        ("x = ''.__class__.__mro__", 1),
        ("x = getattr('', '__class__')", 1),
        ("x = '{0.__class__}'.format(1)", 1),
        ("x = '{0[a]}'.format(dict(a=1))", 1),
        ("x = 'a'.encode()", 1),
        ("x = [].sort(key=1)", 1),
        ("def f(): pass", 1),
        ("class A: pass", 1),
        ("while True: pass", 1),
        ("with x: pass", 1),
        ("x = 1\nx.y = 2", 2),
        ("x = (y := 2)", 1),
        ("x = 1j", 1),
        ("x = b'a'", 1),
    ],
)
def test_nothing_is_executed(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^x\.py: line {line}: "):
        run(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = y", "line 1: NameError: name 'y' is not defined"),
        ("x = 1 / 0", "line 1: ZeroDivisionError"),
        ("x = range(0, 5, 0)", "line 1: ValueError"),
        ("x = {[]: 1}", "line 1: TypeError: unhashable"),
        ("x = dict(**[1])", "is no dict"),
        ("x = dict(1)", "TypeError"),
        ("x = 'a' + 1", "line 1: TypeError: str and int do not combine"),
        ("x = [0][1]", "line 1: IndexError"),
        ("a, b = 1, 2, 3", "3 values for 2 names"),
        ("x = " + "(" * 500 + ")" * 500, "line 1: "),
        ("x = '\0'", "line 1: "),
        ("x = " + "9" * 400, "too large a number"),
        ("x = " + "9" * 5000, "line 1: "),
        ("x = 10 ** 10 ** 10", "too large a number"),
        ("x = 3\n" + "x = x * x\n" * 60, "too large a number"),
        ("x = 'a' * 1000000000", "line 1: too many values"),
        ("x = [1] * 1000000000", "line 1: too many values"),
        ("x = range(1000000000)", "line 1: too many values"),
        ("x = 'ab'\n" + "x = x + x\n" * 60, "too many values"),
        ("x = [1]\n" + "x += x\n" * 60, "too many values"),
        ("x = [1]\n" + "x.extend(x)\n" * 60, "too many values"),
        ("x = '{:1000000000}'.format(1)", "too wide a text"),
        ("x = f'{1:1000000000}'", "too wide a text"),
        ("w = 1000000000\nx = f'{1:{w}}'", "too wide a text"),
        ("x = '%1000000000d' % 1", "too wide a text"),
        ("x = '%(a)1000000000d' % dict(a=1)", "too wide a text"),
        ("x = '%*d' % (1000000000, 1)", "too wide a text"),
        # Keys with parentheses, and a long value that is named many times.
        ("x = '%(a(b)c)99999999d' % {'a(b)c': 1}", "unsupported format"),
        ("b = 'a' * 100000\nx = '" + "%(a)s" * 100 + "' % dict(a=b)", "too many values"),
        ("b = 'a' * 100000\nx = '" + "{0}" * 100 + "'.format(b)", "too many values"),
        ("x = (-8) ** 0.5", "imaginary part"),
        ("x = (0,) * 10\n" + "x = (x,) * 10\n" * 12 + "dict().get(x)", "too many values"),
        ("x = (0,) * 10\n" + "x = (x,) * 10\n" * 12 + "dict().update([(x, 1)])", "too many"),
        ("x = list(range(100000))\nfor i in x: x.insert(0, x.pop(0))", "too many values"),
        ("x = " + "1," * 600000, "has 1200004 characters, too many"),
        ("x = ('a' * 1000).replace('a', 'b' * 10000)", "too many values"),
        ("x = ('a' * 10000).join(['b'] * 10000)", "too many values"),
        ("x = [0] * 1000\ny = [a for a in x for b in x for c in x]", "too many values"),
        ("x = []\nx.append(x)", "x: settings are nested too deeply"),
        ("x = {}\nx['y'] = x", r"x\.y.*settings are nested too deeply"),
        ("x = []\nx.append(x)\ny = x == x", "line 3: nested too deeply"),
        ("x = (0,) * 10\n" + "x = (x,) * 10\n" * 12 + "y = {x: 1}", "too many values"),
        ("x = [0] * 10\n" + "x = [x] * 10\n" * 12, "x: too many values"),
        ("x = " + "-" * 5000 + "1", "line 1: "),
        ("-" * 900 + "f", "line 1: "),
        ("x = " + "[" * 60 + "]" * 60, "nested too deeply"),
    ],
)
def test_what_is_wrong_or_too_much(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        run(text)
    assert str(error.value).startswith("x.py: ")


def test_files_share_one_budget() -> None:
    """One that is read again and again costs its text each time."""
    budget = Budget()
    text = "x = 1 # " + "a" * 900_000

    def read_four_times() -> None:
        for _ in range(4):
            SafePython("x.py", "", budget).run(text)

    read_four_times()
    with pytest.raises(ConfigError, match=r"x\.py: too many values, with the files before it"):
        read_four_times()
