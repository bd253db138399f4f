"""Every error a user can cause, with the exit code it ends the program with."""


class SodError(Exception):
    """Base class: the message is written for the person at the keyboard."""

    exit_code = 1


class UsageError(SodError):
    """The command line contradicts itself or asks for the impossible."""

    exit_code = 2


class UnknownNameError(UsageError):
    """No entry of that name in models.toml."""


class RegistryError(UsageError):
    """models.toml itself is wrong."""


class SourceError(SodError):
    """An image, folder, film or camera cannot be read."""


class SinkError(SodError):
    """A result cannot be written."""


class BatchError(SodError):
    """The batch ran to its end, but some inputs failed."""

    exit_code = 3


class WeightsError(SodError):
    """A weights file is damaged, hostile or belongs to another model."""


class MissingError(SodError):
    """Weights or data that a command needs are not there."""

    exit_code = 4


class ChecksumError(MissingError):
    """A file is not the file the registry promised."""


class DeviceError(SodError):
    """The asked-for device is missing or out of memory."""

    exit_code = 5


class TrainingError(SodError):
    """Training cannot start or cannot go on."""


class PipelineError(SodError):
    """A stage of the pipeline failed; the cause is chained."""
