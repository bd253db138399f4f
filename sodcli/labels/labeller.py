"""One pseudo label from a frame and two labelled frames around it, and the time it takes."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch

from sodcli.imaging.evidence import Evidence, Labelled, Map, Pixels, find_evidence, pack
from sodcli.imaging.flow import DisFlow, FlowEstimator
from sodcli.imaging.tensors import to_saliency
from sodcli.models.raft import RaftFlow
from sodcli.runtime.predictor import Predictor, load


class Stopwatch:
    """Adds up seconds by name, from its making on."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the time of the block for ``name``; blocks must not lie in one another."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def shares(self, *names: str) -> dict[str, float]:
        """Return each one's share of all time so far, and the ``rest``; 0 to 1."""
        total = time.perf_counter() - self._start
        shares = {name: self._seconds[name] / total for name in names}
        return shares | {"rest": max(0.0, 1 - sum(shares.values()))}


DIS: Final = "dis"

Judge = Callable[[Evidence], Map]
"""Makes a label ``(H, W)`` float32 in [0, 1] of the evidence."""


class Labeller:
    """Finds the flows and judges what they bring.

    Args:
        flow: Finds optical flow.
        judge: Makes the label.
        clock: Told of the time that the ``flow`` takes.
    """

    def __init__(self, flow: FlowEstimator, judge: Judge, clock: Stopwatch) -> None:
        self._flow, self._judge, self._clock = flow, judge, clock

    def __call__(self, target: Pixels, left: Labelled, right: Labelled) -> Map:
        """Return the label of ``target``, ``(H, W)`` float32 in [0, 1]; all are of one size."""
        with self._clock.on("flow"):
            evidence = find_evidence(target, left, right, self._flow)
        return self._judge(evidence)


class Generator:
    """FGPLG, the network, as a judge.

    Args:
        predictor: A loaded ``fgplg``.
        clock: Told of the time that the ``network`` takes.
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
    """Return what finds optical flow: ``dis``, or a model of models.toml such as ``raft-small``.

    Raises:
        UnknownNameError: If there is no such model.
        MissingError: If its weights are not on this machine.
    """
    if name == DIS:
        return DisFlow()
    return RaftFlow(load(name, device=str(device)).module, device)
