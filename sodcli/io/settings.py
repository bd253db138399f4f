"""The options of ``sod infer`` as one value, and the styles that ``--type`` names."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from sodcli.errors import UsageError
from sodcli.files import user_path
from sodcli.files.reading import MAX_PIXELS
from sodcli.imaging.blend import over_white
from sodcli.imaging.compose import PICTURE, Look, Pixels, flat, has_alpha, output_types
from sodcli.imaging.framing import Framing
from sodcli.imaging.output_types import ALIASES, colour_names, colour_of
from sodcli.io.films.read import FilmReader
from sodcli.io.pictures.colour import in_srgb
from sodcli.io.pictures.read import read_picture
from sodcli.io.search import kind_of
from sodcli.text import did_you_mean


@dataclass(frozen=True, slots=True)
class Style:
    """What one result of an input looks like.

    Attributes:
        kind: Output type, a name of ``imaging.compose``.
        tag: The word for it in file names: ``photo_<tag>.png``.
        look: Background picture, refinement of edges.
        film: The film to put behind the subject; ``look`` has its first frame.
    """

    kind: str
    tag: str
    look: Look = field(default_factory=Look)
    film: Path | None = None

    @property
    def alpha(self) -> bool:
        """Whether results have transparency."""
        return has_alpha(self.kind)


RGBA: Final = Style("rgba", "rgba")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferSettings:
    """Everything a user can set for a run of ``sod infer``, apart from the network.

    It is built once, in ``cli.infer``, and handed down whole: a new option is a parameter there,
    an attribute here, and the place that uses it.

    Attributes:
        sources: Files, folders, globs, ``-`` or a camera's number, as typed.
        styles: One result of each input is written per style.
        out: The value of ``--out``: a file, a folder or ``-``; ``None`` writes beside the input.
        form: The value of ``--format``; ``None`` is PNG, or what ``out`` says.
        recursive: Search the sub-folders of folders.
        overwrite: Replace existing outputs instead of skipping them.
        fail_fast: Stop at the first failure.
        dry_run: Print what would be written and stop.
        threshold: Saliency in ``[0, 1]`` from which a pixel is wholly salient, all others not at
            all; ``None`` keeps the map soft.
        batch: Pictures, frames or clips per forward pass; ``None`` takes what is fastest.
        max_pixels: Larger pictures are refused.
        compress: PNG compression level, 0 to 9; ``None`` is fast.
        quality: 0 to 100, of lossy formats; ``None`` is 95, and of films the codec's usual one.
        framing: Where the subject of a photo goes; ``None`` keeps the photo's own frame.
        clean: Remove specks and pinholes of photos' mattes, see ``imaging.matte.clean``.
        mask: A mask, or a folder of masks, that takes the place of the network.
        box: Left, top, width and height in pixels of the part of a photo that the network sees.
        report: The HTML page to write about photos.
        start_s: Where films begin, in seconds.
        duration_s: How much of a film is done, in seconds; ``None`` goes on to its end.
        rate: Frames per second of a sequence of pictures; ``None`` is 25.
        sound: A file whose sound a film gets, in place of its own.
        steady: Steady the maps of picture models from frame to frame.
        frames: Frames of a film, or answers of a camera, after which to stop.
        audio: Keep the audio tracks of films.
        codec: The value of ``--codec``.
        show: Open the camera's window; ``None`` opens it where there is a display.
        show_fps: Write the frame rate into the window.
        json: Print one JSON document.
        quiet: Print errors only.
        verbose: Print more.
    """

    sources: tuple[str, ...] = ()
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


def choose_styles(
    kinds: Iterable[str], *, refine: bool = True, max_pixels: int = MAX_PIXELS
) -> tuple[Style, ...]:
    """Return the style of each value of ``--type``, each once; see :func:`choose_style`."""
    names = dict.fromkeys(ALIASES.get(kind, kind) for kind in kinds)
    return tuple(choose_style(name, refine=refine, max_pixels=max_pixels) for name in names)


def choose_style(kind: str, *, refine: bool = True, max_pixels: int = MAX_PIXELS) -> Style:
    """Return the style that a value of ``--type`` names.

    Args:
        kind: An output type, or what to put behind the subject: a colour, or the path of a
            picture or film. A file with the name of a colour needs a path with a slash.
        refine: Remove the old background's colour from soft edges.
        max_pixels: Larger backgrounds are refused.

    Raises:
        UsageError: If there is no type, colour or file of that name.
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
            f"--type {kind}: no output type, colour, picture or film of that name."
            f"{did_you_mean(kind, [*types, *colour_names()])} Known: {', '.join(types)},"
            " colours of CSS such as white, '#rrggbb', or the path of a picture or film."
        )
    background, film = _background(path, max_pixels)
    return Style(PICTURE, path.stem, Look(background, refine), film)


def _background(path: Path, max_pixels: int) -> tuple[Pixels, Path | None]:
    """Return the background's first picture, and its path if it is a film."""
    if kind_of(path) == "picture":
        first, film = in_srgb(read_picture(path, max_pixels=max_pixels)), None
    else:
        first, film = next(iter(FilmReader(path, frames=1, max_pixels=max_pixels))), path
    return over_white(first.rgb, first.alpha), film
