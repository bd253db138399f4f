"""``sod pseudo-label`` from the planned labels to the report of what was written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from sodcli.errors import SinkError, UsageError
from sodcli.files import sweep, write_whole
from sodcli.imaging.evidence import mean_of_warped
from sodcli.pipelines.labeller import Generator, Judge, Labeller, make_flow
from sodcli.pipelines.mapfolder import describe
from sodcli.pipelines.predictor import Predictor, load
from sodcli.pipelines.pseudo_label import Label, Outcome, Report, run
from sodcli.pipelines.stopwatch import Stopwatch

GENERATOR: Final = "fgplg"
_NOTE: Final = "pseudo-labels.json"
_TIMED: Final = ("flow", "network", "disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a run is asked for.

    Attributes:
        out: Folder of the labels, named ``M_L``.
        flow: What finds optical flow: see :func:`sodcli.pipelines.labeller.make_flow`.
        device: Where networks run.
        warp_only: Average the two warped labels, without a network.
        weights: Of the network: a name of models.toml or a file; by default its own.
        size: Side in pixels of the square that the network sees; by default its own.
        half: Compute in bfloat16.
        overwrite: Make labels anew that are there.
    """

    out: Path
    flow: str
    device: torch.device
    warp_only: bool = False
    weights: str | None = None
    size: int | None = None
    half: bool = False
    overwrite: bool = False


def make_labels(
    labels: Sequence[Label], order: Order, report: Report
) -> tuple[list[Outcome], dict[str, float]]:
    """Write ``labels``, but for those that are there already from the same settings.

    Returns:
        What became of each, and the shares of time spent on ``flow``, ``network``, ``disk`` and
        the ``rest``.

    Raises:
        UsageError: If labels are there that something else made.
        MissingError: If weights are not on this machine.
        WeightsError: If they are damaged, or not of a generator.
        DeviceError: If the device has not enough memory.
        SinkError: If a label cannot be written.
    """
    predictor = None if order.warp_only else _load(order)
    flow = make_flow(order.flow, order.device)
    network = predictor and describe(predictor, "pseudo-label", half=order.half)
    begin(order.out, {"flow": order.flow, "network": network}, labels, overwrite=order.overwrite)
    clock = Stopwatch()
    judge: Judge = mean_of_warped if predictor is None else Generator(predictor, clock)
    labeller = Labeller(flow, judge, clock)
    outcomes = run(labels, labeller, clock, report, overwrite=order.overwrite)
    return outcomes, clock.shares(*_TIMED)


def begin(out: Path, about: dict[str, Any], labels: Sequence[Label], *, overwrite: bool) -> None:
    """Note in ``out`` what makes its labels, and clear what a killed run left there.

    Raises:
        UsageError: If there are labels that something else made.
        SinkError: If the folder cannot be written.
    """
    note = out / _NOTE
    there = any(label.target.exists() for label in labels)
    if there and not overwrite and _read(note) != about:
        raise UsageError(
            f"{out}: its labels were not made with these weights and settings; "
            "use --overwrite or another -o"
        )
    try:
        for label in labels if overwrite and _read(note) != about else ():
            label.target.unlink(missing_ok=True)  # beside new ones nobody could tell them apart
        write_whole(note, (json.dumps(about, indent=2) + "\n").encode())
        for folder in {label.target.parent for label in labels}:
            sweep(folder)
    except OSError as error:
        raise SinkError(f"cannot write to {out}: {error.strerror or error}") from error


def _load(order: Order) -> Predictor:
    return load(
        GENERATOR,
        weights=order.weights,
        device=str(order.device),
        half=order.half,
        size=order.size,
    )


def _read(note: Path) -> Any:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
