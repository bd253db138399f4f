"""Settings of a download: expected checksums, callbacks and retries."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sodcli.errors import ChecksumError

_BLOCK: Final = 1 << 20
_DIGITS_SHOWN: Final = 16  # hex digits of a digest in a message


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """The published size and digests of a file; ``None`` means not published.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 hex digest.
        md5: MD5 hex digest; compared only if there is no ``sha256``.
    """

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def hashed(self) -> bool:
        """Whether a digest is known."""
        return (self.sha256 or self.md5) is not None


@dataclass(frozen=True, slots=True)
class Checksum:
    """Size in bytes and SHA-256 (hex) of a file."""

    size: int
    sha256: str


def _nothing(*_: object) -> None:
    """Do nothing; a named function instead of a lambda, so that it can be pickled."""


@dataclass(frozen=True, slots=True)
class DownloadEvents:
    """Functions that a download calls; they do nothing by default.

    Attributes:
        progress: Called with the bytes received and the size of the whole file, if known.
        note: Called with a message about an event (a lost connection, waiting for another process).
    """

    progress: Callable[[int, int | None], None] = _nothing
    note: Callable[[str], None] = _nothing


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a download waits for a server, and how often it tries again.

    Attributes:
        timeout: Seconds without data after which a request fails.
        window: Time span in seconds in which at least ``slowest`` bytes must arrive.
        slowest: Smallest number of bytes per ``window``.
        attempts: Number of consecutive requests without new data before giving up.
        longest_wait: Longest time in seconds to wait before the next request.
        sleep: Function that waits for a number of seconds.
    """

    timeout: float = 30.0
    window: float = 30.0
    slowest: int = 30 * 1024
    attempts: int = 4
    longest_wait: float = 60.0
    sleep: Callable[[float], None] = time.sleep


def check(path: Path, expected: ExpectedFile, name: str) -> Checksum:
    """Return the checksum of the file ``path``, after comparing it with ``expected``.

    Args:
        path: The file.
        expected: Its published size and digest.
        name: Its name in messages.

    Raises:
        ChecksumError: If its size or digest differs.
        OSError: If it cannot be read.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    weak = expected.sha256 is None and expected.md5 is not None
    size = path.stat().st_size
    if expected.size is not None and size != expected.size:
        raise ChecksumError(f"{name}: {size:,} bytes instead of {expected.size:,}")
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            if weak:
                md5.update(block)
    _compare("SHA-256", expected.sha256, sha256.hexdigest(), name)
    if weak:
        _compare("MD5", expected.md5, md5.hexdigest(), name)
    return Checksum(size, sha256.hexdigest())


def _compare(kind: str, expected: str | None, found: str, name: str) -> None:
    if expected is not None and expected != found:
        raise ChecksumError(
            f"{name}: {kind} mismatch (expected {expected[:_DIGITS_SHOWN]}..., "
            f"got {found[:_DIGITS_SHOWN]}...)"
        )
