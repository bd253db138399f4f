"""Download a published file from the first mirror that works, and verify it."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sodcli.errors import ChecksumError, MissingError
from sodcli.files import file_lock
from sodcli.weights.download_settings import (
    Checksum,
    DownloadEvents,
    ExpectedFile,
    RetryPolicy,
    check,
)
from sodcli.weights.https import TransferError
from sodcli.weights.transfer import Part, Transfer

# "<" alone does not suffice: safetensors files of some lengths begin with " <" and a zero byte.
_PAGE: Final = re.compile(rb"\s*<[!?a-z]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """One file to download.

    Attributes:
        name: Its name in messages.
        mirrors: Addresses, tried in order: ``https://...`` or ``gdrive:ID``.
        expected: Its size and digest, if known.
    """

    name: str
    mirrors: Sequence[str]
    expected: ExpectedFile


@dataclass(frozen=True, slots=True)
class Delivery:
    """A downloaded or local file.

    Attributes:
        mirror: Its address, or its file name if it is local.
        checksum: Its size and digest.
    """

    mirror: str
    checksum: Checksum


@contextmanager
def reserved(name: str, home: Path, events: DownloadEvents) -> Iterator[Part]:
    """Yield the partial download of the file ``name``, locked against other processes.

    It is kept if the download is interrupted, so that it can be resumed, unless the file system
    does not support locks.

    Raises:
        OSError: If the cache folder cannot be written.
    """
    folder = home / "downloads"

    def waiting() -> None:
        events.note(f"waiting for another process that fetches {name}")

    with file_lock(folder / f"{name}.lock", waiting) as only:
        part = Part(folder / (f"{name}.part" if only else f"{name}-{os.getpid()}.part"))
        try:
            yield part
        finally:
            if not only:
                part.drop()


def download(
    request: DownloadRequest, part: Part, events: DownloadEvents, retries: RetryPolicy
) -> Delivery:
    """Download ``request`` into ``part`` and check it.

    Raises:
        ChecksumError: If a server sent a different file and no other server had the right one.
        MissingError: If no server sent it.
        OSError: If there is not enough disk space, or the file cannot be written.
    """
    failures: list[str] = []
    kind = MissingError
    for mirror in request.mirrors:
        transfer = Transfer(mirror, request.expected, part, events, retries)
        try:
            return Delivery(mirror, _finish(transfer, request.expected, part))
        except TransferError as error:
            failures.append(f"{transfer.server}: {error.reason}")
        except ChecksumError as error:
            failures.append(str(error))
            kind = ChecksumError
    raise kind(f"cannot download {request.name}: {'; '.join(failures)}")


def _finish(transfer: Transfer, expected: ExpectedFile, part: Part) -> Checksum:
    while True:
        resumed = transfer.finish()
        try:
            _refuse_page(part)
            return check(part.path, expected, transfer.server)
        except (ChecksumError, TransferError) as error:
            part.drop()
            if not resumed:  # a resumed part may mix two versions: retry
                raise type(error)(f"{error}; file removed") from error


def _refuse_page(part: Part) -> None:
    with part.path.open("rb") as file:
        if _PAGE.match(file.read(64)):
            raise TransferError("sends a web page instead of the file")
