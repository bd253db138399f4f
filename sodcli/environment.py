"""What environment variables say."""

import os
from typing import Final

_NO: Final = ("", "0", "false", "no", "off")


def switched_on(name: str) -> bool:
    """Say whether the variable ``name`` is set, to something that is no word for no."""
    return os.environ.get(name, "").strip().casefold() not in _NO
