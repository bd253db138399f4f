"""Unpack untrusted archives: all files stay in the target folder, and sizes are limited."""

import errno
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final

from sodcli.errors import MissingError
from sodcli.files import temporary_folder
from sodcli.weights.transfer import demand_room

try:
    from compression.zstd import ZstdError  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # Python before 3.14 has no Zstandard
    ZstdError = zlib.error

_BLOCK: Final = 1 << 20
_TAIL_BLOCKS: Final = 64
_ENCRYPTED: Final = 0x1
_MACOS: Final = "__MACOSX"
_DAMAGE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    ZstdError,
    EOFError,
    ValueError,
    OverflowError,  # tarfile reads a header of any size that the archive claims
    MemoryError,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the content of an archive.

    Attributes:
        files: Largest number of members.
        size: Largest total unpacked size in bytes.
    """

    files: int = 1_000_000
    size: int = 1 << 37


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    folder: bool
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, target: Path, limits: Limits | None = None) -> None:
    """Unpack a zip or tar file to the folder ``target``, which must not exist yet.

    If the archive has a single top-level folder, its content is unpacked without it; the folder
    ``__MACOSX``, which macOS adds, is left out. Only regular files and folders are allowed; their
    permissions are ignored. The target is created atomically.

    Args:
        archive: The file.
        target: Folder to create.
        limits: Limits on the content.

    Raises:
        MissingError: If the file is not an archive or is damaged, contains a link, a device or a
            path outside the target, or exceeds ``limits``.
        OSError: If a file cannot be read or written, or is larger than the free disk space.
    """
    with temporary_folder(target.parent, "unpack") as work:
        part = work / "content"
        part.mkdir()
        try:
            with _readable(archive) as members:
                _extract(archive, members, part, limits or Limits())
        except OSError as error:
            error.filename = error.filename or str(target)  # a failed write has no name
            raise
        inside = list(part.iterdir())
        single = len(inside) == 1 and inside[0].is_dir()
        (inside[0] if single else part).rename(target)


@contextmanager
def _readable(archive: Path) -> Iterator[Iterator[_Member]]:
    try:
        if tarfile.is_tarfile(archive):  # asked first: a tar may end in a zip file
            with tarfile.open(archive) as bundle:
                yield _of_tar(archive, bundle)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                yield _of_zip(archive, packed)
        else:
            raise MissingError(f"{archive}: neither a zip nor a tar file")
    except (*_DAMAGE, OSError) as error:
        if getattr(error, "errno", None) not in (None, errno.EINVAL):  # a disk error
            raise
        raise MissingError(f"{archive}: damaged archive ({error})") from error


def _of_zip(archive: Path, packed: zipfile.ZipFile) -> Iterator[_Member]:
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, info.filename, "is a link or a device")
        if info.flag_bits & _ENCRYPTED:
            raise _refused(archive, info.filename, "is encrypted")
        yield _Member(info.filename, info.is_dir(), info.file_size, partial(packed.open, info))


def _of_tar(archive: Path, bundle: tarfile.TarFile) -> Iterator[_Member]:
    for info in bundle:
        if not (info.isreg() or info.isdir()):
            raise _refused(archive, info.name, "is a link or a device")
        if info.size < 0:
            raise _refused(archive, info.name, "has a negative size")
        yield _Member(info.name, info.isdir(), info.size, partial(_content, bundle, info))
    for _ in range(_TAIL_BLOCKS):  # the checksum of a compressed tar follows its last member
        if bundle.fileobj is None or not bundle.fileobj.read(_BLOCK):
            break


def _content(bundle: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = bundle.extractfile(info)
    assert content is not None  # for the type checker; regular files have content
    return content


def _extract(archive: Path, members: Iterator[_Member], part: Path, limits: Limits) -> None:
    room = limits.size
    for count, member in enumerate(members, 1):
        inside = _inside(archive, member.name)
        target = part / inside
        room -= member.size
        if count > limits.files or room < 0:
            raise MissingError(
                f"{archive}: holds more than {limits.files:,} files or {limits.size:,} bytes"
            )
        if inside.parts[:1] == (_MACOS,):
            continue
        demand_room(part, member.size)  # a sparse or compressed file may be larger than any disk
        if member.folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        if target.exists():
            raise _refused(archive, member.name, "comes twice")
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, target.open("xb") as file:
            _copy(archive, member, source, file)


def _copy(archive: Path, member: _Member, source: IO[bytes], file: IO[bytes]) -> None:
    left = member.size
    while block := source.read(_BLOCK):
        left -= len(block)
        if left < 0:
            raise _refused(archive, member.name, "is larger than it says")
        file.write(block)


def _inside(archive: Path, name: str) -> PurePosixPath:
    """Return a member's path relative to the target, for archives from any operating system."""
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive
    if outside or "\0" in name:
        raise _refused(archive, name, "would leave the folder")
    return path


def _refused(archive: Path, name: str, why: str) -> MissingError:
    return MissingError(f"{archive}: refused, its member {name!r} {why}")
