"""Load a network and say what was loaded."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sodcli.cli import ui
from sodcli.cli.fetch import watching

if TYPE_CHECKING:
    import torch

    from sodcli.pipelines.predictor import Predictor


def load_and_tell(
    get: "Callable[..., Predictor]",
    device: "torch.device",
    half: bool,
    *,
    quiet: bool,
    verbose: bool,
) -> "tuple[Predictor, str]":
    """Load the network onto ``device``, with a bar if it has to be fetched first.

    Args:
        get: ``pipelines.predictor.load`` with all but the device and the watch.
        device: Where it will run.
        half: Whether it computes in bfloat16.
        quiet: Say nothing.
        verbose: Say which weights these are, too.

    Returns:
        The network, and the line that says where it runs.
    """
    from sodcli.pipelines.device import describe_device

    with watching(quiet=quiet) as watch:
        predictor = get(device=str(device), watch=watch)
    where = describe_device(device, half)
    ui.note(f"{where}, model {predictor.spec.name}", quiet=quiet)
    if verbose:
        seen = "x".join(map(str, predictor.size_hw))
        ui.note(f"weights {predictor.weights}, seen at {seen}", quiet=quiet)
    return predictor, where
