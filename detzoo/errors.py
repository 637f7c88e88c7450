"""Errors that users can cause. Their messages state what is wrong, where, and how to fix it."""

from __future__ import annotations


class UserError(ValueError):
    """Base class of errors that users can cause; printed without a traceback, with exit code 2."""


class ConfigError(UserError):
    """An invalid configuration; the message starts with the path of the invalid value."""


class DataError(UserError):
    """Unusable images or annotations; the message names the file and the annotation."""


class CheckpointError(UserError):
    """A weight file that is missing, damaged, or belongs to another model or other classes."""


class ExportError(UserError):
    """A detector that cannot be exported, or whose exported version differs from PyTorch's."""


class DeviceError(UserError):
    """A device that does not exist."""
