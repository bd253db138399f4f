"""Load a network, in one process or in each of several, and print what was loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sodcli.cli import ui
from sodcli.cli.fetch import watching
from sodcli.process import ProcessGroup, join_processes, world_size
from sodcli.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from sodcli.runtime.predictor import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """Which network to load, and how: the options that ``sod infer`` and ``sod test`` share."""

    model: str | None
    weights: str | None = None
    half: bool = False
    size: int | None = None
    threads: int | None = None
    offline: bool = False
    backend: str = "auto"
    compiled: bool = False
    verbose: bool = False

    def summary(self) -> str:
        """Return what decides the maps, in one line; the same for a default and its name."""
        model = self.model or ("" if self.weights else DEFAULT_MODEL)
        weights = Path(self.weights or "").name
        return f"{model} {weights} {self.size} {self.half}"

    def load(
        self, device: str, quiet: bool, pictures: int | None = None
    ) -> "tuple[Predictor, str]":
        """Load the network, with a progress bar while it is downloaded, and print its name.

        Args:
            device: As typed.
            quiet: Print nothing.
            pictures: How many it will see, if that is known.

        Returns:
            The network, and a description of the device it runs on.
        """
        from sodcli.runtime.predictor import load

        with watching(quiet=quiet) as events:
            predictor = load(
                self.model,
                weights=self.weights,
                device=device,
                half=self.half,
                size=self.size,
                offline=self.offline,
                watch=events,
                backend=self.backend,
                compiled=self.compiled,
                threads=self.threads,
                pictures=pictures,
            )
        where = predictor.backend.where
        ui.note(f"device: {where}, model {predictor.spec.name}", quiet=quiet)
        if self.verbose:
            seen = "x".join(map(str, predictor.size_hw))
            ui.note(f"weights {predictor.weights}, seen at {seen}", quiet=quiet)
        return predictor, where


@contextmanager
def join_group(device: str) -> Iterator[tuple[ProcessGroup, str]]:
    """Join the other processes of the launcher, if there are any.

    Args:
        device: As typed.

    Yields:
        The group, and the device of this process as a value of ``--device``.

    Raises:
        DeviceError: If there is no such device, or it cannot be shared.
    """
    if world_size() == 1:
        yield ProcessGroup(), device
        return
    from sodcli.runtime.device import choose_device

    with join_processes(choose_device(device)) as (group, own):
        yield group, str(own)
