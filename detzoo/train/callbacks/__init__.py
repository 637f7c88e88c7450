"""Callbacks: detzoo's own, and the base of those of others."""

from detzoo.train.callbacks.base import Callback, Record, RecordWriter

__all__ = ["Callback", "Record", "RecordWriter"]
