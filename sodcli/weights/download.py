"""Bring a published file here: mirrors in turn, and never a wrong file."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sodcli.errors import ChecksumError, MissingError
from sodcli.files import file_lock
from sodcli.weights.checksum import Checksum, Promise, check
from sodcli.weights.https import TransferError
from sodcli.weights.part import Part
from sodcli.weights.transfer import Transfer
from sodcli.weights.watch import Patience, Watch


@dataclass(frozen=True, slots=True)
class Order:
    """One file to bring.

    Attributes:
        name: What messages call it.
        mirrors: Addresses, tried in turn: ``https://...`` or ``gdrive:ID``.
        promise: What the file must be.
    """

    name: str
    mirrors: Sequence[str]
    promise: Promise


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file that has come.

    Attributes:
        mirror: Where from.
        checksum: What it is.
    """

    mirror: str
    checksum: Checksum


@contextmanager
def reserved(name: str, home: Path, watch: Watch) -> Iterator[Part]:
    """Give the part of the file ``name`` that only this process writes on.

    What came of it before a break is kept for the next time, unless the file system has no locks.

    Raises:
        OSError: If the cache folder cannot be written.
    """
    folder = home / "downloads"

    def waiting() -> None:
        watch.note(f"waiting for another process that fetches {name}")

    with file_lock(folder / f"{name}.lock", waiting) as only:
        part = Part(folder / (f"{name}.part" if only else f"{name}-{os.getpid()}.part"))
        try:
            yield part
        finally:
            if not only:
                part.drop()


def download(order: Order, part: Part, watch: Watch, patience: Patience) -> Delivery:
    """Bring ``order`` to ``part``, checked.

    Raises:
        ChecksumError: If a server sent another file, and no other had the right one.
        MissingError: If no server sent it.
        OSError: If there is no room for it, or it cannot be written.
    """
    failures: list[str] = []
    kind = MissingError
    for mirror in order.mirrors:
        transfer = Transfer(mirror, order.promise, part, watch, patience)
        try:
            return Delivery(mirror, _finish(transfer, order.promise, part))
        except TransferError as error:
            failures.append(f"{transfer.server}: {error.reason}")
        except ChecksumError as error:
            failures.append(str(error))
            kind = ChecksumError
    raise kind(f"cannot download {order.name}: {'; '.join(failures)}")


def _finish(transfer: Transfer, promise: Promise, part: Part) -> Checksum:
    while True:
        resumed = transfer.finish()
        try:
            _refuse_page(part)
            return check(part.path, promise, transfer.server)
        except (ChecksumError, TransferError) as error:
            part.drop()
            if not resumed:  # else pieces of two files may have met: once more from the start
                raise type(error)(f"{error}; file removed") from error


def _refuse_page(part: Part) -> None:
    with part.path.open("rb") as file:
        if file.read(64).lstrip().startswith(b"<"):
            raise TransferError("sends a web page instead of the file")
