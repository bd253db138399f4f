"""Exceptions for errors that a user can cause, with the exit codes of the program."""

from typing import Final

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""


class SodError(Exception):
    """Base class; messages are written for users."""

    exit_code = 1


class UsageError(SodError):
    """The command line or the arguments are invalid."""

    exit_code = 2


class UnknownNameError(UsageError):
    """models.toml has no entry of this name."""


class RegistryError(UsageError):
    """models.toml is invalid."""


class SourceError(SodError):
    """An image, folder, film or camera cannot be read."""


class SinkError(SodError):
    """A result cannot be written."""


class BatchError(SodError):
    """The batch is complete, but some inputs failed."""

    exit_code = 3


class WeightsError(SodError):
    """A weights file is damaged, unsafe or belongs to another model."""


class MissingError(SodError):
    """Weights or data that a command needs do not exist, or cannot be fetched."""

    exit_code = 4


class ChecksumError(MissingError):
    """The checksum of a file differs from the one in models.toml."""


class DeviceError(SodError):
    """The requested device is missing or out of memory."""

    exit_code = 5


class TrainingError(SodError):
    """Training cannot start or continue."""


class PipelineError(SodError):
    """A stage of the pipeline failed; the cause is chained."""
