"""Names of files: as people type them, and in the order they count in."""

import re
from pathlib import Path


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts ``2.jpg`` before ``10.jpg``, the same on every system."""
    parts = re.split(r"(\d+)", text.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], text


def own_name(folder: Path) -> str:
    """Return what a folder is called where it lies, which for a link is the name of the link."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def user_path(name: str | Path) -> Path:
    """Return a path as it was typed, ``~`` standing for a home; the home of nobody is a name."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path
