"""Colour tags of films: what untagged films mean, and which filters convert a film to sRGB."""

import re
from dataclasses import dataclass, replace
from typing import Final

from sodcli.io.pictures.cicp import KNEE, PEAK, WHITE_NITS

_TAGS: Final = re.compile(
    r"color_range:(\w+) color_space:([\w-]+) color_primaries:([\w-]+) color_trc:([\w-]+)"
)
_UNKNOWN: Final = frozenset(("unknown", "unspecified", "reserved"))
_YUV: Final = re.compile(r"(yuv|nv\d|p[0246]1|y2|xv|vuy|ayuv)")
_HD_WIDTH: Final = 1280  # players take films of this width, or of more rows than PAL has, for HD
_PAL_ROWS: Final = 576
_WIDE_PRIMARIES: Final = ("bt2020", "smpte431", "smpte432")
_SD_MATRICES: Final = ("smpte170m", "bt470bg")
_RARE_MATRICES: Final = ("ycgco", "bt2020c", "chroma-derived-nc", "chroma-derived-c", "ictcp")
_HDR: Final = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
_SRGB: Final = "iec61966-2-1"  # the curve by which screens and browsers show SDR films


@dataclass(frozen=True, slots=True)
class Colour:
    """What the values of a film's pixels mean; empty strings where nothing is tagged.

    Attributes:
        matrix: YUV to RGB, as ffmpeg names it: ``bt709``, ``smpte170m``, ``bt2020nc``.
        primaries: As ``bt709`` or ``bt2020``.
        transfer: As ``bt709``, ``smpte2084`` (PQ) or ``arib-std-b67`` (HLG).
        range: ``tv`` or ``pc``.
        yuv: The pixels are YUV, so that a matrix applies.
    """

    matrix: str = ""
    primaries: str = ""
    transfer: str = ""
    range: str = ""
    yuv: bool = True

    @property
    def hdr(self) -> str:
        """``PQ`` or ``HLG``; empty for films of standard dynamic range."""
        return _HDR.get(self.transfer, "")

    def assumed(self, size_wh: tuple[int, int]) -> "Colour":
        """Return these tags with the missing ones filled in, for stored frames of ``size_wh``.

        Players take an untagged matrix for BT.709 from 1280 pixels of width or above 576 rows on,
        and for BT.601 below. HDR films are made with BT.2020.
        """
        hd = size_wh[0] >= _HD_WIDTH or size_wh[1] > _PAL_ROWS
        wide = bool(self.hdr) or self.primaries == "bt2020"
        matrix = "bt2020nc" if wide else "bt709" if hd else "smpte170m"
        return replace(
            self,
            matrix=self.matrix or (matrix if self.yuv else "gbr"),
            primaries=self.primaries or ("bt2020" if wide else "bt709"),
            transfer=self.transfer or "bt709",
            range=self.range or ("tv" if self.yuv else "pc"),
        )


def colour_tags(said: str, pixel_format: str) -> Colour:
    """Return the tags of a decoded frame, from what ffmpeg's filter ``showinfo`` says of it.

    Args:
        said: A line, or several, with ``color_range:`` and what follows it.
        pixel_format: ffmpeg's name, as ``yuv420p10le``.
    """
    yuv = bool(_YUV.match(pixel_format))
    found = _TAGS.search(said)
    if found is None:
        return Colour(yuv=yuv)
    span, matrix, primaries, transfer = ("" if tag in _UNKNOWN else tag for tag in found.groups())
    return Colour(matrix if yuv else "", primaries, transfer, span, yuv)


def srgb_filters(tagged: Colour, size_wh: tuple[int, int]) -> list[str]:
    """Return ffmpeg filters that convert frames of any pixel format to sRGB.

    HDR is tone-mapped: light keeps its value up to 0.8 of diffuse white (203 nits), and highlights
    up to 1000 nits are compressed into the rest. HLG's system gamma is applied to each channel, as
    conversions from the camera's light do (BT.2408), which matches what a camera records in SDR.
    Primaries wider than BT.709 are converted.

    Args:
        tagged: The film's own tags.
        size_wh: Its stored size, for the matrix of untagged films.
    """
    colour = tagged.assumed(size_wh)
    rare = colour.matrix in _RARE_MATRICES  # unknown to ffmpeg's scale
    zscale = rare or _converted(colour)  # which guesses nothing
    missing = {
        "colorspace": colour.matrix if colour.yuv and not tagged.matrix else "",
        "range": colour.range if not tagged.range and zscale else "",
        "color_primaries": colour.primaries if not tagged.primaries and zscale else "",
        "color_trc": colour.transfer if not tagged.transfer and zscale else "",
    }
    tags = ":".join(f"{name}={value}" for name, value in missing.items() if value)
    steps = [f"setparams={tags}"] if tags else []
    steps += ["zscale=m=gbr:r=full:d=none", "format=gbrp16le"] if rare else []
    if not _converted(colour):
        return steps
    if colour.hdr:
        linear = f"zscale=t=linear:npl={WHITE_NITS}"
        tone_map = [f"tonemap=mobius:param={KNEE}:peak={PEAK:.3f}:desat=0"]
    else:
        linear, tone_map = f"zscale=tin={_SRGB}:t=linear", []
    steps += [linear, "format=gbrpf32le", "zscale=p=bt709", *tone_map]
    return [*steps, f"zscale=t={_SRGB}:m=gbr:r=full:d=none", "format=gbrp"]


def bt709_filters(tagged: Colour, size_wh: tuple[int, int]) -> list[str] | None:
    """Return ffmpeg filters that convert planes of limited range to the matrix BT.709.

    ``None`` if they are not of limited range, or have to go through RGB.

    Args:
        tagged: The film's own tags.
        size_wh: Its stored size, for the matrix of untagged films.
    """
    colour = tagged.assumed(size_wh)
    if _converted(colour) or colour.range != "tv":
        return None
    if colour.matrix not in _SD_MATRICES:
        return [] if colour.matrix == "bt709" else None
    curve = "color_primaries=bt709:color_trc=bt709"  # so that nothing but the matrix changes
    tags = f"setparams=range=tv:colorspace={colour.matrix}:{curve}"
    return [tags, "colorspace=space=bt709:primaries=bt709:trc=bt709"]


def _converted(colour: Colour) -> bool:
    return bool(colour.hdr) or colour.primaries in _WIDE_PRIMARIES
