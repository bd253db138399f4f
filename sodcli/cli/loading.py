"""Load a network and say what was loaded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sodcli.cli import ui
from sodcli.cli.fetch import watching

if TYPE_CHECKING:
    from sodcli.pipelines.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Loader:
    """What the command line says of the network; the names are those of the options."""

    model: str | None
    weights: str | None
    half: bool
    size: int | None
    threads: int | None
    offline: bool
    backend: str
    compiled: bool
    verbose: bool

    def __call__(
        self, device: str, quiet: bool, pictures: int | None = None
    ) -> "tuple[Predictor, str]":
        """Load the network, with a bar if it has to be fetched first, and say so.

        Args:
            device: As one would type it.
            quiet: Say nothing.
            pictures: How many it is for, if that is known.

        Returns:
            The network, and where it runs, in words.
        """
        from sodcli.pipelines.device import thread_count
        from sodcli.pipelines.predictor import load

        with watching(quiet=quiet) as watch:
            predictor = load(
                self.model,
                weights=self.weights,
                device=device,
                half=self.half,
                size=self.size,
                offline=self.offline,
                watch=watch,
                backend=self.backend,
                compiled=self.compiled,
                threads=thread_count(self.threads),
                pictures=pictures,
            )
        where = predictor.backend.where
        ui.note(f"device: {where}, model {predictor.spec.name}", quiet=quiet)
        if self.verbose:
            seen = "x".join(map(str, predictor.size_hw))
            ui.note(f"weights {predictor.weights}, seen at {seen}", quiet=quiet)
        return predictor, where
