"""The part of Python that configurations are written in, evaluated without executing anything.

Literals, calls of ``dict`` and the like, names of earlier values, arithmetic, text and its methods,
slices, comprehensions, loops and conditions. Everything else is an error that names its line. Time
and memory are bounded: every value costs a unit of a :class:`Budget`.
"""

from detzoo.mmdet.safe_python.budget import Budget
from detzoo.mmdet.safe_python.evaluator import SafePython

__all__ = ["Budget", "SafePython"]
