"""Bring the bytes of one address here, again and again until they are all there."""

import errno
import shutil
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final

from sodcli.errors import ChecksumError
from sodcli.weights.checksum import Promise
from sodcli.weights.https import Session, TransferError, ask, host, trouble, web_address
from sodcli.weights.part import Origin, Part
from sodcli.weights.watch import Patience, Watch

_BLOCK: Final = 1 << 18
_LARGEST: Final = 1 << 36  # bytes; for a file whose size nobody tells
_PARTIAL: Final = 206
_BEYOND_THE_END: Final = 416


class Transfer:
    """The bytes of one mirror on their way to a part."""

    def __init__(
        self, mirror: str, promise: Promise, part: Part, watch: Watch, patience: Patience
    ) -> None:
        self._mirror, self._promise, self._part = mirror, promise, part
        self._watch, self._patience = watch, patience
        self._session = Session(patience.timeout)
        self.server = host(web_address(mirror))

    def finish(self) -> bool:
        """Ask until all bytes are here; what lies there of an earlier attempt is used.

        Returns:
            Whether the last request went on with an earlier piece.

        Raises:
            TransferError: If the server does not send them.
            ChecksumError: If it announces another size than promised.
            OSError: If there is no room for them, or they cannot be written.
        """
        most, failed = -1, 0
        while True:
            try:
                return self._request()
            except TransferError as error:
                failed = 1 if self._part.size > most else failed + 1
                most = max(most, self._part.size)
                if not error.again or failed >= self._patience.attempts:
                    raise
                self._wait(error, failed)

    def _wait(self, error: TransferError, failed: int) -> None:
        seconds = error.wait if error.wait is not None else 2.0 ** (failed - 1)
        if seconds > self._patience.longest_wait:
            raise TransferError(f"{error.reason}, asks to wait {seconds:,.0f} s") from error
        self._watch.note(f"{self.server}: {error.reason}; trying again in {seconds:.0f} s")
        self._patience.sleep(seconds)

    def _request(self) -> bool:
        """Make one request for what is missing; return whether it went on with a piece."""
        origin, have = self._usable()
        if have and have == (origin.total or self._promise.size):
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
            _demand_room(self._part.path.parent, (total or 0) - start)
            self._store(answer, start, total)
        return start > 0

    def _demand_size(self, total: int | None) -> None:
        promised = self._promise.size
        if total is not None and promised is not None and total != promised:
            raise ChecksumError(f"{self.server}: {total:,} bytes instead of {promised:,}")

    def _usable(self) -> tuple[Origin, int]:
        """Return where the part comes from and how many bytes of it are worth keeping."""
        origin = self._part.origin()
        if origin is None or origin.mirror != self._mirror:
            return Origin(self._mirror), 0
        known_again = origin.validator is not None or self._promise.hashed
        return origin, self._part.size if known_again else 0

    def _place(self, answer: HTTPResponse, have: int, origin: Origin) -> tuple[int, int | None]:
        """Return where the bytes of ``answer`` belong, and the size of the whole if it is told."""
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
        return TransferError("has another file there by now", again=True)

    def _store(self, answer: HTTPResponse, have: int, total: int | None) -> None:
        origin = Origin(self._mirror, _validator(answer), total)
        most = self._promise.size or total or _LARGEST
        with self._part.opened(origin, have) as file:
            for chunk in _paced(answer, total, have, self._patience):
                if have + len(chunk) > most:
                    raise TransferError(f"sends more than {most:,} bytes")
                file.write(chunk)
                have += len(chunk)
                self._watch.progress(have, total or self._promise.size)
        if total is not None and have < total:
            raise TransferError(f"breaks off after {have:,} of {total:,} bytes", again=True)


def _paced(
    answer: HTTPResponse, total: int | None, have: int, patience: Patience
) -> Iterator[bytes]:
    """Give what comes, as it comes; raises TransferError when it comes too slowly."""
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
        if time.monotonic() - began > patience.window:
            if recent < patience.slowest:
                raise TransferError("sends too slowly", again=True)
            began, recent = time.monotonic(), 0


def _range(have: int, validator: str | None) -> dict[str, str]:
    """Return the headers that ask for the bytes from ``have`` on, of the same version."""
    if not have:
        return {}
    condition = {"If-Range": validator} if validator else {}
    return {"Range": f"bytes={have}-", **condition}


def _validator(answer: HTTPResponse) -> str | None:
    """Return what names this version of the file: a strong entity tag, else its date."""
    tag: str | None = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _demand_room(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        reason = f"{needed:,} bytes are needed, {free:,} are free"
        raise OSError(errno.ENOSPC, reason, str(folder))
