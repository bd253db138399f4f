"""``lock.toml`` in the cache folder: source, size and checksum of each fetched file."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sodcli.errors import MissingError, UsageError
from sodcli.files import file_lock, write_whole
from sodcli.tables import read_table, to_toml
from sodcli.weights.download_settings import ExpectedFile

_HEAD: Final = "# Written by `sod fetch`: source, size and checksum of each fetched file.\n"


@dataclass(frozen=True, slots=True)
class Record:
    """One fetched file.

    Attributes:
        source: Address, or the name of the local file.
        published_size: Size in bytes of the published file.
        published_sha256: SHA-256 hex digest of the published file.
        size: Size in bytes of the converted file in the cache; ``None`` for an unpacked archive.
        sha256: SHA-256 hex digest of the converted file.
    """

    source: str
    published_size: int
    published_sha256: str
    size: int | None = None
    sha256: str | None = None

    @property
    def published(self) -> ExpectedFile:
        """Size and digest of the published file at the first fetch; later downloads must match."""
        return ExpectedFile(self.published_size, self.published_sha256)

    @property
    def ours(self) -> ExpectedFile:
        """Size and digest of the converted file in the cache."""
        return ExpectedFile(self.size, self.sha256)


class Lockfile:
    """The records of one cache folder."""

    def __init__(self, home: Path) -> None:
        self.path = home / "lock.toml"

    def records(self) -> dict[str, Record]:
        """Return all records by name.

        Raises:
            MissingError: If the file is damaged.
        """
        if not self.path.is_file():
            return {}
        try:
            raw = tomllib.loads(self.path.read_text(encoding="utf-8"))
            return {name: read_table(Record, table) for name, table in raw.items()}
        except (OSError, ValueError, TypeError, UsageError) as error:
            raise MissingError(
                f"{self.path}: damaged ({error}); delete it and run: sod fetch NAME --force"
            ) from error

    def add(self, name: str, record: Record) -> None:
        """Write ``record``, replacing an older one of that name.

        Raises:
            OSError: If the lock file cannot be created.
            SinkError: If it cannot be written.
            MissingError: If the file is damaged.
        """
        with file_lock(self.path.with_suffix(".lock")):
            records = {**self.records(), name: record}
            tables = {each: asdict(records[each]) for each in sorted(records)}
            write_whole(self.path, (_HEAD + to_toml(tables)).encode())
