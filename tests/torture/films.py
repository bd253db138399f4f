"""Damaged, unusual and hostile films, all rendered by code."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.colour_kit import hdr_film
from tests.film_kit import ffmpeg, render
from tests.torture.corpus import DAMAGED, EITHER, WHOLE, Case, encoded, photo

PLAYLISTS = {  # each refers to "secret.mp4" or to the network
    "concat.mp4": "ffconcat version 1.0\nfile secret.mp4\n",
    "concat-any.mkv": "ffconcat version 1.0\nfile 'file:/etc/passwd'\nfile http://127.0.0.1:9/x.mp4\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "hls-net.ts": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
    "dash.mp4": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'>"
    "<Period><AdaptationSet><Representation id='1'><BaseURL>secret.mp4</BaseURL>"
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp.ts": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 9 RTP/AVP 33\n",
    "script.avi": 'Import("secret.avs")\nDirectShowSource("secret.mp4")\n',
    "metadata.mkv": ";FFMETADATA1\ntitle=x\n",
    "subtitles.mp4": "1\n00:00:00,000 --> 00:00:01,000\n<b>no film</b>\n",
}  # fmt: skip


def small(path: Path, *words: str, seconds: float = 0.16, **how: object) -> Path:
    """Render four frames."""
    return render(path, *words, seconds=seconds, **how)


def films(folder: Path) -> Iterator[Case]:
    """Yield films; ``folder`` is a temporary folder."""
    for suffix in ("mp4", "mkv", "avi", "gif", "ts"):
        path = small(folder / f"plain.{suffix}")
        yield Case(path.name, path.read_bytes(), WHOLE)
    apng = small(folder / "plain.apng", "-pix_fmt", "rgb24", "-f", "apng")
    yield Case("moving.png", apng.read_bytes(), WHOLE)
    ffmpeg("-f", "lavfi", "-i", "sine=440", "-t", "0.2", folder / "sound.mp4")
    yield Case("sound-only.mp4", (folder / "sound.mp4").read_bytes(), DAMAGED)
    ffmpeg("-f", "lavfi", "-i", "sine=440", "-t", "0.2", folder / "sound.wav")
    yield Case("sound-only.avi", (folder / "sound.wav").read_bytes(), DAMAGED)
    ffmpeg(
        "-f", "lavfi", "-i", "color=s=64x48", "-frames:v", "0", "-f", "matroska", folder / "no.mkv"
    )
    yield Case("no-frames.mkv", (folder / "no.mkv").read_bytes(), DAMAGED)
    yield Case("changing.ts", _changing(folder), WHOLE)
    yield Case("other-suffix.mkv", (folder / "plain.mp4").read_bytes(), WHOLE)
    yield Case("photo-inside.mp4", encoded(photo(), "PNG"), WHOLE)
    yield Case("empty.mp4", b"", DAMAGED)
    yield Case("noise.mp4", bytes(range(256)) * 40, DAMAGED)
    yield Case("head.mp4", (folder / "plain.mp4").read_bytes()[:40], DAMAGED)
    whole = (folder / "plain.mp4").read_bytes()
    yield Case("holes.mp4", whole[:300] + bytes(len(whole) // 2) + whole[300 + len(whole) // 2 :])
    meta = small(folder / "meta.mkv", "-metadata", "title=\x1b[31m[red]x\n-i /etc/passwd")
    yield Case("metadata-words.mkv", meta.read_bytes(), WHOLE)
    yield from _rare(folder)
    for name, text in PLAYLISTS.items():
        yield Case(name, text.encode(), DAMAGED)


TAGS = {  # ITU-T H.273: primaries, transfer, matrix; 2 is unknown. No camera writes most of them.
    "pq-only": (2, 16, 2),
    "pq-in-8-bits": (9, 16, 9),
    "hlg-in-709": (1, 18, 1),
    "p3": (11, 17, 1),
    "linear": (1, 8, 1),
    "xvycc": (8, 11, 7),
    "reserved": (3, 3, 3),
    "gbr": (1, 1, 0),
    "ycgco": (1, 1, 8),
    "bt2020c": (9, 14, 10),
    "ictcp": (9, 16, 14),
}


def _rare(folder: Path) -> Iterator[Case]:
    """Yield HDR and interlaced films, whole, cut short, and with tags that do not fit."""
    for kind in ("PQ", "HLG"):
        film = hdr_film(folder / f"{kind}.mkv", np.asarray(photo()), kind).read_bytes()
        yield Case(f"{kind}.mkv", film, WHOLE)
        yield Case(f"{kind}-cut.mkv", film[: len(film) * 3 // 4])
    plain, keys = small(folder / "plain.mp4"), ("colour_primaries", "transfer_characteristics")
    for name, tags in TAGS.items():
        told = ":".join(map("{}={}".format, (*keys, "matrix_coefficients"), tags))
        film = folder / f"{name}.mp4"
        ffmpeg("-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata={told}", film)
        yield Case(film.name, film.read_bytes(), WHOLE)
    fields = ("-c:v", "libx264", "-flags", "+ildct+ilme", "-x264opts")
    for name, size in (("fields", "64x48"), ("fields-thin", "16x4"), ("fields-flat", "2x64")):
        film = small(folder / f"{name}.mp4", *fields, "tff=1", size=size)
        yield Case(f"{name}.mp4", film.read_bytes(), WHOLE)
    pal = small(folder / "fields.mpg", "-c:v", "mpeg2video", "-flags", "+ildct+ilme").read_bytes()
    yield Case("fields.mpg", pal, WHOLE)
    yield Case("fields-cut.mpg", pal[: len(pal) // 2])
    yield Case("fields-then-frames.ts", _mixed(folder), WHOLE)


def _mixed(folder: Path) -> bytes:
    """Return an interlaced film that goes on progressive."""
    fields = ("-c:v", "mpeg2video", "-flags", "+ildct+ilme")
    parts = small(folder / "c.ts", *fields), small(folder / "d.ts", "-c:v", "mpeg2video")
    return b"".join(part.read_bytes() for part in parts)


def _changing(folder: Path) -> bytes:
    """Return a film whose frame size changes."""
    first = small(folder / "a.ts")
    second = small(folder / "b.ts", size="96x80")
    return first.read_bytes() + second.read_bytes()


__all__ = ["EITHER", "PLAYLISTS", "films", "small"]
