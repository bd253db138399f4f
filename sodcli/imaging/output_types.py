"""The values of ``--type``: output types, aliases and colours. Does not import OpenCV."""

import re
from typing import Final

Rgb = tuple[int, int, int]

OUTPUT_TYPES: Final = ("blur", "green", "map", "overlay", "reverse", "rgba")
ALIASES: Final = {"transparent": "rgba", "mask": "map"}
COMMON_COLOURS: Final = ("white", "black", "grey")  # suggested first; all CSS names work
_DIGITS: Final = re.compile("#(?:[0-9a-fA-F]{3}){1,2}")


def colour_names() -> list[str]:
    """Return the colour names of CSS, in lower case."""
    from PIL import ImageColor

    return sorted(ImageColor.colormap)


def colour_of(text: str) -> Rgb | None:
    """Return the colour, 0 to 255, of a CSS name, ``#rgb`` or ``#rrggbb``; otherwise ``None``."""
    from PIL import ImageColor

    if not _DIGITS.fullmatch(text) and text.lower() not in ImageColor.colormap:
        return None
    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue
