"""How large a picture may be, wherever it is read."""

from typing import Final

MAX_PIXELS: Final = 178_956_970  # from where on Pillow, too, speaks of a decompression bomb
MAX_BYTES: Final = 2**31  # more than any picture under MAX_PIXELS takes, 16-bit RGBA included
