"""Results of an evaluation: scores, and warnings about the files behind them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sodcli.benchmark.measure import Oddity
from sodcli.metrics.scores import DatasetScores, ImageScores
from sodcli.metrics.video import FilmProtocol
from sodcli.text import plural, shortened

_MESSAGES: Final[dict[Oddity, str]] = {
    "resized": "resized to the ground truth",
    "colour": "in colour, which counts as the grey it shows",
    "transparent": "cut out, which counts as the transparency",
    "deep": "of more than 8 bits, which are rounded",
    "palette": "with a palette, whose index 0 counts as background",
    "grey truth": "not black and white, cut at 128",
    "faint truth": "nowhere brighter than 128, which counts as black",
    "palette truth": "with a palette, whose index 0 counts as background",
    "colour truth": "in colour, where every colour but black counts as foreground",
    "void truth": "with void pixels, which count as background",
    "resized truth": "resized to the photo",
}
_UNDEFINED: Final = {
    "s": "S is 0/0 in an empty quadrant, which counts 0",
    "mba": "mBA has no boundary to look at and is left out of its mean",
    "ber": "BER has no foreground or no background and is left out of its mean",
}


@dataclass(frozen=True, slots=True, eq=False)
class ImageResult:
    """One map and its ground truth.

    Attributes:
        name: Name within the set: ``0004``, ``blackswan/00012``.
        clip: Film that the frame belongs to; empty in a set of pictures.
        photo: File of the photo, if there is one.
        truth: File of the ground truth.
        map: File of the map; None if it is missing.
        scores: None if the map is missing or one of the files cannot be read.
        odd: What is unusual about the files.
        error: Why a file cannot be read.
    """

    name: str
    clip: str
    photo: Path | None
    truth: Path
    map: Path | None
    scores: ImageScores | None
    odd: frozenset[Oddity]
    error: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ResultRow:
    """One method on one set.

    Attributes:
        method: Name of the method.
        dataset: Name of the set.
        film: Protocol of a film set; None if images are averaged one by one.
        scores: Means over the images that have scores; None if no image has.
        images: All images of the set, in natural order.
        unused: Maps that belong to no ground truth.
    """

    method: str
    dataset: str
    film: FilmProtocol | None
    scores: DatasetScores | None
    images: tuple[ImageResult, ...]
    unused: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether every image has scores."""
        return self.scores is not None and self.scores.images == len(self.images)

    @property
    def missing(self) -> list[str]:
        """Names of the images without a map."""
        return [image.name for image in self.images if image.map is None]

    @property
    def damaged(self) -> list[str]:
        """One line for each map or ground truth that cannot be read."""
        return [image.error for image in self.images if image.error is not None]

    def odd(self, kind: Oddity) -> list[str]:
        """Names of the images whose files are unusual in this way."""
        return [image.name for image in self.images if kind in image.odd]

    def faults(self) -> Iterator[str]:
        """Yield one line per kind of fault of the maps; ``--strict`` fails on them."""
        count = len(self.images)
        yield from _line(self, self.missing, f"of {count} maps are missing")
        yield from _line(self, self.damaged, f"of {count} images are left out")
        for kind, message in _MESSAGES.items():
            if not kind.endswith("truth"):
                yield from _line(self, self.odd(kind), message, "map")

    def remarks(self) -> Iterator[str]:
        """Yield one line per kind of other remark."""
        for kind, message in _MESSAGES.items():
            if kind.endswith("truth"):
                yield from _line(self, self.odd(kind), message, "ground truth")
        names = [path.name for path in self.unused]
        yield from _line(self, names, "without ground truth, not used", "map")
        for name, count in (self.scores.undefined if self.scores else Counter[str]()).items():
            yield f"{self.dataset}, {self.method}: on {plural(count, 'image')} {_UNDEFINED[name]}"


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Scores of methods on sets.

    Attributes:
        rows: Set by set; within a set in the order of the methods.
        which: Names of the measures.
        remarks: Messages about the data sets.
        lost: One line for each damaged file whose image ``common`` removed from ``rows``.
    """

    rows: tuple[ResultRow, ...]
    which: frozenset[str]
    remarks: tuple[str, ...]
    lost: tuple[str, ...] = ()

    @property
    def datasets(self) -> list[str]:
        """Names of the sets in order."""
        return list(dict.fromkeys(row.dataset for row in self.rows))

    @property
    def methods(self) -> list[str]:
        """Names of the methods in order."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def names(self) -> list[str]:
        """Usual names of the scores, in the usual order."""
        return list(dict.fromkeys(name for row in self.rows for name in values(row)))

    def of(self, dataset: str) -> list[ResultRow]:
        """Return the rows of one set, one per method."""
        return [row for row in self.rows if row.dataset == dataset]

    def faults(self) -> list[str]:
        """Return the faults of the maps, one line each."""
        damaged = f"{plural(len(self.lost), 'damaged file')}: {shortened(self.lost)}"
        lines = [line for row in self.rows for line in row.faults()]
        return [damaged, *lines] if self.lost else lines

    def warnings(self) -> list[str]:
        """Return all warnings about the scores, the most serious first."""
        remarks = [line for row in self.rows for line in row.remarks()]
        return [*self.faults(), *self.remarks, *remarks]

    @property
    def damaged(self) -> int:
        """Number of files that cannot be read."""
        return len(self.lost) + sum(len(row.damaged) for row in self.rows)


def values(row: ResultRow) -> dict[str, float]:
    """Return a row's scores by their usual names; empty if it has none."""
    return row.scores.as_dict() if row.scores else {}


def _line(row: ResultRow, names: list[str], message: str, noun: str = "") -> Iterator[str]:
    if names:
        count = plural(len(names), noun) if noun else len(names)
        yield f"{row.dataset}, {row.method}: {count} {message}: {shortened(names)}"
