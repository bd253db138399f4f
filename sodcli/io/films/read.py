"""Decode a film file into frames, with rotation applied and square pixels."""

import queue
import re
from collections.abc import Iterator
from fractions import Fraction
from io import RawIOBase
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import SourceError
from sodcli.files.reading import MAX_PIXELS
from sodcli.frame import Frame
from sodcli.imaging.planes import to_rgb
from sodcli.io.films.colour import bt709_filters, srgb_filters
from sodcli.io.films.ffmpeg import Ffmpeg, error_line, source_args
from sodcli.io.films.probe import probe
from sodcli.io.pictures.read import check_file
from sodcli.text import display_name, plural

_TIME_BASE: Final = re.compile(r"\bconfig in time_base: (\d{1,18})/([1-9]\d{0,17})\b")
_SHOWN_AT: Final = re.compile(
    r"\bn: *\d+ pts: *(-?\d{1,19}|NOPTS) (?: *pts_time:\S+ +duration: *(\d{1,19})\b)?"
)
_DEEP_ALPHA: Final = re.compile(r"(yuva\d+p|gbrap)\d")
# ffmpeg's conversion to RGBA reduces deep alpha by bit shifts, with errors of up to +1. zscale
# scales to the full range and rounds; it requires a matrix, which has no effect on grey.
_EXACT_GREY: Final = (
    "setparams=range=pc:colorspace=unknown,format=gray16le,"
    "zscale=rin=full:r=full:min=bt709:m=bt709:d=none,format=gray"
)
_STAMP_WAIT_S: Final = 10.0
_LEAST_OF_FIELDS: Final = 8  # pixels; ffmpeg's bwdif takes no narrower planes
_EARLY_END: Final = 0.02  # fraction of frames that may be missing before a film counts as truncated
_DURATION_STEP_S: Final = 0.01  # ffmpeg prints durations in hundredths of a second


class FilmReader:
    """Iterate over the frames of a film, in display order.

    Call ``close`` on an iterator that is not read to the end. The rate of a film of constant rate
    is kept exactly: missing frames are filled by repeating others, so that picture and sound stay
    in sync. The frames of a film of variable rate have their own times.

    Attributes:
        path: The film file.
        info: Properties of the film.
        timed: Whether the frames have their own times.
        rate: Frames per second, on average if ``timed``.
        expected: Approximate number of frames; ``None`` if unknown.
        end_s: Set after the last frame: the time at which it ends, in seconds, if ``timed`` and
            known; else ``None``.
        damage: Set after the last frame: a message about damage in the file, or ``None``.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        start_s: float = 0.0,
        lasts_s: float | None = None,
        frames: int | None = None,
        rate: Fraction | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Probe the film; decoding starts with the iteration.

        Args:
            path: Any film that ffmpeg reads.
            name: Its name in messages, if that is not its path.
            start_s: Position of the first frame, in seconds.
            lasts_s: Stop after this many seconds of the film; ``None`` reads to its end.
            frames: Stop after this many frames; ``None`` reads to its end.
            rate: Convert to this constant rate, in frames per second, by repeating and dropping
                frames; ``None`` keeps the film's own timing.
            max_pixels: A film with larger frames is rejected.

        Raises:
            SourceError: If the file is missing, is not a film, or its frames are too large.
        """
        check_file(path, picture=False)  # with shorter messages than ffmpeg's
        self._name = name or display_name(path)
        self.path, self.info = path, probe(path, name)
        width, height = self.info.size_wh
        if width * height > max_pixels:
            raise SourceError(
                f"{self._name}: {width}x{height} is more than {max_pixels} pixels;"
                " if you trust the file, raise --max-pixels"
            )
        self.timed = self.info.variable and rate is None
        self.rate = rate or self.info.average
        self._start_s, self._lasts_s, self._limit = start_s, lasts_s, frames
        self.expected = self._expected()
        self.end_s: float | None = None
        self.damage: str | None = None
        self._least: int | None = None
        self._to_planes: list[str] | None = None

    def as_planes(self, least: int) -> None:
        """Yield frames with ``planes``, if the film is stored so that this loses nothing.

        Args:
            least: Smallest side in pixels of the frames' ``rgb``; see :func:`.planes.to_rgb`.
        """
        self._to_planes = self._plane_filters()
        self._least = None if self._to_planes is None else least

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; their ``seconds`` is set if ``timed``.

        Raises:
            SourceError: If no frame can be decoded, or ffmpeg is ended by a signal.
        """
        stamps = _Stamps()
        level = "info" if self.timed else "error"
        count = 0
        with Ffmpeg(self._args(), reads=True, on_line=stamps.take, level=level) as process:
            while (pixels := self._next(process)) is not None:
                seconds = stamps.next(count / float(self.rate)) if self.timed else None
                yield self._frame(pixels, count, seconds)
                count += 1
            self._judge(count, process.finish(), process)
            self.end_s = self._end(stamps)

    def _args(self) -> list[str]:
        """Return ffmpeg's options for input, timing and output."""
        info = self.info
        args = ["-c:v", info.decoder] if info.decoder else []
        if info.seekable:
            args += ["-ss", f"{self._start_s:.6f}"] if self._start_s else []
            args += ["-t", f"{self._lasts_s:.6f}"] if self._lasts_s is not None else []
        args += [*source_args(self.path), "-filter_complex", self._filters(), "-map", "[out]"]
        args += ["-fps_mode", "passthrough"]
        args += ["-frames:v", str(self._limit)] if self._limit is not None else []
        pixels = "rgba" if info.alpha else "yuv420p" if self._least else "rgb24"
        return [*args, "-f", "rawvideo", "-pix_fmt", pixels, "pipe:1"]

    def _filters(self) -> str:
        """Return the filter graph: cut, deinterlacing, timing, colour, size, and alpha if any."""
        info = self.info
        size = "scale={}:{}".format(*info.size_wh)
        timing = "showinfo=checksum=0" if self.timed else f"fps={self.rate}:start_time=0"
        fields = info.interlaced and min(info.stored_wh) >= _LEAST_OF_FIELDS
        deinterlacer = ["bwdif=mode=send_frame:deint=interlaced"] if fields else []
        first = ",".join([*self._cut(), *deinterlacer, timing])
        planes = self._to_planes
        steps = srgb_filters(info.colour, info.stored_wh) if planes is None else planes
        colour = ",".join([*steps, size, "setsar=1"])
        if info.alpha_picture:
            alpha = ",".join([*([] if self.timed else [timing]), size, "format=gray"])
            return (
                f"[{info.picture}]{first},{colour},format=rgb24[rgb];"
                f"[{info.alpha_picture}]{alpha}[alpha];[rgb][alpha]alphamerge[out]"
            )
        if not _DEEP_ALPHA.match(info.pixels):
            return f"[{info.picture}]{first},{colour}[out]"
        alpha = f"[a]alphaextract,{_EXACT_GREY},{size},setsar=1[alpha]"
        return (
            f"[{info.picture}]{first},split[c][a];[c]{colour},format=rgb24[rgb];{alpha};"
            "[rgb][alpha]alphamerge[out]"
        )

    def _cut(self) -> list[str]:
        """Return the filters for start and duration where ffmpeg cannot seek."""
        if self.info.seekable or not (self._start_s or self._lasts_s is not None):
            return []
        end = "" if self._lasts_s is None else f":duration={self._lasts_s:.6f}"
        start = f"{self._start_s:.6f}"
        return [f"trim=start={start}{end}", f"setpts=PTS-{start}/TB"]

    def _plane_filters(self) -> list[str] | None:
        """Return the filters that bring the film's planes to BT.709; ``None`` if it has others."""
        info = self.info
        even = not any(side % 2 for side in (*info.size_wh, *info.stored_wh))
        if info.pixels != "yuv420p" or info.alpha or not even:
            return None
        return bt709_filters(info.colour, info.stored_wh)

    def _next(self, process: Ffmpeg) -> NDArray[np.uint8] | None:
        width, height = self.info.size_wh
        shape = (height, width, 4 if self.info.alpha else 3)
        pixels = np.empty((height * 3 // 2, width) if self._least else shape, np.uint8)
        view = pixels.reshape(-1).data
        pipe = cast(RawIOBase, process.stdout)
        got = 0
        while got < len(view):
            more = pipe.readinto(view[got:])
            if not more:
                return None
            got += more
        return pixels

    def _frame(self, pixels: NDArray[np.uint8], index: int, seconds: float | None) -> Frame:
        alpha = planes = None
        if self._least:
            planes, pixels = pixels, to_rgb(pixels, self._least)
        if self.info.alpha:
            alpha = pixels[..., 3]
            alpha = None if alpha.min() == 255 else np.ascontiguousarray(alpha)
            pixels = np.ascontiguousarray(pixels[..., :3])
        name = self.path.stem
        return Frame(
            pixels, index, name, origin=self.path, alpha=alpha, seconds=seconds, planes=planes
        )

    def _end(self, stamps: "_Stamps") -> float | None:
        """Return the time at which the last frame ends, in seconds, or ``None`` if unknown.

        It is limited by the container's duration, because ffmpeg may report the duration of another
        frame if frames are not stored in display order.
        """
        if stamps.last is None or stamps.lasts is None:
            return None
        lasts, duration = stamps.lasts, self.info.duration_s
        if duration is not None:
            left = duration + _DURATION_STEP_S - self._start_s - stamps.last
            lasts = min(lasts, max(left, float(1 / self.rate)))
        if self._lasts_s is not None:
            lasts = min(lasts, max(self._lasts_s - stamps.last, _DURATION_STEP_S))
        return stamps.last + lasts

    def _expected(self) -> int | None:
        """Return the approximate number of frames, or ``None`` if the duration is unknown."""
        durations = [self._lasts_s] if self._lasts_s is not None else []
        if self.info.duration_s is not None:
            durations.append(self.info.duration_s - self._start_s)
        if not durations:
            return self._limit
        left = max(1, round(min(durations) * self.rate))
        return left if self._limit is None else min(left, self._limit)

    def _judge(self, count: int, code: int, process: Ffmpeg) -> None:
        """Check for errors after the last frame: raise ``SourceError``, or set ``damage``.

        Args:
            count: Number of frames read.
            code: ffmpeg's exit status.
            process: The finished process.
        """
        name = self._name
        if code < 0:
            raise SourceError(f"{name}: {process.reason()} after {plural(count, 'frame')}")
        errors = [line for line in process.lines if "[error]" in line]
        if not count and self._start_s:
            raise SourceError(f"{name}: no frame after --start {self._start_s:g}")
        if not count:
            raise SourceError(f"{name}: no frame can be decoded ({error_line(errors) or 'empty'})")
        if not errors and not code:
            return
        why = error_line(errors) or process.reason()
        short = self.expected is not None and count < self.expected * (1 - _EARLY_END) - 1
        where = f"ends after {count} of about {self.expected} frames" if short else "has bad places"
        self.damage = f"{name}: the file is damaged and {where} ({why})"


class _Stamps:
    """Times of frames, as ffmpeg's filter ``showinfo`` prints them to standard error.

    Attributes:
        last: Time of the frame last returned by ``next``, in seconds; ``None`` if it has none.
        lasts: Duration of that frame, in seconds; ``None`` if unknown.
    """

    def __init__(self) -> None:
        self._time_base = Fraction(0)
        self._times: queue.SimpleQueue[tuple[float | None, float | None]] = queue.SimpleQueue()
        self.last: float | None = None
        self.lasts: float | None = None

    def take(self, line: str) -> bool:
        """Parse a line of standard error; return True if it is from ``showinfo``."""
        if "showinfo" not in line:
            return False
        if found := _TIME_BASE.search(line):
            self._time_base = Fraction(int(found[1]), int(found[2]))
        elif shown_at := _SHOWN_AT.search(line):
            time = None if shown_at[1] == "NOPTS" else float(int(shown_at[1]) * self._time_base)
            self._times.put((time, float(int(shown_at[2] or 0) * self._time_base) or None))
        return True

    def next(self, default: float) -> float:
        """Return the next frame's time in seconds, or ``default`` if it has none."""
        try:
            self.last, self.lasts = self._times.get(timeout=_STAMP_WAIT_S)
        except queue.Empty:
            self.last = None
        return default if self.last is None else self.last


def loop_film(path: Path, rate: Fraction, *, max_pixels: int) -> Iterator[Frame]:
    """Yield the frames of a film at a constant rate, in an endless loop.

    Args:
        path: Any film that ffmpeg reads.
        rate: Frames per second.
        max_pixels: A film with larger frames is rejected.

    Raises:
        SourceError: If the film cannot be read.
    """
    reader = FilmReader(path, rate=rate, max_pixels=max_pixels)
    while True:
        yield from reader
