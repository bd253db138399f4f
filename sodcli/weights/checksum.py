"""Tell whether a file is the file that was promised."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sodcli.errors import ChecksumError

_BLOCK: Final = 1 << 20
_SHOWN: Final = 16  # hex digits of a digest in a message


@dataclass(frozen=True, slots=True)
class Promise:
    """What is known of a file before it comes; ``None`` is what nobody has published.

    Attributes:
        size: Bytes.
        sha256: Hex digest.
        md5: Hex digest; looked at only where there is no ``sha256``.
    """

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def hashed(self) -> bool:
        """Whether a wrong file would be noticed whatever its size."""
        return (self.sha256 or self.md5) is not None


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a file is: its size in bytes and its SHA-256."""

    size: int
    sha256: str


def check(path: Path, promise: Promise, name: str) -> Checksum:
    """Return the checksum of ``path`` if it is what ``promise`` says.

    Args:
        path: The file.
        promise: What it must be.
        name: What messages call it.

    Raises:
        ChecksumError: If it is another file.
        OSError: If it cannot be read.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    weak = promise.sha256 is None and promise.md5 is not None
    size = path.stat().st_size
    if promise.size is not None and size != promise.size:
        raise ChecksumError(f"{name}: {size:,} bytes instead of {promise.size:,}")
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            if weak:
                md5.update(block)
    _compare("SHA-256", promise.sha256, sha256.hexdigest(), name)
    if weak:
        _compare("MD5", promise.md5, md5.hexdigest(), name)
    return Checksum(size, sha256.hexdigest())


def _compare(kind: str, expected: str | None, found: str, name: str) -> None:
    if expected is not None and expected != found:
        raise ChecksumError(
            f"{name}: {kind} mismatch (expected {expected[:_SHOWN]}..., got {found[:_SHOWN]}...)"
        )
