"""``sod pseudo-label``: dense labels for films with sparse ground truth."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch

from sodcli.data.clips import between
from sodcli.data.films import Film
from sodcli.data.masks import read_pair
from sodcli.data.pairs import Pair
from sodcli.data.read import read_image
from sodcli.errors import SodError, SourceError, UsageError
from sodcli.imaging.evidence import (
    Evidence,
    Labelled,
    Map,
    Pixels,
    find_evidence,
    mean_of_warped,
    pack,
)
from sodcli.imaging.flow import DisFlow, FlowEstimator
from sodcli.imaging.tensors import to_saliency
from sodcli.io.sinks import save_picture
from sodcli.models.raft import RaftFlow
from sodcli.registry import default_registry
from sodcli.runtime.map_folder import MapFolder, describe
from sodcli.runtime.predictor import Predictor, load
from sodcli.text import plural


class Stopwatch:
    """Accumulates seconds by name; starts when it is created."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Add the time of the block to ``name``; blocks must not be nested."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def shares(self, *names: str) -> dict[str, float]:
        """Return the share of each name in the time so far, and the ``rest``, in [0, 1]."""
        total = time.perf_counter() - self._start
        shares = {name: self._seconds[name] / total for name in names}
        return shares | {"rest": max(0.0, 1 - sum(shares.values()))}


DIS: Final = "dis"

LabelFunction = Callable[[Evidence], Map]
"""Makes a label ``(H, W)`` float32 in [0, 1] from the evidence."""


class Labeller:
    """Warps two labels by optical flow and combines them into one.

    Args:
        flow: Estimates optical flow.
        label_function: Makes the label.
        clock: Measures the time of the ``flow``.
    """

    def __init__(
        self, flow: FlowEstimator, label_function: LabelFunction, clock: Stopwatch
    ) -> None:
        self._flow, self._label_function, self._clock = flow, label_function, clock

    def __call__(self, target: Pixels, left: Labelled, right: Labelled) -> Map:
        """Return the label of ``target``, ``(H, W)`` float32 in [0, 1]; all sizes must be equal."""
        with self._clock.on("flow"):
            evidence = find_evidence(target, left, right, self._flow)
        return self._label_function(evidence)


class Generator:
    """The FGPLG network as a :data:`LabelFunction`.

    Args:
        predictor: A loaded ``fgplg``.
        clock: Measures the time of the ``network``.
    """

    def __init__(self, predictor: Predictor, clock: Stopwatch) -> None:
        self._predictor, self._clock = predictor, clock

    def __call__(self, evidence: Evidence) -> Map:
        """Return the network's label at the frame's size.

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        spec = self._predictor.spec
        batch = pack(evidence, self._predictor.size_hw, spec.mean, spec.std)[None]
        with self._clock.on("network"):
            logits = self._predictor.backend.run(batch)
        return to_saliency(logits[0, 0], evidence.target.shape[:2])


def make_flow(name: str, device: torch.device) -> FlowEstimator:
    """Return the flow estimator ``dis``, or a model of models.toml such as ``raft-small``.

    Raises:
        UnknownNameError: If there is no such model.
        UsageError: If the model estimates no flow.
        MissingError: If its weights are not on this machine.
    """
    if name == DIS:
        return DisFlow()
    if default_registry().model(name).task != "flow":
        raise UsageError(f"{name!r} estimates no optical flow")
    return RaftFlow(load(name, device=str(device)).module, device)


@dataclass(frozen=True, slots=True)
class Label:
    """A label to write.

    Attributes:
        film: Film of the frame.
        place: Index of the frame in the film.
        target: File of the label.
        around: Indices of the labelled frames before and after it; None for kept ground truth.
    """

    film: Film
    place: int
    target: Path
    around: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """Result of one label; ``error`` is set if it failed."""

    label: Label
    status: Literal["kept", "made", "skipped", "failed"]
    error: SodError | None = None


Report = Callable[[LabelOutcome], None]


def plan(films: Sequence[Film], interval: int, count: int, out: Path) -> list[Label]:
    """Return the labels to write, as ``out/SET/FILM/FRAME.png``, film by film.

    Args:
        films: Films with annotations.
        interval: Keep every n-th annotation.
        count: Number of labels to make between two kept annotations, if there are enough frames.
        out: Folder of the labels.

    Raises:
        UsageError: If no film has room for ``count`` labels between two kept annotations.
    """
    labels = [label for film in films for label in _plan_film(film, interval, count, out)]
    most = max(Counter((id(x.film), x.around) for x in labels if x.around).values(), default=0)
    if most < count:
        raise UsageError(
            f"--between {count} --label-interval {interval}: there is room for "
            f"{plural(most, 'label')} between two kept annotations; ask for fewer, or keep fewer "
            "annotations"
        )
    return labels


def run(
    labels: Sequence[Label],
    labeller: Labeller,
    clock: Stopwatch,
    report: Report,
    *,
    overwrite: bool = False,
) -> list[LabelOutcome]:
    """Write the labels; one that cannot be made does not affect the others.

    Args:
        labels: From :func:`plan`.
        labeller: Makes a label.
        clock: Measures the time of the ``disk``, including decoding and encoding.
        report: Called with each outcome.
        overwrite: Replace existing labels.

    Raises:
        SinkError: If a label cannot be written.
        DeviceError: If the device has not enough memory.
        WeightsError: If the network's answers are not finite.
    """
    outcomes = []
    neighbours = _Neighbours(clock)
    for label in labels:
        outcome = (
            LabelOutcome(label, "skipped")
            if label.target.exists() and not overwrite
            else _write(label, labeller, neighbours, clock)
        )
        outcomes.append(outcome)
        report(outcome)
    return outcomes


class _Neighbours:
    """Reads labelled frames and caches the last two, because neighbouring gaps share a frame."""

    def __init__(self, clock: Stopwatch) -> None:
        self._clock = clock
        self._held: dict[Path, Labelled | SourceError] = {}

    def __call__(self, film: Film, place: int) -> Labelled:
        mask = film.masks[place]
        if mask not in self._held:
            self._held = dict([*self._held.items()][-1:])
            self._held[mask] = self._read(Pair(film.frames[place], mask, film.set))
        found = self._held[mask]
        if isinstance(found, SourceError):
            raise found
        return found

    def _read(self, pair: Pair) -> Labelled | SourceError:
        try:
            with self._clock.on("disk"):
                return Labelled(*read_pair(pair))
        except SourceError as error:
            return error


def _plan_film(film: Film, interval: int, count: int, out: Path) -> Iterator[Label]:
    kept = sorted(film.masks)[::interval]
    folder = out / film.set / film.name

    def label(place: int, around: tuple[int, int] | None = None) -> Label:
        return Label(film, place, folder / f"{film.frames[place].stem}.png", around)

    for around in pairwise(kept):
        yield label(around[0])
        for place in between(*around, count):
            yield label(place, around)
    for place in kept[-1:]:
        yield label(place)


def _write(
    label: Label, labeller: Labeller, neighbours: _Neighbours, clock: Stopwatch
) -> LabelOutcome:
    try:
        values = _values(label, labeller, neighbours, clock)
    except SourceError as error:
        return LabelOutcome(label, "failed", error)
    with clock.on("disk"):
        save_picture(np.rint(values * 255).astype(np.uint8), label.target)
    return LabelOutcome(label, "made" if label.around else "kept")


def _values(label: Label, labeller: Labeller, neighbours: _Neighbours, clock: Stopwatch) -> Map:
    """Return the kept ground truth, or a label made from the two neighbours."""
    if label.around is None:
        return neighbours(label.film, label.place).label
    left, right = (neighbours(label.film, place) for place in label.around)
    path = label.film.frames[label.place]
    with clock.on("disk"):
        target = read_image(path)
    if not target.shape == left.rgb.shape == right.rgb.shape:
        raise SourceError(f"{path}: its size is not that of the labelled frames around it")
    return labeller(target, left, right)


_GENERATOR: Final = "fgplg"
_NOTE: Final = "pseudo-labels"  # one per film, since a run may be of a part of a set
_TIMED: Final = ("flow", "network", "disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequest:
    """Options of a run.

    Attributes:
        out: Folder of the labels, as given to :func:`plan`.
        flow: Optical flow estimator: see :func:`make_flow`.
        device: Device of the networks.
        warp_only: Average the two warped labels, without a network.
        weights: Name of models.toml or file; by default the network's own.
        size: Side of the square network input in pixels; by default the network's own.
        half: Compute in bfloat16.
        overwrite: Replace existing labels.

    Raises:
        UsageError: If ``warp_only`` is combined with a setting of the network.
    """

    out: Path
    flow: str
    device: torch.device
    warp_only: bool = False
    weights: str | None = None
    size: int | None = None
    half: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.warp_only and (self.weights is not None or self.size is not None or self.half):
            raise UsageError("--warp-only uses no network: leave out --weights, --size and --half")


def make_labels(
    labels: Sequence[Label], request: LabelRequest, report: Report
) -> tuple[list[LabelOutcome], dict[str, float]]:
    """Write ``labels``; existing labels made with the same settings are kept.

    Returns:
        The result of each label, and the shares of time spent on ``flow``, ``network``, ``disk``
        and the ``rest``.

    Raises:
        UnknownNameError: If there is no model ``request.flow``.
        UsageError: If it estimates no flow, or labels made with other settings exist.
        MissingError: If weights are not on this machine.
        WeightsError: If they are damaged, or belong to another kind of model.
        DeviceError: If the device has not enough memory.
        SinkError: If a label cannot be written.
    """
    predictor = None if request.warp_only else _load(request)
    flow = make_flow(request.flow, request.device)
    network = predictor and describe(predictor, "pseudo-label", half=request.half)
    about = {"flow": request.flow, "network": network}
    targets: defaultdict[str, list[Path]] = defaultdict(list)
    for label in labels:
        targets[f"{label.film.set}/{label.film.name}/{_NOTE}"].append(label.target)
    folder = MapFolder(request.out, about, targets, what="labels")
    folder.check(resume=True, overwrite=request.overwrite)
    folder.begin(overwrite=request.overwrite)
    clock = Stopwatch()
    label_function: LabelFunction = (
        mean_of_warped if predictor is None else Generator(predictor, clock)
    )
    labeller = Labeller(flow, label_function, clock)
    outcomes = run(labels, labeller, clock, report, overwrite=request.overwrite)
    return outcomes, clock.shares(*_TIMED)


def _load(request: LabelRequest) -> Predictor:
    return load(
        _GENERATOR,
        weights=request.weights,
        device=str(request.device),
        half=request.half,
        size=request.size,
    )
