"""A file that is still coming, and what is needed to go on with it after a break."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a part comes from.

    Attributes:
        mirror: The address that was asked.
        validator: Entity tag or date by which the server knows this version again.
        total: Size in bytes of the whole file, if the server told it.
    """

    mirror: str
    validator: str | None = None
    total: int | None = None


class Part:
    """The bytes that have come so far, with their origin in a file beside them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> Origin | None:
        """Return where the part comes from; ``None`` if nobody can tell any more."""
        try:
            return Origin(**json.loads(self._about.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @contextmanager
    def opened(self, origin: Origin, start: int) -> Iterator[IO[bytes]]:
        """Give the part to write on from byte ``start``; what lay behind it is cut off.

        Raises:
            OSError: If it cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._about.write_text(json.dumps(asdict(origin)), encoding="utf-8")
        with self.path.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())

    def drop(self) -> None:
        """Remove the part and what is known of it."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)
