"""What the results of ``sod infer`` look like."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sodcli.errors import UsageError
from sodcli.files import user_path
from sodcli.text import did_you_mean

if TYPE_CHECKING:
    from sodcli.imaging.compose import Look, Pixels


@dataclass(frozen=True, slots=True)
class Style:
    """What results look like.

    Attributes:
        kind: Output type, a name of ``imaging.compose``.
        look: Background picture and refinement.
        tag: The word for it in file names.
        behind: A film in the background.
        threshold: See ``infer.photos.Settings``.
    """

    kind: str
    look: "Look"
    tag: str
    behind: Path | None
    threshold: float | None

    @property
    def alpha(self) -> bool:
        """Whether results have transparency."""
        from sodcli.imaging.compose import has_alpha

        return has_alpha(self.kind)


def choose_style(kind: str, threshold: float | None, *, refine: bool, max_pixels: int) -> Style:
    """Return what ``--type`` means.

    Args:
        kind: An output type, or what to put behind the subject: a colour, or the path of a
            picture or film. A file called as a colour has a path with a slash, too.
        threshold: As typed.
        refine: Whether the old background's colour is taken out of soft edges.
        max_pixels: Larger pictures are refused.

    Raises:
        UsageError: If there is no type, colour or file of that name.
        SourceError: If the file cannot be read.
    """
    from sodcli.imaging.colours import COLOURS, colour_of
    from sodcli.imaging.compose import PICTURE, Look, flat, names

    known = [name for name in names() if name != PICTURE]
    if kind in known:
        return Style(kind, Look(refine=refine), kind, None, threshold)
    colour = colour_of(kind)
    if colour is not None:
        tag = kind.removeprefix("#").lower()
        return Style(PICTURE, Look(flat(colour), refine), tag, None, threshold)
    path = user_path(kind)
    if not path.exists():
        known += COLOURS
        raise UsageError(
            f"--type {kind}: no output type, colour, picture or film of that name."
            f"{did_you_mean(kind, known)} Known: {', '.join(known)}, '#rrggbb',"
            " or the path of a picture or film."
        )
    background, film = _first_picture(path, max_pixels)
    return Style(PICTURE, Look(background=background, refine=refine), path.stem, film, threshold)


def _first_picture(path: Path, max_pixels: int) -> "tuple[Pixels, Path | None]":
    """Return the background to begin with, and the film it is from, if any."""
    from sodcli.imaging.blend import over_white
    from sodcli.io.films.read import FilmReader
    from sodcli.io.pictures.colour import in_srgb
    from sodcli.io.pictures.read import read_picture
    from sodcli.io.search import kind_of

    if kind_of(path) == "picture":
        first, film = in_srgb(read_picture(path, max_pixels=max_pixels)), None
    else:
        first, film = next(iter(FilmReader(path, frames=1, max_pixels=max_pixels))), path
    return over_white(first.rgb, first.alpha), film
