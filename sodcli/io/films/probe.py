"""What a film is like, told by ffmpeg itself: there is no ffprobe in imageio-ffmpeg."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from sodcli.errors import SourceError
from sodcli.io.films.ffmpeg import Ffmpeg
from sodcli.text import display_name

_BEAT: Final = re.compile(r"#tb 0: ([1-9]\d*)/([1-9]\d*)")
_SHOWN_SIZE: Final = re.compile(r"#dimensions 0: ([1-9]\d*)x([1-9]\d*)")
_SIZE: Final = re.compile(r", (\d+)x(\d+)")
_TURN: Final = re.compile(r"rotation of (-?\d+(?:\.\d+)?) degrees")
_LENGTH: Final = re.compile(r"Duration: (\d+):(\d+):(\d+(?:\.\d+)?)")
_AUDIO: Final = re.compile(r"Stream #0:\d+.*: Audio: (\w+)")
_ALPHA_PIXELS: Final = re.compile(r"\b(yuva\w+|rgba\w*|bgra\w*|argb|abgr|gbrap\w*|ya\d+\w*|pal8)\b")
_ALPHA_MODE: Final = re.compile(r"alpha_mode\s*: 1", re.IGNORECASE)
_MATRIX: Final = re.compile(r"\((?:tv|pc)[^)]*\b(bt709|bt601|bt470bg|smpte170m|bt2020\w*)")
_HD_ROWS: Final = 720
_FASTEST: Final = 300
_NTSC: Final = Fraction(1001, 1000)  # 30000/1001 times this is whole
_ROUNDED: Final = Fraction(1, 500_000)
_USUAL_RATE: Final = Fraction(30)
_CONTAINERS: Final = ",".join(  # all that hold a film, or sound, in one file
    (
        *("mov", "matroska", "avi", "gif", "apng", "ogg", "flv", "live_flv", "mpeg", "mpegts"),
        *("mpegvideo", "asf", "asf_o", "ivf", "nut", "mxf", "mxg", "gxf", "dv", "rm", "wtv", "ty"),
        *("h261", "h263", "h264", "hevc", "vvc", "evc", "av1", "obu", "m4v", "vc1", "vc1test"),
        *("mjpeg", "mjpeg_2000", "mpjpeg", "cavsvideo", "avs", "avs2", "avs3", "dirac", "dnxhd"),
        *("webp_anim", "jpegxl_anim", "yuv4mpegpipe", "swf", "pva", "nsv", "nuv", "r3d", "mlv"),
        *("cine", "dhav", "dxa", "bink", "smk", "roq", "flic", "ea", "4xm", "film_cpk", "thp"),
        *("wav", "w64", "aac", "mp3", "flac", "aiff", "caf", "ac3", "eac3", "dts", "amr", "au"),
        *("tta", "wv", "ape", "tak", "mpc", "mpc8", "loas", "truehd"),
    )
)


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """A film as it is shown.

    Attributes:
        size_wh: Width and height in square pixels, after rotation.
        rate: Frames per second, exact: ``Fraction(30000, 1001)``.
        variable: The time from frame to frame varies.
        average: Frames per second over the whole film, rounded; ``rate`` if it is constant.
        duration_s: As the container says; ``None`` if it does not.
        rotation: Degrees, as the container's display matrix says; ffmpeg's decoder applies it.
        sound: The codec of each sound track.
        alpha: The pixels may be transparent.
        matrix: The YUV matrix to assume where the film names none; empty if it does.
        decoder: The decoder to ask for, where ffmpeg's own choice would lose the alpha.
    """

    size_wh: tuple[int, int]
    rate: Fraction
    average: Fraction
    variable: bool = False
    duration_s: float | None = None
    rotation: float = 0.0
    sound: tuple[str, ...] = ()
    alpha: bool = False
    matrix: str = ""
    decoder: str = ""


def probe(path: Path) -> FilmInfo:
    """Ask ffmpeg about a film.

    Raises:
        SourceError: If it is no film, or not one frame of it can be decoded.
    """
    said, head, reason = _ask(path)
    picture = next((line for line in said if "Stream #0:" in line and ": Video: " in line), None)
    beat = _BEAT.search(head)
    if picture is None or beat is None or not _SHOWN_SIZE.search(head):
        raise SourceError(f"{display_name(path)}: {_why(said, picture, reason)}")
    text = "\n".join(said)
    rate = _exact(Fraction(int(beat[2]), int(beat[1])))
    average = _varying(picture, rate)
    turn = _TURN.search(text)
    length = _LENGTH.search(text)
    beside = bool(_ALPHA_MODE.search(text))
    return FilmInfo(
        size_wh=_shown_size(head),
        rate=rate,
        average=average or rate,
        variable=average is not None,
        duration_s=_seconds(length) if length else None,
        rotation=float(turn[1]) if turn else 0.0,
        sound=tuple(_AUDIO.findall(text)),
        alpha=beside or bool(_ALPHA_PIXELS.search(picture)),
        matrix=_matrix(picture),
        decoder=_alpha_decoder(picture) if beside else "",
    )


def sound_codecs(path: Path) -> tuple[str, ...]:
    """Return the codec of each sound track of a file; empty if there is none."""
    said, _, _ = _ask(path)
    return tuple(_AUDIO.findall("\n".join(said)))


def local(path: Path) -> str:
    """Return a path as ffmpeg takes it for a file, whatever colons are in its name."""
    return f"file:{path}"


def source_args(path: Path) -> list[str]:
    """Return ffmpeg's options for a film to read, and for nothing else to be opened.

    Playlists and scripts that call themselves films could name other files and addresses.
    """
    return ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-i", local(path)]


def _ask(path: Path) -> tuple[list[str], str, str]:
    """Decode one frame; return what was said of the input, the frame's description, the error."""
    said: list[str] = []

    def listen(line: str) -> bool:
        said.append(line)
        return False

    args = [*source_args(path), "-map", "0:V:0", "-frames:v", "1", "-fps_mode", "cfr"]
    args += ["-c:v", "rawvideo", "-f", "framecrc", "pipe:1"]
    process = Ffmpeg(args, reads=True, on_line=listen, level="info")
    try:
        head = process.stdout.read().decode("ascii", "replace")
        process.finish()
    finally:
        process.stop()
    end = next((at for at, line in enumerate(said) if "Output #" in line), len(said))
    return said[:end], head, process.reason()


def _why(said: list[str], picture: str | None, reason: str) -> str:
    if "not on whitelist" in reason:  # and the list follows
        return "a playlist, a script or a rare format, not a film that sod reads"
    if picture is None and any("Input #0" in line for line in said):
        return "no picture in this film"
    if picture is None:
        return f"not a film, or damaged ({reason})"
    return f"no frame can be decoded ({reason})"


def _shown_size(head: str) -> tuple[int, int]:
    """Return the size in square pixels, after ffmpeg's rotation."""
    width, height = map(int, _SHOWN_SIZE.findall(head)[0])
    sar = re.search(r"#sar 0: (\d+)/(\d+)", head)
    ratio = Fraction(int(sar[1]), int(sar[2])) if sar and int(sar[1]) and int(sar[2]) else 1
    return max(1, round(width * ratio)), height


def _matrix(picture: str) -> str:
    """Return what large films that name no matrix are made with; ffmpeg would assume BT.601."""
    size = _SIZE.search(picture)
    large = size is not None and int(size[2]) >= _HD_ROWS
    return "bt709" if large and not _MATRIX.search(picture) else ""


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

    A rate that no camera has is but the fineness of the time stamps.
    """
    average = re.search(r" (\d+(?:\.\d+)?) fps", picture)
    fastest = re.search(r" (\d+(?:\.\d+)?k?) tbr", picture)
    told = Fraction(average[1]) if average else Fraction(0)
    if rate > _FASTEST:
        return told if 0 < told <= _FASTEST else _USUAL_RATE
    same = not average or not fastest or average[1] == fastest[1]
    return None if same or not told else told


def _seconds(length: re.Match[str]) -> float:
    return int(length[1]) * 3600 + int(length[2]) * 60 + float(length[3])
