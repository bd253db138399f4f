"""Download one address into a partial file, resuming until it is complete."""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Final

from sodcli.errors import ChecksumError
from sodcli.weights.download_settings import DownloadEvents, ExpectedFile, RetryPolicy
from sodcli.weights.https import Session, TransferError, ask, host, trouble, web_address

_BLOCK: Final = 1 << 18
_LARGEST: Final = 1 << 36  # largest size in bytes of a file of unknown size
_DIGITS: Final = 20  # of a size; Python refuses to convert thousands of digits
_PARTIAL: Final = 206
_BEYOND_THE_END: Final = 416


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a partial file.

    Attributes:
        mirror: The requested address.
        validator: ETag or Last-Modified date that identifies this version of the file.
        total: Size in bytes of the whole file, if the server sends it.
    """

    mirror: str
    validator: str | None = None
    total: int | None = None


class Part:
    """A partial file: the bytes received so far, with their origin in a second file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> Origin | None:
        """Return the origin of the part; ``None`` if its file is missing or damaged."""
        try:
            return Origin(**json.loads(self._about.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @contextmanager
    def opened(self, origin: Origin, start: int) -> Iterator[IO[bytes]]:
        """Open the part for writing at byte ``start``; it is truncated there.

        Raises:
            OSError: If it cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            # After truncating: a killed process must not leave this origin with other bytes.
            self._about.write_text(json.dumps(asdict(origin)), encoding="utf-8")
            yield file
            file.flush()
            os.fsync(file.fileno())

    def drop(self) -> None:
        """Remove the part and its origin."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)


class Transfer:
    """The download from one mirror into a part."""

    def __init__(
        self,
        mirror: str,
        expected: ExpectedFile,
        part: Part,
        events: DownloadEvents,
        retries: RetryPolicy,
    ) -> None:
        self._mirror, self._expected, self._part = mirror, expected, part
        self._events, self._retries = events, retries
        self._session = Session(retries.timeout)
        self.server = host(web_address(mirror))

    def finish(self) -> bool:
        """Send requests until all bytes are received; bytes of an earlier attempt are kept.

        Returns:
            True if the last request continued an earlier part.

        Raises:
            TransferError: If the server does not send the bytes.
            ChecksumError: If the server announces a different size than expected.
            OSError: If there is not enough disk space, or the part cannot be written.
        """
        most, failed = -1, 0
        while True:
            try:
                return self._request()
            except TransferError as error:
                failed = 1 if self._part.size > most else failed + 1
                most = max(most, self._part.size)
                if not error.again or failed >= self._retries.attempts:
                    raise
                self._wait(error, failed)

    def _wait(self, error: TransferError, failed: int) -> None:
        seconds = error.wait if error.wait is not None else 2.0 ** (failed - 1)
        if seconds > self._retries.longest_wait:
            raise TransferError(f"{error.reason}, asks to wait {seconds:,.0f} s") from error
        self._events.note(f"{self.server}: {error.reason}; trying again in {seconds:.0f} s")
        self._retries.sleep(seconds)

    def _request(self) -> bool:
        """Request the missing bytes; return True if the request continued a part."""
        origin, have = self._usable()
        if have and have == (origin.total or self._expected.size):
            return True
        try:
            answer = ask(self._session, self._mirror, _range(have, origin.validator))
        except TransferError as error:
            if error.status == _BEYOND_THE_END:
                raise self._restart() from error
            raise
        with answer:
            start, total = self._place(answer, have, origin)
            self._demand_size(total)
            demand_room(self._part.path.parent, (total or 0) - start)
            self._store(answer, start, total)
        return start > 0

    def _demand_size(self, total: int | None) -> None:
        expected = self._expected.size
        if total is not None and expected is not None and total != expected:
            raise ChecksumError(f"{self.server}: {total:,} bytes instead of {expected:,}")

    def _usable(self) -> tuple[Origin, int]:
        """Return the origin of the part and the number of its bytes that can be kept."""
        origin = self._part.origin()
        if origin is None or origin.mirror != self._mirror:
            return Origin(self._mirror), 0
        identified = origin.validator is not None or self._expected.hashed
        return origin, self._part.size if identified else 0

    def _place(self, answer: HTTPResponse, have: int, origin: Origin) -> tuple[int, int | None]:
        """Return the offset of the bytes in ``answer``, and the size of the whole file if known."""
        if answer.status != _PARTIAL:
            return 0, _number(answer.headers.get("Content-Length", ""))
        unit, _, place = answer.headers.get("Content-Range", "").partition(" ")
        span, _, whole = place.partition("/")
        total = _number(whole)
        fits = unit == "bytes" and span.split("-")[0] == str(have)
        same = _validator(answer) == origin.validator and origin.total in (None, total)
        if not fits or not same:
            raise self._restart()
        return have, total

    def _restart(self) -> TransferError:
        self._part.drop()
        return TransferError("has a different version of the file now", again=True)

    def _store(self, answer: HTTPResponse, have: int, total: int | None) -> None:
        origin = Origin(self._mirror, _validator(answer), total)
        most = self._expected.size or total or _LARGEST
        with self._part.opened(origin, have) as file:
            for chunk in _blocks(answer, total, have, self._retries):
                if have + len(chunk) > most:
                    raise TransferError(f"sends more than {most:,} bytes")
                file.write(chunk)
                have += len(chunk)
                self._events.progress(have, total or self._expected.size)
        if total is not None and have < total:
            raise TransferError(f"breaks off after {have:,} of {total:,} bytes", again=True)


def _blocks(
    answer: HTTPResponse, total: int | None, have: int, retries: RetryPolicy
) -> Iterator[bytes]:
    """Yield blocks as they arrive; raise TransferError if they arrive too slowly."""
    began, recent = time.monotonic(), 0
    while total is None or have < total:
        try:
            chunk = answer.read1(_BLOCK)
        except (OSError, HTTPException) as error:
            raise trouble(error) from error
        if not chunk:
            return
        have += len(chunk)
        recent += len(chunk)
        yield chunk
        if time.monotonic() - began > retries.window:
            if recent < retries.slowest:
                raise TransferError("sends too slowly", again=True)
            began, recent = time.monotonic(), 0


def _range(have: int, validator: str | None) -> dict[str, str]:
    """Return the headers of a range request for the bytes from ``have``, of the same version."""
    if not have:
        return {}
    condition = {"If-Range": validator} if validator else {}
    return {"Range": f"bytes={have}-", **condition}


def _validator(answer: HTTPResponse) -> str | None:
    """Return the identifier of this version of the file: a strong ETag, else its date."""
    tag: str | None = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None


def demand_room(folder: Path, needed: int) -> None:
    """Raise ``OSError`` if the disk of ``folder`` has fewer free bytes than ``needed``."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        reason = f"{needed:,} bytes are needed, {free:,} are free"
        raise OSError(errno.ENOSPC, reason, str(folder))
