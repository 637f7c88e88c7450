"""Errors that a user can cause. Their text says what is wrong, where, and what to do."""

from __future__ import annotations


class UserError(ValueError):
    """Printed by the command line without a traceback; the exit code is 2."""


class ConfigError(UserError):
    """A configuration that cannot be: the message starts with the path of the value at fault."""


class DataError(UserError):
    """Images or annotations that cannot be used: the message names the file and the annotation."""


class CheckpointError(UserError):
    """A weights file that is missing, damaged, or belongs to another model or other classes."""


class ExportError(UserError):
    """A detector that another runtime does not run as PyTorch does."""


class DeviceError(UserError):
    """A device that is not there."""
