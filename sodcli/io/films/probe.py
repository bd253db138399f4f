"""Properties of a film, read from ffmpeg's messages: imageio-ffmpeg ships no ffprobe."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from sodcli.errors import SourceError
from sodcli.io.films.colour import Colour, colour_tags
from sodcli.io.films.ffmpeg import Ffmpeg, description, source_args
from sodcli.io.films.tracks import Tracks, tracks_of
from sodcli.text import display_name

_TIME_BASE: Final = re.compile(r"#tb 0: ([1-9]\d*)/([1-9]\d*)")
_SHOWN_SIZE: Final = re.compile(r"#dimensions 0: ([1-9]\d*)x([1-9]\d*)")
_SIZE: Final = re.compile(r", (\d+)x(\d+)")
_PICTURE: Final = re.compile(r"Stream #0:(\d+)\S*: Video: ")
_FORMAT: Final = re.compile(r"\bn: *0 .* fmt:(\w+) .* i:(\w)")
_ALPHA_PIXELS: Final = re.compile(r"(yuva\w+|rgba\w*|bgra\w*|argb|abgr|gbrap\w*|ya\d+\w*|pal8)$")
_UNSEEKABLE: Final = re.compile(r"Input #0, (webp_anim|h264|hevc|obu|mpegvideo),")
_ALPHA_MODE: Final = re.compile(r"alpha_mode\s*: 1", re.IGNORECASE)
_FASTEST: Final = 300
_NTSC: Final = Fraction(1001, 1000)  # 30000/1001 times this is whole
_ROUNDED: Final = Fraction(1, 500_000)
_USUAL_RATE: Final = Fraction(30)


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """A film as it is shown.

    Attributes:
        size_wh: Width and height in square pixels, after rotation.
        rate: Frames per second, exact: ``Fraction(30000, 1001)``.
        average: Frames per second over the whole film, rounded; ``rate`` if it is constant.
        stored_wh: Width and height as stored, before rotation.
        variable: The time from frame to frame varies.
        tracks: Sound, subtitles and all else besides the picture.
        pixels: ffmpeg's name of the decoded pixel format, as ``yuv420p``.
        alpha: The pixels may be transparent.
        interlaced: Frames may consist of two fields.
        colour: The tags of the decoded frames.
        decoder: The decoder to ask for, where ffmpeg's own choice would lose the alpha.
        picture: ffmpeg's specifier of the picture's stream.
        alpha_picture: That of a second stream which holds the alpha; empty if there is none.
        seekable: ffmpeg can start in the middle.
    """

    size_wh: tuple[int, int]
    rate: Fraction
    average: Fraction
    stored_wh: tuple[int, int] = (0, 0)
    variable: bool = False
    tracks: Tracks = field(default_factory=Tracks)
    pixels: str = ""
    alpha: bool = False
    interlaced: bool = False
    colour: Colour = field(default_factory=Colour)
    decoder: str = ""
    picture: str = "0:V:0"
    alpha_picture: str = ""
    seekable: bool = True

    @property
    def sound(self) -> tuple[str, ...]:
        """The codec of each sound track."""
        return self.tracks.sound

    @property
    def duration_s(self) -> float | None:
        """Duration in seconds, as the container says; ``None`` if it does not."""
        return self.tracks.duration_s


def probe(path: Path, name: str | None = None) -> FilmInfo:
    """Return the properties of a film, which cost decoding its first frame.

    Args:
        path: The file.
        name: Its name in messages, if that is not its path.

    Raises:
        SourceError: If it is no film, or not one frame of it can be decoded.
    """
    stream, alpha_stream = _avif_streams(path)
    answer = _ask(path, stream)
    text = "\n".join(answer.input)
    wanted = f"Stream #{stream}" if stream[2:].isdigit() else "Stream #0:"
    picture = next((s for s in answer.input if wanted in s and ": Video: " in s), None)
    time_base = _TIME_BASE.search(answer.head)
    if picture is None or time_base is None or not _SHOWN_SIZE.search(answer.head):
        raise SourceError(f"{name or display_name(path)}: {_failure(answer, picture)}")
    rate = _exact(Fraction(int(time_base[2]), int(time_base[1])))
    average = _varying(picture, rate)
    size = _SIZE.search(picture)
    beside = bool(_ALPHA_MODE.search(text))
    frame = _FORMAT.search(answer.said)
    pixels, fields = (frame[1], frame[2]) if frame else ("", "P")
    return FilmInfo(
        size_wh=_shown_size(answer.head),
        rate=rate,
        average=average or rate,
        stored_wh=(int(size[1]), int(size[2])) if size else _shown_size(answer.head),
        variable=average is not None,
        tracks=tracks_of(answer.input),
        pixels=pixels,
        alpha=beside or bool(alpha_stream) or bool(_ALPHA_PIXELS.match(pixels)),
        interlaced=pixels.startswith("yuv4") and ("progressive" not in picture or fields in "TB"),
        colour=colour_tags(answer.said, pixels),
        decoder=_alpha_decoder(picture) if beside else "",
        picture=stream,
        alpha_picture=alpha_stream,
        seekable=not _UNSEEKABLE.search(text),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What ffmpeg says while it decodes one frame.

    Attributes:
        input: The lines about the input.
        said: All lines in one text.
        head: The description of the decoded frame.
        reason: Why it failed, if it did.
    """

    input: list[str]
    said: str
    head: str
    reason: str


def _ask(path: Path, stream: str) -> _Answer:
    said: list[str] = []
    args = [*source_args(path), "-map", stream, "-vf", "showinfo=checksum=0"]
    args += ["-frames:v", "1", "-fps_mode", "cfr"]
    args += ["-c:v", "rawvideo", "-f", "framecrc", "pipe:1"]
    with Ffmpeg(args, reads=True, on_line=said.append, level="info") as process:
        head = process.stdout.read().decode("ascii", "replace")
        process.finish()
    ends = ("Stream mapping:", "Output #")
    end = next((at for at, line in enumerate(said) if any(e in line for e in ends)), len(said))
    lines = [line.removeprefix("[info] ") for line in said[:end]]
    return _Answer(lines, "\n".join(said), head, process.reason())


def _avif_streams(path: Path) -> tuple[str, str]:
    """Return the streams of the picture and of its alpha.

    An animated AVIF has its first frame as a picture of its own in front of the tracks that move,
    and its alpha in a further track.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        head = b""
    if head[4:12] != b"ftypavis":
        return "0:V:0", ""
    moving = [
        found[1]
        for line in description(path)
        if (found := _PICTURE.search(line)) and " 1 tbn" not in line
    ]
    if not moving:
        return "0:V:0", ""
    return f"0:{moving[0]}", f"0:{moving[1]}" if len(moving) > 1 else ""


def _failure(answer: _Answer, picture: str | None) -> str:
    if "not on whitelist" in answer.reason:  # and the list follows
        return "a playlist, a script or a rare format, not a film that sod reads"
    if picture is None and any("Input #0" in line for line in answer.input):
        return "no picture in this film"
    if picture is None:
        return f"not a film, or damaged ({answer.reason})"
    return f"no frame can be decoded ({answer.reason})"


def _shown_size(head: str) -> tuple[int, int]:
    """Return the size in square pixels, after ffmpeg's rotation."""
    width, height = map(int, _SHOWN_SIZE.findall(head)[0])
    sar = re.search(r"#sar 0: (\d+)/(\d+)", head)
    ratio = Fraction(int(sar[1]), int(sar[2])) if sar and int(sar[1]) and int(sar[2]) else 1
    return max(1, round(width * ratio)), height


def _alpha_decoder(picture: str) -> str:
    """Return the decoder of VP8 and VP9 that reads the alpha beside the picture."""
    found = re.search(r"Video: (vp8|vp9)", picture)
    return {"vp8": "libvpx", "vp9": "libvpx-vp9"}[found[1]] if found else ""


def _exact(rate: Fraction) -> Fraction:
    """Undo the rounding of containers that count nanoseconds: 19001/317 is meant as 60000/1001."""
    for usual in (Fraction(round(rate)), round(rate * _NTSC) / _NTSC):
        if usual and abs(rate / usual - 1) < _ROUNDED:
            return usual
    return rate


def _varying(picture: str, rate: Fraction) -> Fraction | None:
    """Return the average rate where it differs from ``rate``, that of the fastest frames.

    A rate that no camera has is only the resolution of the time stamps.
    """
    average = re.search(r" (\d+(?:\.\d+)?) fps", picture)
    fastest = re.search(r" (\d+(?:\.\d+)?k?) tbr", picture)
    mean = Fraction(average[1]) if average else Fraction(0)
    if rate > _FASTEST:
        return mean if 0 < mean <= _FASTEST else _USUAL_RATE
    same = not average or not fastest or average[1] == fastest[1]
    return None if same or not mean else mean
