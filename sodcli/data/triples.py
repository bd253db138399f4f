"""Training samples of FGPLG: a labelled frame and the labelled frames before and after it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sodcli.data.clips import windows
from sodcli.data.films import Film
from sodcli.data.masks import read_pair
from sodcli.data.pairs import Pair
from sodcli.errors import SourceError
from sodcli.imaging.evidence import Evidence, Labelled, find_evidence, pack
from sodcli.imaging.flow import DisFlow

_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Triple:
    """Three labelled frames of a film in order; the label of the middle one is predicted."""

    left: Pair
    target: Pair
    right: Pair

    @property
    def image(self) -> Path:
        """File of the middle picture, for messages."""
        return self.target.image

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The three pairs in order."""
        return self.left, self.target, self.right

    def backwards(self) -> "Triple":
        """Return the triple of the reversed film."""
        return Triple(self.right, self.target, self.left)


def triples_of(films: Iterable[Film], interval: int) -> tuple[Triple, ...]:
    """Return the triples of ``films``, as published, except that none is repeated.

    Args:
        films: Films with fewer than three kept annotations give no triple.
        interval: Keep one annotation of this many.
    """
    triples = []
    for film in films:
        kept = sorted(film.masks)[::interval]
        places = windows(kept, _LENGTH, training=True) if len(kept) >= _LENGTH else []
        for clip in dict.fromkeys(places):
            pairs = (Pair(film.frames[at], film.masks[at], film.set) for at in clip)
            triples.append(Triple(*pairs))
    return tuple(triples)


def read_triple(triple: Triple, *, fit: bool = False) -> tuple[Evidence, NDArray[np.float32]]:
    """Return the evidence for the middle frame, and its label ``(H, W)`` float32 in [0, 1].

    The optical flow is DIS.

    Args:
        triple: The three pairs.
        fit: Resize masks of another size than their picture.

    Raises:
        SourceError: If a file cannot be read or the sizes differ; the message names the file.
    """
    target, truth = read_pair(triple.target, fit=fit)
    left, right = (Labelled(*read_pair(pair, fit=fit)) for pair in (triple.left, triple.right))
    for pair, side in ((triple.left, left), (triple.right, right)):
        if side.rgb.shape != target.shape:
            raise SourceError(f"{pair.image}: is of another size than {triple.image}")
    return find_evidence(target, left, right, DisFlow()), truth


def pack_triple(
    triple: Triple,
    size_hw: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    fit: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the network's input and the middle frame's label.

    Args:
        triple: The three pairs.
        size_hw: Height and width of the network's input.
        mean: Per channel RGB, of values in [0, 1].
        std: Per channel RGB.
        fit: Resize masks of another size than their picture.

    Returns:
        ``(9, h, w)`` float32, see :func:`sodcli.imaging.evidence.pack`, and ``(H, W)`` float32 in
        [0, 1] at the file's size.

    Raises:
        SourceError: As in :func:`read_triple`.
    """
    evidence, truth = read_triple(triple, fit=fit)
    return pack(evidence, size_hw, mean, std), truth
