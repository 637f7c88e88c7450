"""Callbacks: detzoo's own, and the base class for others."""

from detzoo.train.callbacks.base import Callback, Record, RecordWriter

__all__ = ["Callback", "Record", "RecordWriter"]
