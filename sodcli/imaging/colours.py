"""The colours that may lie behind a subject; no heavy import, for the shell asks for them, too."""

import re
from typing import Final

Rgb = tuple[int, int, int]

COLOURS: Final[dict[str, Rgb]] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "gray": (128, 128, 128),
}
_DIGITS: Final = re.compile("#[0-9a-fA-F]{6}")


def colour_of(text: str) -> Rgb | None:
    """Return the colour that a name or ``#rrggbb`` stands for, 0 to 255 each; else ``None``."""
    if _DIGITS.fullmatch(text):
        red, green, blue = bytes.fromhex(text[1:])
        return red, green, blue
    return COLOURS.get(text)
