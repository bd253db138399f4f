"""The options of ``sod infer`` in one dataclass, and the styles that ``--type`` names."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from sodcli import __version__
from sodcli.errors import UsageError
from sodcli.files import user_path
from sodcli.files.reading import MAX_PIXELS
from sodcli.frame import Frame
from sodcli.imaging.blend import over_white
from sodcli.imaging.compose import (
    PICTURE,
    Look,
    Pixels,
    compose,
    flat,
    has_alpha,
    needs_srgb,
    output_types,
)
from sodcli.imaging.framing import Framing
from sodcli.imaging.output_types import ALIASES, colour_names, colour_of
from sodcli.imaging.tensors import binarise
from sodcli.io.pictures.colour import in_srgb
from sodcli.io.pictures.read import read_picture
from sodcli.io.search import kind_of
from sodcli.text import did_you_mean


@dataclass(frozen=True)  # no slots: cached_property needs a __dict__
class Style:
    """The appearance of one result of an input.

    Attributes:
        kind: Name of an output type of ``imaging.compose``.
        tag: The part of file names that stands for it: ``photo_<tag>.png``.
        look: Background picture and refinement of edges.
        film: The film used as background; ``look`` has its first frame.
    """

    kind: str
    tag: str
    look: Look = field(default_factory=Look)
    film: Path | None = None

    @property
    def alpha(self) -> bool:
        """Whether results have transparency."""
        return has_alpha(self.kind)

    @cached_property
    def background_checksum(self) -> int | None:
        """CRC-32 of the background's pixels, computed once for all photos; ``None`` without one."""
        behind = self.look.background
        return None if behind is None else zlib.crc32(np.ascontiguousarray(behind).data)

    def render(self, frame: Frame, threshold: float | None = None) -> Pixels:
        """Return the output pixels of a frame with saliency; for shapes see ``imaging.compose``.

        Args:
            frame: In any colour profile; types that mix in sRGB colours convert it.
            threshold: Saliency in ``[0, 1]`` from which a pixel is wholly salient, all others not
                at all; ``None`` keeps the map soft.
        """
        if needs_srgb(self.kind):
            frame = in_srgb(frame)
        if threshold is not None and frame.saliency is not None:
            frame = replace(frame, saliency=binarise(frame.saliency, threshold))
        return compose(self.kind, frame, self.look)


RGBA: Final = Style("rgba", "rgba")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferSettings:
    """All settings of a run of ``sod infer``, apart from the network.

    ``cli.infer`` builds it once and passes it on unchanged. A new option needs a parameter there,
    an attribute here, and the code that uses it.

    Attributes:
        sources: Files, folders, globs, ``-`` or a camera's number, as given by the user.
        network: Model, weights and input size in one line; only compared, see :meth:`digest`.
        styles: Each input gives one result per style.
        out: The value of ``--out``: a file, a folder or ``-``; ``None`` writes beside the input.
        form: The value of ``--format``; ``None`` is PNG, or the format that ``out`` names.
        recursive: Search the sub-folders of folders.
        overwrite: Replace existing outputs instead of skipping them.
        fail_fast: Stop at the first failure.
        dry_run: Print what would be written and stop.
        threshold: In ``[0, 1]``: saliency at or above it becomes 1, all other saliency 0;
            ``None`` keeps the map soft.
        batch: Pictures, frames or clips per forward pass; ``None`` chooses the fastest size.
        max_pixels: Larger pictures are refused.
        compress: PNG compression level, 0 to 9; ``None`` chooses a fast one.
        quality: Quality of lossy formats, 0 to 100; ``None`` is 95 for pictures and the codec's
            default for films.
        framing: Crop and placement of the subject of a photo; ``None`` keeps the photo's frame.
        clean: Remove specks and pinholes from photos' mattes, see ``imaging.matte.clean``; not from
            ``mask``.
        mask: A mask, or a folder of masks, to use instead of the network.
        box: Left, top, width and height in pixels of the part of a photo given to the network.
        report: Path of an HTML report about photos.
        start_s: Position in films at which to begin, in seconds.
        duration_s: Seconds of a film to process; ``None`` processes it to its end.
        rate: Frames per second of a sequence of pictures; ``None`` is 25.
        sound: A file whose sound replaces that of a film.
        steady: Stabilise the maps of picture models from frame to frame (``runtime.steady``).
        frames: Stop after this many frames of a film, or results of a camera.
        audio: Keep the audio tracks of films.
        codec: The value of ``--codec``.
        show: Open a window for the camera; ``None`` opens it if there is a display.
        show_fps: Show the frame rate in the window.
        json: Print one JSON document.
        quiet: Print errors only.
        verbose: Print more.
    """

    sources: tuple[str, ...] = ()
    network: str = ""
    styles: tuple[Style, ...] = (RGBA,)
    out: str | None = None
    form: str | None = None
    recursive: bool = False
    overwrite: bool = False
    fail_fast: bool = False
    dry_run: bool = False
    threshold: float | None = None
    batch: int | None = 1
    max_pixels: int = MAX_PIXELS
    compress: int | None = None
    quality: int | None = None
    framing: Framing | None = None
    clean: bool = True
    mask: str | None = None
    box: tuple[int, int, int, int] | None = None
    report: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    rate: Fraction | None = None
    sound: Path | None = None
    steady: bool = True
    frames: int | None = None
    audio: bool = True
    codec: str = "auto"
    show: bool | None = None
    show_fps: bool = False
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def digest(self, style: Style, *, film: bool = False) -> str:
        """Return 8 hexadecimal digits of all settings on which a result depends.

        Args:
            style: The result's.
            film: The result is a film, not a photo.
        """
        facts: tuple[object, ...] = (
            *("" if self.mask else self.network, self.threshold, self.quality),
            *(style.kind, style.look.refine, style.background_checksum),
        )
        if film:
            facts += (self.start_s, self.duration_s, self.frames, self.rate, self.steady)
            facts += (self.codec, self.audio, str(self.sound), str(style.film))
        else:
            facts += (self.framing, self.clean, self.mask, self.box)
        return f"{zlib.crc32(repr(facts).encode()):08x}"

    def software(self, style: Style, *, film: bool = False) -> str:
        """Return what results carry in their metadata: sodcli's version and :meth:`digest`."""
        return f"sodcli {__version__}, settings {self.digest(style, film=film)}"


def choose_styles(
    kinds: Iterable[str], *, refine: bool = True, max_pixels: int = MAX_PIXELS
) -> tuple[Style, ...]:
    """Return one style per distinct value of ``--type``; see :func:`choose_style`."""
    names = dict.fromkeys(ALIASES.get(kind, kind) for kind in kinds)
    return tuple(choose_style(name, refine=refine, max_pixels=max_pixels) for name in names)


def choose_style(kind: str, *, refine: bool = True, max_pixels: int = MAX_PIXELS) -> Style:
    """Return the style that a value of ``--type`` names.

    Args:
        kind: An output type, or a background: a colour, or the path of a picture or film. A file
            with the name of a colour must be given with a slash, as ``./white``.
        refine: Remove the original background's colour from soft edges.
        max_pixels: Larger backgrounds are refused.

    Raises:
        UsageError: If no type, colour or file has that name.
        SourceError: If the file cannot be read.
    """
    kind = ALIASES.get(kind, kind)
    if kind != PICTURE and kind in output_types():
        return Style(kind, kind, Look(refine=refine))
    colour = colour_of(kind)
    if colour is not None:
        return Style(PICTURE, kind.removeprefix("#").lower(), Look(flat(colour), refine))
    path = user_path(kind)
    if not path.exists():
        types = [name for name in (*output_types(), *ALIASES) if name != PICTURE]
        raise UsageError(
            f"no output type, colour, picture or film named {kind!r}."
            f"{did_you_mean(kind, [*types, *colour_names()])} Known: {', '.join(types)},"
            " colours of CSS such as white, '#rrggbb', or the path of a picture or film."
        )
    background, film = _background(path, max_pixels)
    return Style(PICTURE, path.stem, Look(background, refine), film)


def _background(path: Path, max_pixels: int) -> tuple[Pixels, Path | None]:
    """Return the background's first picture, and its path if it is a film."""
    if path.is_dir():
        raise UsageError(f"type {str(path)!r}: is a folder; name a picture or film to put behind")
    if kind_of(path) == "picture":
        first, film = in_srgb(read_picture(path, max_pixels=max_pixels)), None
    else:
        from sodcli.io.films.read import FilmReader  # a photo's run does without

        first, film = next(iter(FilmReader(path, frames=1, max_pixels=max_pixels))), path
    return over_white(first.rgb, first.alpha), film
