"""Everything of a film besides its picture: sound, subtitles, timecode, chapters, titles."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from sodcli.errors import SourceError, UsageError
from sodcli.files import user_path
from sodcli.io.films.ffmpeg import description, run, source_args
from sodcli.text import display_name

_AUDIO: Final = re.compile(r"Stream #0:\d+.*: Audio: (\w+)(?: \((\w+))?")
_SUBTITLES: Final = re.compile(r"Stream #0:\d+.*: Subtitle: (\w+)")
_TIMECODE: Final = re.compile(r"^\s*timecode\s*: (\d\d:\d\d:\d\d[:;.]\d\d)\s*$", re.M | re.I)
_PLACE: Final = re.compile(r"quicktime\.location\.ISO6709\s*: (\S+)")
_SOFTWARE: Final = re.compile(r"^\s*\w+\s*: (sodcli \S+, settings [0-9a-f]{8})\s*$", re.M)
_COMMENT: Final = re.compile(r"^    comment\s*: (?!sodcli )", re.M | re.I)
_DURATION: Final = re.compile(r"Duration: (\d+):(\d+):(\d+(?:\.\d+)?)")
_COVER: Final = re.compile(r"Video: .*\(attached pic\)")

_OPUS_LAYOUTS: Final = "aformat=channel_layouts=7.1|5.1|stereo|mono"  # libopus takes no other
_PCM: Final = frozenset(
    ("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le")
)
_MP4_SOUND: Final = frozenset(("aac", "mp3", "ac3", "eac3", "alac"))
_COPIED_SOUND: Final = {  # what is copied; .mp4 holds more, but players know little of it
    ".mp4": _MP4_SOUND,
    ".m4v": frozenset(("aac", "ac3", "alac")),
    ".mov": _MP4_SOUND | _PCM,
    ".webm": frozenset(("opus", "vorbis")),
}
_TEXT: Final = frozenset(("mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text"))
_WRITTEN_TEXT: Final = {
    ".mp4": "mov_text",
    ".m4v": "mov_text",
    ".mov": "mov_text",
    ".webm": "webvtt",
}
_TIMECODE_TRACK: Final = (".mov", ".mp4")
_SOFTWARE_TAGS: Final = {  # by container; .mov keeps no other tag that is free
    ".mp4": "encoding_tool",
    ".m4v": "encoding_tool",
    ".mov": "comment",
    ".mkv": "software",
    ".webm": "software",
}
_BRANDS: Final = ("major_brand", "minor_version", "compatible_brands", "encoder")


@dataclass(frozen=True, slots=True)
class Tracks:
    """What a film file holds besides its picture.

    Attributes:
        sound: The codec of each sound track, or the container's name for one unknown to ffmpeg.
        known: The numbers, from 0, of the sound tracks whose codec ffmpeg knows.
        subtitles: The codec of each track of subtitles.
        timecode: Of the first frame, as ``01:02:03:04``, with ``;`` before the frames if the
            count drops frames; empty if there is none.
        cover: It holds a picture of its cover.
        place: Where it was taken (ISO 6709), from the tag that phones write; else empty.
        software: What :func:`software_args` stored; empty for films made by other programs.
        comment: It has a comment that sodcli did not write.
        duration_s: Duration of the file in seconds, as it says; ``None`` if it does not.
    """

    sound: tuple[str, ...] = ()
    known: tuple[int, ...] = ()
    subtitles: tuple[str, ...] = ()
    timecode: str = ""
    cover: bool = False
    place: str = ""
    software: str = ""
    comment: bool = False
    duration_s: float | None = None


def tracks_of(lines: Sequence[str]) -> Tracks:
    """Return the tracks of a film from what ffmpeg says of its input."""
    text = "\n".join(lines)
    timecode, place = _TIMECODE.search(text), _PLACE.search(text)
    software, duration = _SOFTWARE.search(text), _DURATION.search(text)
    sound = _AUDIO.findall(text)
    return Tracks(
        sound=tuple(tag if codec == "none" else codec for codec, tag in sound),
        known=tuple(number for number, (codec, _) in enumerate(sound) if codec != "none"),
        subtitles=tuple(_SUBTITLES.findall(text)),
        timecode=timecode[1] if timecode else "",
        cover=bool(_COVER.search(text)),
        place=place[1] if place else "",
        software=software[1] if software else "",
        comment=bool(_COMMENT.search(text)),
        duration_s=_seconds(duration) if duration else None,
    )


def _seconds(duration: re.Match[str]) -> float:
    return int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])


def read_tracks(path: Path) -> Tracks:
    """Return the tracks of a film or sound file, without decoding any; none if it is unreadable."""
    return tracks_of(description(path))


def sound_file(name: str) -> Path:
    """Return the path of a file with sound.

    Raises:
        UsageError: If there is no such file.
        SourceError: If there is no sound in it.
    """
    path = user_path(name)
    if not path.is_file():
        raise UsageError(f"--sound {display_name(name)}: no such file")
    if not read_tracks(path).sound:
        raise SourceError(f"{display_name(name)}: no sound in this file")
    return path


def decodable(path: Path, number: int) -> bool:
    """Return True if ffmpeg can decode the beginning of a file's sound track ``number``."""
    return run([*source_args(path), "-map", f"0:a:{number}", "-t", "1", "-f", "null", "-"]) is None


def sound_args(suffix: str, codecs: Sequence[str]) -> list[str]:
    """Return ffmpeg's options for sound tracks: copied where the container takes the codec."""
    taken = _COPIED_SOUND.get(suffix)
    args: list[str] = []
    for number, codec in enumerate(codecs):
        if taken is None or codec in taken:
            args += [f"-c:a:{number}", "copy"]
        elif suffix == ".webm":
            args += [f"-c:a:{number}", "libopus", f"-b:a:{number}", "128k"]
            args += [f"-filter:a:{number}", _OPUS_LAYOUTS]
        else:
            args += [f"-c:a:{number}", "aac", f"-b:a:{number}", "192k"]
    return args


def extra_args(
    tracks: Tracks, suffix: str, *, source: int, start_s: float, rate: Fraction
) -> tuple[list[str], list[str]]:
    """Return ffmpeg's options that keep what the container can hold, and names of what it cannot.

    Args:
        tracks: Of the original film.
        suffix: The container, as ``.mov``.
        source: Which of ffmpeg's inputs the original is.
        start_s: Where in the original the first frame lies, in seconds.
        rate: Frames per second.
    """
    args = ["-map_metadata", str(source), "-map_chapters", str(source)]
    for brand in _BRANDS:
        args += ["-metadata", f"{brand}="]
    if tracks.place:
        args += ["-metadata", f"location={tracks.place}"]
    lost = ["cover art"] if tracks.cover else []
    if tracks.timecode:
        timecode = shifted_timecode(tracks.timecode, rate, start_s)
        if suffix in _TIMECODE_TRACK:
            args += ["-timecode", timecode]
        elif suffix in (".mkv", ".webm"):
            args += ["-metadata", f"timecode={timecode}"]
        else:
            lost.append("timecode")
    form, kept = _WRITTEN_TEXT.get(suffix, "srt"), 0
    for number, codec in enumerate(tracks.subtitles):
        copied = codec == form or (suffix == ".mkv" and codec not in ("mov_text", "none"))
        if copied or (codec in _TEXT and not start_s):  # ffmpeg cuts nothing off what it converts
            args += ["-map", f"{source}:s:{number}", f"-c:s:{kept}", "copy" if copied else form]
            kept += 1
    if kept < len(tracks.subtitles):
        cut = start_s and _TEXT.intersection(tracks.subtitles)
        lost.append("subtitles of this format with --start" if cut else "subtitles")
    return args, lost


def software_args(tracks: Tracks, suffix: str, software: str) -> list[str]:
    """Return ffmpeg's options that store what made a film.

    In ``.mov`` that would replace the comment, so one by others stays and nothing is stored.

    Args:
        tracks: Of the original film, whose tags are copied.
        suffix: The container, as ``.mov``.
        software: One line.
    """
    tag = _SOFTWARE_TAGS[suffix]
    args = ["-metadata", "software="]
    args += [] if tracks.comment else ["-metadata", "comment="]
    if software and not (tag == "comment" and tracks.comment):
        args += ["-metadata", f"{tag}={software}"]
    return args


def shifted_timecode(timecode: str, rate: Fraction, start_s: float) -> str:
    """Return the timecode of the first frame shown from ``start_s`` seconds on.

    Counts that drop frames (SMPTE ST 12-1) leave out 2 numbers a minute at 30 frames per second, 4
    at 60, but for every tenth minute.
    """
    hours, minutes, seconds, frames = map(int, re.split("[:;.]", timecode))
    count = max(1, round(rate))
    dropped = round(count / 15) if timecode[8] != ":" else 0
    minute = hours * 60 + minutes
    number = (minute * 60 + seconds) * count + frames - dropped * (minute - minute // 10)
    number += -int(-(start_s * rate - Fraction(1, 1000)) // 1) if start_s else 0
    if dropped:
        tens, rest = divmod(number, 600 * count - 9 * dropped)
        number += 9 * dropped * tens
        number += dropped * max(0, (rest - dropped) // (60 * count - dropped))
    seconds, frames = divmod(number, count)
    hours, minutes, seconds = seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{timecode[8]}{frames:02d}"
