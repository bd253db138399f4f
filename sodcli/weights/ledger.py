"""What was fetched, from where, and what it was: ``lock.toml`` in the cache."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sodcli.errors import MissingError
from sodcli.files import file_lock, write_whole
from sodcli.weights.checksum import Promise

_HEAD: Final = "# Written by `sod fetch`: what each file was when it first came.\n"


@dataclass(frozen=True, slots=True)
class Record:
    """One fetched file.

    Attributes:
        source: Address, or the name of the file that was handed in.
        published_size: Bytes of the file as its authors publish it.
        published_sha256: Its digest.
        size: Bytes of our own file, made from it; ``None`` for what was unpacked.
        sha256: Its digest.
    """

    source: str
    published_size: int
    published_sha256: str
    size: int | None = None
    sha256: str | None = None

    @property
    def published(self) -> Promise:
        """What the published file was when it first came, and must be ever after."""
        return Promise(self.published_size, self.published_sha256)

    @property
    def ours(self) -> Promise:
        """What our own file must be."""
        return Promise(self.size, self.sha256)


class Ledger:
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
            return {name: Record(**table) for name, table in raw.items()}
        except (OSError, ValueError, TypeError) as error:
            raise MissingError(
                f"{self.path}: damaged ({error}); delete it and run: sod fetch NAME --force"
            ) from error

    def add(self, name: str, record: Record) -> None:
        """Write down ``record``, in place of an older one of that name.

        Raises:
            OSError: If it cannot be written.
            MissingError: If the file is damaged.
        """
        with file_lock(self.path.with_suffix(".lock")):
            write_whole(self.path, _toml({**self.records(), name: record}).encode())


def _toml(records: Mapping[str, Record]) -> str:
    sections = [
        f"\n[{json.dumps(name)}]\n"
        + "".join(f"{k} = {_value(v)}\n" for k, v in asdict(record).items() if v is not None)
        for name, record in sorted(records.items())
    ]
    return _HEAD + "".join(sections)


def _value(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return json.dumps("".join(c if c.isprintable() else "?" for c in value), ensure_ascii=False)
