"""Encode frames into a film file, written atomically, with the sound of another film."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import SinkError, UsageError
from sodcli.files import temporary_folder
from sodcli.io.films.ffmpeg import Ffmpeg, local, run, source_args
from sodcli.io.films.formats import PIPED_SUFFIX, choose_codec
from sodcli.io.films.last_frame import extend_last_frame
from sodcli.io.films.tracks import (
    Tracks,
    decodable,
    extra_args,
    read_tracks,
    software_args,
    sound_args,
)
from sodcli.io.pipe import Copier
from sodcli.text import display_name, reason_of

_PLANES: Final = 0  # in place of a number of channels
_TICKS: Final = 90_000  # per second, for films of variable rate
_TAGS: Final = {1: b"Y800", 3: b"RGB\x18", 4: b"RGBA", _PLANES: b"I420"}
_MAX_SIDE: Final = 2**16 - 1
_STORES_RATE: Final = (".mkv", ".webm")  # containers that store a nominal rate


class FilmWriter:
    """Writes a film; a context manager.

    The frames go to ffmpeg through a pipe as IVF, a simple container with a timestamp per frame, so
    that constant and variable rates are handled alike. ffmpeg encodes into a hidden folder beside
    the target; at the end, the result is muxed with the sound into the final container.

    A normal exit moves the film to the target. ``KeyboardInterrupt`` keeps the frames so far as
    ``STEM.partial.mkv`` (animated pictures keep their own suffix). Any other error, or a second
    Ctrl-C, leaves no file. To standard output, sound and picture go while they are encoded.

    Attributes:
        frames: Number of frames written.
        partial: Path of an interrupted film, or ``None``.
        damage: A message about sound missing from the finished film, or ``None``.
        lost: Parts of the original that the container does not support, such as ``timecode``.
    """

    def __init__(
        self,
        target: Path | None,
        *,
        size_wh: tuple[int, int],
        rate: Fraction,
        alpha: bool = False,
        codec: str = "auto",
        sound: Path | None = None,
        original: Path | None = None,
        start_s: float = 0.0,
        lasts_s: float | None = None,
        quality: int | None = None,
        software: str = "",
    ) -> None:
        """Check the arguments; nothing is written before the ``with`` block.

        Args:
            target: The file; its suffix determines the container. ``None`` is Matroska on standard
                output.
            size_wh: Width and height of every frame, in pixels.
            rate: Frames per second; the nominal rate if the frames have their own times.
            alpha: Whether the frames are RGBA and their transparency is kept.
            codec: A key of ``formats.CODECS``; ``auto`` is the container's default.
            sound: A file whose sound is added, cut to the duration of the frames.
            original: A film whose timecode, title, chapters and subtitles are copied if the
                container supports them.
            start_s: Position of the first frame in ``sound`` and ``original``, in seconds.
            lasts_s: Seconds of ``sound`` for standard output; ``None`` is all of it.
            quality: 0 to 100, for codecs with a quality setting; ``None`` is the codec's default.
            software: What made the film, for its metadata; not in GIF, WebP, APNG and pipes.

        Raises:
            UsageError: If the size or rate is invalid, or the container, codec and alpha do not
                match.
        """
        if max(size_wh) > _MAX_SIDE or min(size_wh) < 1 or rate <= 0:
            raise UsageError(f"no film has {size_wh[0]}x{size_wh[1]} pixels at {rate} frames/s")
        self._name = display_name(target) if target else "standard output"
        self._suffix = target.suffix if target else PIPED_SUFFIX
        self._codec = choose_codec(self._name, self._suffix, alpha=alpha, wanted=codec)
        self._target, self._size_wh, self._rate, self._alpha = target, size_wh, rate, alpha
        self._sound, self._original = sound, original
        self._start_s, self._lasts_s = start_s, lasts_s
        self._quality, self._software = quality, software
        self._pads = self._codec.even and not alpha
        self._stack = ExitStack()
        self._encoder: Ffmpeg | None = None
        self._copier: Copier | None = None
        self._timed = False
        self._channels = 0
        self._first, self._last = 0, -1
        self._end_s: float | None = None
        self.frames = 0
        self.partial: Path | None = None
        self.damage: str | None = None
        self.lost: list[str] = []

    @property
    def planar(self) -> bool:
        """Whether frames may also be planes, see :mod:`sodcli.imaging.planes`."""
        return self._codec.yuv and not self._alpha and not any(side % 2 for side in self._size_wh)

    @property
    def seconds(self) -> float:
        """Duration of the film so far, in seconds."""
        if not self._timed:
            return float(self.frames / self._rate)
        return self._end_s or self._last / _TICKS + float(1 / self._rate)

    def __enter__(self) -> Self:
        """Create the hidden folder.

        Raises:
            SinkError: If it cannot be created.
        """
        if self._target is None:
            return self
        try:
            self._folder = self._stack.enter_context(temporary_folder(self._target.parent, "film"))
        except OSError as error:
            raise self._cannot(reason_of(error)) from error
        return self

    def write(self, pixels: NDArray[np.uint8], seconds: float | None = None) -> None:
        """Append a frame.

        Args:
            pixels: ``(H, W)`` grey, ``(H, W, 3)`` RGB or, with alpha, ``(H, W, 4)`` RGBA with
                straight alpha, uint8, or planes (see ``planar``); the same for all frames.
            seconds: Time of the frame from the start of the film, in seconds; given for all frames
                or for none. ``None`` places the frames at the constant rate.

        Raises:
            SinkError: If the encoder fails.
            ValueError: If size, dtype, channels or timing differ from those of the film.
        """
        channels = self._check(pixels)
        tick = self.frames if seconds is None else round(seconds * _TICKS)
        self._last = max(tick, self._last + 1)
        self._first = self._first if self.frames else self._last
        if self._encoder is None:
            self._timed, self._channels = seconds is not None, channels
            self._encoder = self._start(channels)
            self._send(self._header(channels))
        elif channels != self._channels or self._timed != (seconds is not None):
            raise ValueError("all frames of a film are of one kind, with times or without")
        pixels = self._padded(pixels)
        self._send(struct.pack("<IQ", pixels.nbytes, self._last))
        self._send(np.ascontiguousarray(pixels).reshape(-1).data)
        self.frames += 1

    def extend_to(self, seconds: float) -> None:
        """Set the time at which the last frame ends; by default it lasts ``1 / rate``.

        Call it once, after the last frame. It has no effect unless the frames have times.

        Args:
            seconds: Time from the start of the film, in seconds.
        """
        self._end_s = max(seconds, (self._last + 1) / _TICKS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Finish the film and move it to the target; after an error, keep or remove it.

        Raises:
            SinkError: If the film cannot be finished, or has no frame.
        """
        with self._stack:
            try:
                if kind is None:
                    self._finish(self._target)
                elif issubclass(kind, KeyboardInterrupt) and self.frames:
                    self._keep_partial()
            except KeyboardInterrupt:
                if kind is None:  # the first Ctrl-C, while finishing the film
                    self._keep_partial()
                raise
            finally:
                if self._encoder is not None:
                    self._encoder.stop()

    def _keep_partial(self) -> None:
        if self._target is None:
            self._finish(None)
            return
        suffix = ".mkv" if self._codec.work else self._suffix
        partial = self._target.with_name(f"{self._target.stem}.partial{suffix}")
        self._finish(partial)
        self.partial = partial

    def _check(self, pixels: NDArray[np.uint8]) -> int:
        if self.planar and pixels.shape == (self._size_wh[1] * 3 // 2, self._size_wh[0]):
            return _PLANES
        channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
        wanted = (4,) if self._alpha else (1, 3)
        if pixels.shape[1::-1] != self._size_wh or channels not in wanted:
            raise ValueError(f"frame is {pixels.shape}, the film is {self._size_wh} wide and high")
        if pixels.dtype != np.uint8:
            raise ValueError(f"frame is {pixels.dtype}, not uint8")
        return channels

    def _padded(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Repeat the last row or column where a side is odd and the codec needs even sides.

        Unlike scaling or cropping, this keeps every pixel.
        """
        height, width = pixels.shape[:2]
        if not self._pads or not (height % 2 or width % 2):
            return pixels
        more = [(0, height % 2), (0, width % 2), (0, 0)]
        return np.pad(pixels, more[: pixels.ndim], mode="edge")

    def _header(self, channels: int) -> bytes:
        time_base = Fraction(_TICKS) if self._timed else self._rate
        sides = (side + self._pads * (side % 2) for side in self._size_wh)
        shape = struct.pack("<4sHH", _TAGS[channels], *sides)
        return b"DKIF\0\0\x20\0" + shape + struct.pack("<IIII", *time_base.as_integer_ratio(), 0, 0)

    def _start(self, channels: int) -> Ffmpeg:
        codec = self._codec
        time_base = Fraction(1, _TICKS) if self._timed else 1 / self._rate
        args = ["-f", "ivf", "-c:v", "rawvideo", "-i", "pipe:0"]
        if self._target is None:
            args = self._beside_the_pipe(args)
        args += ["-fps_mode", "passthrough"]
        args += ["-enc_time_base", f"{time_base.numerator}/{time_base.denominator}"]
        args += ["-vf", self._filters(channels)]
        args += codec.options(alpha=self._alpha, quality=self._quality)
        if self._timed and codec.rate_option:
            # Without the rate, the encoder would choose the codec level for 90,000 fps. With
            # B-frames, the last frame shown is not the last one stored, and MP4 cannot store its
            # duration.
            args += [codec.rate_option, f"fps={self._rate}:bframes=0"]
        if self._target is not None:
            return Ffmpeg([*args, "-y", local(self._work)], writes=True)
        encoder = Ffmpeg([*args, "-f", "matroska", "pipe:1"], writes=True, reads=True)
        self._copier = Copier(encoder.stdout, encoder.kill)
        return encoder

    def _filters(self, channels: int) -> str:
        if channels == _PLANES:
            return self._codec.plane_filters()
        return self._codec.filters(alpha=self._alpha, grey=channels == 1)

    @property
    def _work(self) -> Path:
        return self._folder / f"picture{self._codec.work or self._suffix}"

    def _send(self, data: bytes | memoryview) -> None:
        assert self._encoder is not None
        try:
            sent = 0
            while sent < len(data):
                sent += self._encoder.stdin.write(data[sent:]) or 0
        except OSError as error:
            self._end_encoder()
            raise self._cannot(self._encoder.reason()) from error

    def _end_encoder(self) -> int:
        assert self._encoder is not None
        if self._copier is not None:
            with suppress(OSError):
                self._encoder.stdin.close()
            self._copier.finish()
        return self._encoder.finish()

    def _finish(self, target: Path | None) -> None:
        if self._encoder is None:
            raise self._cannot("the film has no frame")
        if self._end_encoder():
            raise self._cannot(self._encoder.reason())
        if target is None:
            return
        made = self._work
        try:
            if self._codec.work:
                made = self._muxed(made, target.suffix.lower())
            elif self._timed or self._codec.name == "webp":
                made = self._extended(made)
            with made.open("rb+") as file:
                os.fsync(file.fileno())
            made.replace(target)
        except OSError as error:
            raise self._cannot(reason_of(error)) from error

    def _muxed(self, picture: Path, suffix: str) -> Path:
        """Mux the encoded picture and the sound into the container."""
        muxed = self._folder / f"film{suffix}"
        end = []
        if self._timed and suffix in _STORES_RATE:  # -r must not change the time base
            end = ["-r", str(self._rate), "-time_base:v", f"1/{_TICKS}"]
        end += [] if suffix in _STORES_RATE else ["-movflags", "+faststart"]
        end += self._last_frame() if self._timed else []
        end += software_args(self._tracks, suffix, self._software)
        why = ""
        for attempt in self._attempts(picture, suffix):
            failed = run([*attempt.args, "-c:v", "copy", *end, "-y", local(muxed)])
            if failed is None:
                self.lost = attempt.lost
                if attempt.missing:
                    self.damage = f"{self._name}: written without {attempt.missing}"
                    self.damage += f" ({why})" if why else ""
                return muxed
            why = failed.reason()
        raise self._cannot(why)

    def _last_frame(self) -> list[str]:
        """Return ffmpeg's options that make the last frame end at ``seconds``."""
        lasts = self.seconds - self._last / _TICKS
        duration = f"if(eq(N\\,{self.frames - 1})\\,{lasts:.6f}/TB\\,DURATION)"
        return ["-bsf:v", f"setts=pts=PTS:dts=DTS:duration={duration}"]

    def _extended(self, picture: Path) -> Path:
        """Make the last frame of an animated picture end at ``seconds``; return the new file."""
        if self._codec.name != "gif":
            extend_last_frame(picture, self.seconds - self._first / _TICKS)
            return picture
        extended = self._folder / "film.gif"
        args = ["-i", local(picture), "-c:v", "copy", "-loop", "0", *self._last_frame()]
        if failed := run([*args, "-y", local(extended)]):
            raise self._cannot(failed.reason())
        return extended

    def _attempts(self, picture: Path, suffix: str) -> Iterator["_Attempt"]:
        """Yield ways to mux the film, each leaving out more, so that the frames are never lost."""
        silent = ["-i", local(picture), "-map", "0:v"]
        if self._files:
            args = [*self._inputs(["-i", local(picture)], []), "-t", f"{self.seconds:.6f}"]
            extra, lost = self._extra(suffix)
            known = self._sound_tracks.known
            yield self._attempt([*args, *extra], known, suffix, lost)
            good = self._decodable()
            if len(good) < len(known):
                yield self._attempt([*args, *extra], good, suffix, lost)
            if extra:
                yield self._attempt(args, good, suffix, ["titles and subtitles", *lost])
        yield _Attempt(silent, "sound" if self._sound else "", [])

    def _beside_the_pipe(self, picture: list[str]) -> list[str]:
        """Return ffmpeg's options that read the picture, and sound and titles from their files."""
        limit = ["-t", f"{self._lasts_s:.6f}"] if self._lasts_s is not None else []
        args = self._inputs(picture, limit)
        extra, lost = self._extra(PIPED_SUFFIX)
        attempt = self._attempt([*args, *extra], self._decodable(), PIPED_SUFFIX, lost)
        self.lost = attempt.lost
        if attempt.missing:
            self.damage = f"{self._name}: written without {attempt.missing}"
        return attempt.args

    @property
    def _files(self) -> list[Path]:
        """The files that ffmpeg reads besides the picture."""
        return list(dict.fromkeys(filter(None, (self._original, self._sound))))

    def _inputs(self, picture: list[str], limit: list[str]) -> list[str]:
        """Return ffmpeg's options that read the picture and ``_files``, and select the picture.

        ffmpeg shifts the start of the picture to 0. With sound, an offset restores the time of the
        first frame.

        Args:
            picture: The options that read the picture.
            limit: Further options of each of the files.
        """
        late = self._timed and self._first and self._sound
        args = ["-itsoffset", f"{self._first / _TICKS:.6f}"] if late else []
        args += picture
        for file in self._files:
            args += ["-ss", f"{self._start_s:.6f}"] if self._start_s else []
            args += [*limit, *source_args(file)]
        return [*args, "-map", "0:v", "-copypriorss", "0"]

    def _attempt(
        self, args: list[str], chosen: Sequence[int], suffix: str, lost: list[str]
    ) -> "_Attempt":
        """Return an attempt with the sound tracks of the indices ``chosen``."""
        tracks = self._sound_tracks
        if (tracks.duration_s or self._start_s) < self._start_s and self._sound != self._original:
            return _Attempt(args, "sound, which ends before --start", lost)
        codecs = tracks.sound
        source = self._files.index(self._sound) + 1 if self._sound else 0
        maps = [word for at in chosen for word in ("-map", f"{source}:a:{at}")]
        left = [
            f"sound track {at + 1} ({codec})" for at, codec in enumerate(codecs) if at not in chosen
        ]
        missing = f"{' and '.join(left)}, which ffmpeg cannot decode" if left else ""
        sound = sound_args(suffix, [codecs[at] for at in chosen])
        return _Attempt([*args, *maps, *sound], missing, lost)

    def _decodable(self) -> list[int]:
        """Return the indices of the sound tracks that ffmpeg can decode."""
        known = self._sound_tracks.known
        return [at for at in known if self._sound and decodable(self._sound, at)]

    def _extra(self, suffix: str) -> tuple[list[str], list[str]]:
        if self._original is None:
            return [], []
        return extra_args(self._tracks, suffix, source=1, start_s=self._start_s, rate=self._rate)

    @cached_property
    def _tracks(self) -> Tracks:
        return read_tracks(self._original) if self._original else Tracks()

    @cached_property
    def _sound_tracks(self) -> Tracks:
        if self._sound == self._original:
            return self._tracks
        return read_tracks(self._sound) if self._sound else Tracks()

    def _cannot(self, why: str) -> SinkError:
        return SinkError(f"cannot write {self._name}: {why}")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """ffmpeg's options for inputs and tracks, the sound that is missing, what else is lost."""

    args: list[str]
    missing: str
    lost: list[str]
