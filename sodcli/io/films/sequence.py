"""Pictures as the frames of a film: numbered files, or one after another on standard input."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Final

from sodcli.errors import SourceError
from sodcli.files.reading import MAX_PIXELS
from sodcli.frame import Frame
from sodcli.io.films.probe import FilmInfo
from sodcli.io.pictures.colour import in_srgb
from sodcli.io.pictures.read import decode_picture, read_picture
from sodcli.io.pipe import STDIN, Pipe
from sodcli.text import display_name

_USUAL_RATE: Final = Fraction(25)


class SequenceReader:
    """The frames of a sequence of pictures, read once.

    It has the attributes ``info``, ``rate``, ``expected``, ``end_s`` and ``damage`` of
    ``FilmReader``.
    """

    def __init__(
        self,
        pictures: Sequence[Path] | Pipe,
        *,
        rate: Fraction | None = None,
        start_s: float = 0.0,
        lasts_s: float | None = None,
        frames: int | None = None,
        any_size: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Read the first picture, which decides on the size.

        Args:
            pictures: The files, in order, or standard input.
            rate: Frames per second; ``None`` is 25.
            start_s: Leave out the pictures shown earlier, in seconds.
            lasts_s: Stop after so many seconds.
            frames: Stop after so many pictures.
            any_size: The pictures may differ in size.
            max_pixels: Larger pictures are refused.

        Raises:
            SourceError: If it cannot be read, or ``start_s`` leaves none.
        """
        self.rate = rate or _USUAL_RATE
        first = round(start_s * self.rate)
        counts = [] if frames is None else [frames]
        counts += [] if lasts_s is None else [max(1, round(lasts_s * self.rate))]
        self.expected: int | None = min(counts, default=None)
        source: Iterable[Path | bytes]
        if isinstance(pictures, Pipe):
            name, source = STDIN, pictures.pictures()
        else:
            name, source = display_name(pictures[0].parent), pictures
            left = len(pictures) - first
            self.expected = left if self.expected is None else min(left, self.expected)
        stop = None if self.expected is None else first + max(0, self.expected)
        chosen: Iterable[Path | bytes] = islice(source, first, stop)
        self._max_pixels, self._any_size = max_pixels, any_size
        self._frames = (self._read(index, picture) for index, picture in enumerate(chosen))
        opening = next(self._frames, None)
        if opening is None:
            raise SourceError(f"{name}: no frame after --start {start_s:g}")
        self._opening = opening
        height, width = opening.size_hw
        self.info = FilmInfo((width, height), self.rate, self.rate)
        self.end_s: float | None = None
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures in sRGB.

        Raises:
            SourceError: If one cannot be read or has another size than the first.
        """
        for frame in chain([self._opening], self._frames):
            if frame.size_hw != self._opening.size_hw and not self._any_size:
                name = display_name(frame.origin or f"{STDIN}, picture {frame.index + 1}")
                sizes = "{}x{}, the first is {}x{}".format(*frame.size_hw[::-1], *self.info.size_wh)
                raise SourceError(f"{name}: {sizes}")
            yield frame

    def _read(self, index: int, picture: Path | bytes) -> Frame:
        if isinstance(picture, Path):
            frame = read_picture(picture, index=index, max_pixels=self._max_pixels)
        else:
            frame = decode_picture(picture, name=STDIN, index=index, max_pixels=self._max_pixels)
        return in_srgb(frame)
