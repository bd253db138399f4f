"""Codecs of films, and the containers that support them."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sodcli.errors import UsageError
from sodcli.text import did_you_mean

_HIGHEST_RATE: Final = 1000  # frames per second
_BT709: Final = "scale=out_color_matrix=bt709:out_range=limited:flags=bicubic+accurate_rnd"

# ffmpeg's options -color_primaries and -color_trc have no effect on raw frames; this filter has.
_TAGS: Final = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"


@dataclass(frozen=True, slots=True)
class QualityScale:
    """Values of an encoder's quality option: default, for quality 0, and for quality 100."""

    usual: int
    worst: int
    best: int
    option: str = "-crf"  # constant rate factor

    def args(self, quality: int | None) -> tuple[str, str]:
        """Return the option for a quality from 0 to 100; ``None`` gives the default."""
        if quality is None:
            return self.option, str(self.usual)
        return self.option, str(round(self.worst + (self.best - self.worst) * quality / 100))


@dataclass(frozen=True, slots=True)
class Codec:
    """An ffmpeg video encoder with its options.

    Attributes:
        name: Its name as a value of ``--codec``.
        suffixes: The containers that support it; the first is the default.
        args: Options of the encoder.
        opaque: Pixel format without alpha.
        alpha: Pixel format with alpha; ``None`` if it does not support alpha.
        alpha_args: Further options with alpha.
        opaque_args: Further options without alpha.
        even: Opaque films need even sides, because of chroma subsampling.
        work: Suffix of the intermediate file, which is then remuxed into its container; empty if
            the encoder writes the final format.
        yuv: Whether the pixels are converted to BT.709 YUV.
        rate_option: Encoder option that sets the nominal rate of a film of variable rate.
        quality: Its scale of quality; ``None`` for codecs without one.
    """

    name: str
    suffixes: tuple[str, ...]
    args: tuple[str, ...]
    opaque: str
    alpha: str | None = None
    alpha_args: tuple[str, ...] = ()
    opaque_args: tuple[str, ...] = ()
    even: bool = False
    work: str = ".mp4"
    yuv: bool = True
    rate_option: str | None = None
    quality: QualityScale | None = None

    def filters(self, *, alpha: bool, grey: bool) -> str:
        """Return the filter chain in front of the encoder.

        Grey input is declared as full range, which ffmpeg would not assume.
        """
        if self.name == "gif":  # one palette per frame, so that ffmpeg does not buffer the film
            return "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"
        steps = []
        if self.yuv:
            steps.append(_BT709 + (":in_range=full" if grey else ""))
        steps.append(f"format={self.alpha if alpha and self.alpha else self.opaque}")
        if self.yuv:
            steps.append(_TAGS)
        return ",".join(steps)

    def plane_filters(self) -> str:
        """Return the filter chain for planes that are BT.709 already."""
        return f"{_TAGS},format={self.opaque}"

    def options(self, *, alpha: bool, quality: int | None = None) -> tuple[str, ...]:
        """Return the encoder's options; ``quality`` is 0 to 100, ``None`` gives the default."""
        level = () if self.quality is None else self.quality.args(quality)
        return (*self.args, *level, *(self.alpha_args if alpha else self.opaque_args))


_MP4: Final = (".mp4", ".m4v", ".mov", ".mkv")
CODECS: Final = {
    codec.name: codec
    for codec in (
        Codec(
            "h264",
            _MP4,
            ("-c:v", "libx264", "-preset", "veryfast"),
            "yuv420p",
            even=True,
            rate_option="-x264-params",
            quality=QualityScale(18, 51, 8),
        ),
        Codec(
            "h265",
            _MP4,
            ("-c:v", "libx265", "-preset", "fast", "-tag:v", "hvc1"),
            "yuv420p",
            even=True,
            rate_option="-x265-params",
            quality=QualityScale(20, 51, 10),
        ),
        Codec(
            "vp9",
            (".webm", ".mkv", ".mp4"),
            ("-c:v", "libvpx-vp9", "-b:v", "0", "-row-mt", "1", "-cpu-used", "5"),
            "yuv420p",
            "yuva420p",
            ("-auto-alt-ref", "0"),
            work=".webm",
            quality=QualityScale(24, 63, 10),
        ),
        Codec(
            "av1",
            (".mp4", ".mkv", ".webm"),
            ("-c:v", "libaom-av1", "-b:v", "0", "-cpu-used", "8", "-row-mt", "1"),
            "yuv420p",
            even=True,
            quality=QualityScale(28, 63, 12),
        ),
        Codec(
            "prores",
            (".mov", ".mkv"),
            ("-c:v", "prores_ks", "-vendor", "apl0"),
            "yuv422p10le",
            "yuva444p10le",
            # A fixed quantiser saves the encoder's search for one: a quarter of the time, 61 dB.
            ("-profile:v", "4444", "-alpha_bits", "16", "-q:v", "2"),
            ("-profile:v", "hq"),
            even=True,
            work=".mov",
        ),
        Codec(
            "ffv1", (".mkv",), ("-c:v", "ffv1", "-g", "1"), "bgr0", "bgra", work=".mkv", yuv=False
        ),
        Codec("gif", (".gif",), ("-c:v", "gif", "-loop", "0"), "", work="", yuv=False),
        Codec(
            "webp",
            (".webp",),
            ("-c:v", "libwebp_anim", "-loop", "0"),
            "bgra",
            "bgra",
            work="",
            yuv=False,
            quality=QualityScale(90, 0, 100, "-quality"),
        ),
        Codec(
            "apng",
            (".apng", ".png"),
            ("-c:v", "apng", "-f", "apng", "-plays", "0"),
            "rgb24",
            "rgba",
            work="",
            yuv=False,
        ),
    )
}
PIPED_SUFFIX: Final = ".mkv"  # the container of a film on standard output, which cannot seek
FRAMES: Final = "png"  # the value of --codec for a folder of frames
CODEC_NAMES: Final = ("auto", *CODECS, FRAMES)

_USUAL: Final = {".mkv": ("h264", "ffv1"), ".mov": ("h264", "prores"), ".webm": ("vp9", "vp9")}


def is_film_format(suffix: str) -> bool:
    """Return True if films can be written under this suffix."""
    return any(suffix.lower() in codec.suffixes for codec in CODECS.values())


def usual_suffix(codec: str, *, alpha: bool) -> str:
    """Return the suffix for films whose file name is not given; empty for a folder of frames.

    Raises:
        UsageError: If the codec is unknown.
    """
    if codec == FRAMES:
        return ""
    if codec == "auto":
        return ".mov" if alpha else ".mp4"
    return _known(codec).suffixes[0]


def choose_codec(name: str, suffix: str, *, alpha: bool, wanted: str = "auto") -> Codec:
    """Return the codec for a film file, before any work is done.

    Args:
        name: The name of the file in messages.
        suffix: The suffix of the container, such as ``.mp4``, in any case.
        alpha: Whether the film has transparency.
        wanted: A key of ``CODECS``; ``auto`` gives the container's default.

    Raises:
        UsageError: If the container or codec is unknown, or the container does not support the
            codec, or one of them does not support a needed alpha channel.
    """
    suffix = suffix.lower()
    if not is_film_format(suffix):
        known = ", ".join(dict.fromkeys(s for codec in CODECS.values() for s in codec.suffixes))
        raise UsageError(f"{name}: no film format has this suffix; use one of {known}")
    if wanted != "auto":
        codec = _wanted(wanted, name, suffix)
    else:
        usual = _USUAL.get(suffix) or next(
            (codec.name, codec.name) for codec in CODECS.values() if suffix in codec.suffixes
        )
        codec = CODECS[usual[alpha]]
    if alpha and (codec.alpha is None or (codec.name == "vp9" and suffix == ".mp4")):
        others = ".webp, .apng" if codec.name == "gif" else ".mov, .webm"
        raise UsageError(
            f"cannot write transparency to {name}; use {others}, or a folder for PNG frames,"
            " or a type without it, such as blur"
        )
    return codec


def check_codec(codec: str) -> None:
    """Check that a value of ``--codec`` is known.

    Raises:
        UsageError: If it is not one of ``CODEC_NAMES``.
    """
    if codec not in CODEC_NAMES:
        known = ", ".join(CODEC_NAMES)
        raise UsageError(
            f"--codec {codec}: no such codec.{did_you_mean(codec, CODEC_NAMES)} Known: {known}"
        )


def _known(codec: str) -> Codec:
    check_codec(codec)
    return CODECS[codec]


def _wanted(wanted: str, name: str, suffix: str) -> Codec:
    codec = _known(wanted)
    if suffix not in codec.suffixes:
        fits = ", ".join(codec.suffixes)
        raise UsageError(f"{name}: --codec {wanted} does not go into {suffix}; use {fits}")
    return codec


def frame_rate(text: str) -> Fraction:
    """Return the frame rate that a user means: ``25``, ``29.97``, ``30000/1001``.

    Decimals near a rate of television count as that: 29.97 is 30000/1001.

    Raises:
        UsageError: If it is no number from above 0 to 1000.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= _HIGHEST_RATE:
        raise UsageError(f"--rate {text}: no frame rate; write 25, 29.97 or 30000/1001")
    television = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    near = rate.denominator > 1 and abs(rate - television) < Fraction(1, 200)
    return television if near else rate
