"""Numbered pictures as the frames of a film."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from sodcli.errors import SourceError
from sodcli.files.reading import MAX_PIXELS
from sodcli.frame import Frame
from sodcli.io.films.probe import FilmInfo
from sodcli.io.pictures.colour import in_srgb
from sodcli.io.pictures.read import read_picture
from sodcli.text import display_name

USUAL_RATE: Final = Fraction(25)


class SequenceReader:
    """The frames of a sequence of pictures; has the attributes of ``FilmReader``."""

    def __init__(
        self,
        pictures: Sequence[Path],
        *,
        rate: Fraction = USUAL_RATE,
        start_s: float = 0.0,
        lasts_s: float | None = None,
        frames: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Read the first picture, which decides on the size.

        Args:
            pictures: The files, in order.
            rate: Frames per second.
            start_s: Leave out the pictures shown earlier, in seconds.
            lasts_s: Stop after so many seconds.
            frames: Stop after so many pictures.
            max_pixels: Larger pictures are refused.

        Raises:
            SourceError: If it cannot be read, or ``start_s`` leaves none.
        """
        chosen = list(pictures)[round(start_s * rate) :]
        if lasts_s is not None:
            chosen = chosen[: max(1, round(lasts_s * rate))]
        self._pictures, self._max_pixels = chosen[:frames], max_pixels
        if not chosen:
            folder = display_name(pictures[0].parent)
            raise SourceError(f"{folder}: no frame after --start {start_s:g}")
        self.path, self.rate, self.timed = chosen[0], rate, False
        height, width = self._read(0).size_hw
        self.info = FilmInfo((width, height), rate, rate, duration_s=float(len(chosen) / rate))
        self.expected: int | None = len(self._pictures)
        self.end_s: float | None = None
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures in sRGB.

        Raises:
            SourceError: If one cannot be read or has another size than the first.
        """
        for index in range(len(self._pictures)):
            frame = self._read(index)
            if frame.size_hw != self.info.size_wh[::-1]:
                sizes = "{}x{}, the first is {}x{}".format(*frame.size_hw[::-1], *self.info.size_wh)
                raise SourceError(f"{display_name(self._pictures[index])}: {sizes}")
            yield frame

    def _read(self, index: int) -> Frame:
        path = self._pictures[index]
        return in_srgb(read_picture(path, index=index, max_pixels=self._max_pixels))
