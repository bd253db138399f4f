"""Learning-rate schedules as pure functions of the position, so that resuming needs no state.

Every schedule is a frozen dataclass. It is called with the base rate, the position ``t`` and the
total ``end``, both in epochs or in steps (``per``), ``0 <= t < end``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

from sodcli.errors import UsageError
from sodcli.tables import Length, NotNegative, Range, read_table
from sodcli.text import did_you_mean


class Schedule(Protocol):
    """A learning-rate schedule."""

    @property
    def per(self) -> Literal["epoch", "step"]:
        """Whether positions count epochs or optimiser steps."""
        ...

    def __call__(self, base: float, t: int, end: int) -> float:
        """Return the rate at ``t`` of ``end`` for the base rate ``base``."""
        ...


S = TypeVar("S", bound=type)
_SCHEDULES: Final[dict[str, type[Schedule]]] = {}


def _named(name: str) -> Callable[[S], S]:
    def add(kind: S) -> S:
        _SCHEDULES[name] = kind
        return kind

    return add


def make_schedule(table: Mapping[str, Any]) -> Schedule:
    """Build the schedule that ``table`` names under ``name``; its other keys are the options.

    Raises:
        UsageError: If there is no such schedule, or an option is invalid.
    """
    options = dict(table)
    name = str(options.pop("name", "constant"))
    if name not in _SCHEDULES:
        known = ", ".join(sorted(_SCHEDULES))
        hint = did_you_mean(name, _SCHEDULES)
        raise UsageError(f"schedule: no schedule named {name!r}.{hint} Known: {known}.")
    return read_table(_SCHEDULES[name], options, f"schedule {name!r}")


@_named("constant")
@dataclass(frozen=True, kw_only=True)
class Constant:
    """Constant base rate."""

    per: Literal["epoch", "step"] = "epoch"

    def __call__(self, base: float, t: int, end: int) -> float:
        """Return ``base``."""
        return base


@_named("multistep")
@dataclass(frozen=True, kw_only=True)
class MultiStep:
    """Multiply by ``gamma`` at each of ``at`` (SDNet, STDNet)."""

    at: Annotated[tuple[int, ...], Length(1, "name at least one")]
    gamma: NotNegative = 0.1
    per: Literal["epoch", "step"] = "epoch"

    def __call__(self, base: float, t: int, end: int) -> float:
        """Return ``base`` times ``gamma`` to the number of milestones reached."""
        return base * self.gamma ** sum(t >= milestone for milestone in self.at)


@_named("poly")
@dataclass(frozen=True, kw_only=True)
class Poly:
    """``(1 - t / end) ** power`` after a linear warm-up (MINet)."""

    power: NotNegative = 0.9
    warmup: Annotated[int, Range(least=0)] = 0
    per: Literal["epoch", "step"] = "epoch"

    def __call__(self, base: float, t: int, end: int) -> float:
        """Return the polynomially decayed rate."""
        ramp, t, end = _warm(self.warmup, t, end)
        return base * (ramp if ramp < 1 else math.pow(1 - t / end, self.power))


@_named("cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Half a cosine wave from the base rate down to ``floor`` of it, after a linear warm-up."""

    floor: NotNegative = 0.0
    warmup: Annotated[int, Range(least=0)] = 0
    per: Literal["epoch", "step"] = "epoch"

    def __call__(self, base: float, t: int, end: int) -> float:
        """Return the cosine-decayed rate."""
        ramp, t, end = _warm(self.warmup, t, end)
        wave = (1 + math.cos(math.pi * t / end)) / 2
        return base * (ramp if ramp < 1 else self.floor + (1 - self.floor) * wave)


@_named("triangle")
@dataclass(frozen=True, kw_only=True)
class Triangle:
    """Linear rise to the base rate at the middle, then linear fall (F3Net, MINet's ``f3_sche``)."""

    per: Literal["epoch", "step"] = "epoch"

    def __call__(self, base: float, t: int, end: int) -> float:
        """Return ``base * (1 - |2 (t + 1) / (end + 1) - 1|)``."""
        return base * (1 - abs(2 * (t + 1) / (end + 1) - 1))


@_named("poly-ramp")
@dataclass(frozen=True, kw_only=True)
class PolyRamp:
    """Polynomial decay to ``lowest``, limited by a linear warm-up from base / 10 (InSPyReNet).

    Attributes:
        lowest: Final rate, the same for every parameter group.
    """

    power: NotNegative = 0.9
    lowest: NotNegative = 1e-7
    warmup: Annotated[int, Range(least=0)] = 12000
    per: Literal["epoch", "step"] = "step"

    def __call__(self, base: float, t: int, end: int) -> float:
        """Return the decayed rate; during warm-up, the smaller of it and the ramp."""
        poly = (base - self.lowest) * math.pow(1 - t / end, self.power) + self.lowest
        if t >= self.warmup:
            return poly
        return min(base * (0.1 + 0.9 * t / self.warmup), poly)


def _warm(warmup: int, t: int, end: int) -> tuple[float, int, int]:
    """Return MINet's warm-up factor, and the position and end without the warm-up."""
    if t < warmup:
        return (t + 1) / warmup, 0, 1
    shift = max(warmup - 1, 0)
    return 1.0, t - shift, end - shift
