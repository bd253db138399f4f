"""Protocols of film sets: which frames are scored, and how scores are averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sodcli.metrics.scores import DatasetScores, ImageScores, summarise, summarise_clips


@dataclass(frozen=True, slots=True)
class FilmProtocol:
    """A paper's protocol for scoring films.

    Attributes:
        name: Value of ``--video``.
        paper: Paper that defines it.
        margin: Number of frames left out at each end of a clip.
        by_clip: Whether each clip has the same weight, instead of each frame.
        plain: Names of the measures computed without min-max normalisation of the map.
        description: What it leaves out, normalises and averages, as a phrase.
    """

    name: str
    paper: str
    margin: int
    by_clip: bool
    plain: frozenset[str]
    description: str

    @property
    def scored(self) -> slice:
        """Which frames of a clip, in natural order, are scored."""
        return slice(self.margin, -self.margin or None)

    def summarise(self, clips: Mapping[str, Sequence[ImageScores]]) -> DatasetScores:
        """Average the scores of a film set's clips.

        Args:
            clips: For each clip the scores of its scored frames, at least one.

        Raises:
            ValueError: If there is no clip, or a clip has no frame.
        """
        if self.by_clip:
            return summarise_clips(summarise(frames) for frames in clips.values())
        return summarise(frame for frames in clips.values() for frame in frames)


PROTOCOLS: Final = {
    protocol.name: protocol
    for protocol in (
        FilmProtocol(
            name="stdnet",
            paper="STDNet (arXiv 2507.01182)",
            margin=1,
            by_clip=True,
            plain=frozenset({"mae", "s"}),
            description="first and last frame of each clip left out, mean over clips, "
            "MAE and S of the map as it is",
        ),
        FilmProtocol(
            name="rcrnet",
            paper="RCRNet (Yan et al., ICCV 2019)",
            margin=0,
            by_clip=False,
            plain=frozenset({"mae", "f", "wf", "s", "e"}),
            description="every annotated frame, mean over frames, maps as they are",
        ),
    )
}
"""Protocols by name."""
