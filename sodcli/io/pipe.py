"""Standard input as a picture, as pictures one after another, or as a film; standard output."""

import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, Final

from sodcli.errors import SinkError, SodError, SourceError
from sodcli.files.reading import MAX_BYTES
from sodcli.io.pictures.cicp import PNG_SIGNATURE
from sodcli.io.pictures.decode import HEAD_BYTES, reader_of
from sodcli.io.search import Kind, animation_first, is_animated_gif, is_film_head
from sodcli.text import reason_of

STDIN: Final = "stdin"  # in messages and file names
_CHUNK_BYTES: Final = 2**16
_PACKET_BYTES: Final = 188  # of an MPEG transport stream, which has no other signature
_SYNC: Final = b"G"
_PICTURE: Final = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|P[4-6]\s|BM")
_PREVIEWS: Final = re.compile(rb"\xff\xe2..MPF\0", re.DOTALL)  # further JPEGs belong to this one
_SCAN, _END = 0xDA, 0xD9  # JPEG markers
_WITHOUT_LENGTH: Final = (0x01, *range(0xD0, 0xD8))  # markers
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_GAP: Final = rb"(?:\s|#[^\n]*\n)+"
_PNM: Final = re.compile(rb"P[4-6]" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)(?:\s|#[^\n]*\n)")
_PNM_DEPTH: Final = re.compile(rb"(?:\s|#[^\n]*\n)*(\d+)\s")
_PNM_HEAD_BYTES: Final = 1024


class Pipe:
    """What arrives on standard input; it is read once, in order.

    Pictures of the formats that ``ffmpeg -f image2pipe`` writes (PNG, JPEG, PBM, PGM, PPM and BMP)
    may follow one another. Bytes of another kind after a picture are ignored.

    Attributes:
        several: Whether there are several pictures; set by ``kind``.
        film: The copy of a film, once it has been saved.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Prepare to read ``stream``; nothing is read yet."""
        self._stream, self._ahead, self._ended = stream, bytearray(), False
        self._first: bytes | None = None
        self.film: Path | None = None
        self.several = False

    def kind(self) -> Kind:
        """Return what the first bytes are: several pictures are a film.

        A picture is read to its end, and a little of what follows, to learn whether it is the only
        one. What is not recognised counts as a picture; errors are raised when that is read.
        """
        with suppress(SodError, OSError):
            if self._is_film():
                return "film"
            self._first = self._next()
            self.several = self._follows()
        return "film" if self.several else "picture"

    def pictures(self) -> Iterator[bytes]:
        """Yield the bytes of each picture.

        Raises:
            SourceError: If it is no picture, larger than pictures may be, or cannot be read.
        """
        try:
            if self._first is None:
                self._first = self._next()
            yield self._first
            while self._follows():
                yield self._next()
        except OSError as error:
            raise SourceError(f"{STDIN}: {reason_of(error).lower()}") from error

    def save_film(self, folder: Path) -> None:
        """Copy a film to a file in ``folder``, because reading one needs several passes.

        Raises:
            SourceError: If it cannot be read or copied.
        """
        path = folder / STDIN
        try:
            with path.open("wb") as file:
                file.write(self._ahead)
                self._ahead.clear()
                shutil.copyfileobj(self._stream, file)
        except OSError as error:
            raise SourceError(f"{STDIN}: copying it to {folder}: {reason_of(error)}") from error
        self.film = path

    def _is_film(self) -> bool:
        self._has(HEAD_BYTES)
        head = bytes(self._ahead[:HEAD_BYTES])
        if head.startswith(b"GIF8"):
            self._has_all()
            return is_animated_gif(BytesIO(self._ahead))
        if head.startswith(PNG_SIGNATURE):
            return animation_first(kind for kind, _ in self._png_chunks())
        if head.startswith(_SYNC) and self._has(2 * _PACKET_BYTES + 1):
            return self._ahead[: 2 * _PACKET_BYTES + 1 : _PACKET_BYTES] == 3 * _SYNC
        return is_film_head(head)

    def _follows(self) -> bool:
        """Return True if another picture follows the first one."""
        self._has(8)
        return bool(_PICTURE.match(self._ahead))

    def _next(self) -> bytes:
        """Take one picture."""
        self._has(HEAD_BYTES)
        head = bytes(self._ahead[:HEAD_BYTES])
        if not head:
            raise SourceError(f"{STDIN}: empty file")
        reader_of(head, STDIN)
        size = self._size(head)
        if size is None or not self._has(size):
            self._has_all()
            size = len(self._ahead)
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        return data

    def _size(self, head: bytes) -> int | None:
        """Return the size of the next picture in bytes; ``None`` if it takes all there is."""
        if head.startswith(PNG_SIGNATURE):
            return next((end for kind, end in self._png_chunks() if kind == b"IEND"), None)
        if head.startswith(b"\xff\xd8"):
            return self._jpeg_size()
        if head.startswith((b"P4", b"P5", b"P6")):
            return self._pnm_size()
        if head.startswith(b"BM"):
            return int.from_bytes(head[2:6], "little") or None
        return None

    def _png_chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the type of each chunk of the next picture, and the offset of its end."""
        at = 8
        while self._has(at + 12):
            kind = bytes(self._ahead[at + 4 : at + 8])
            at += 12 + int.from_bytes(self._ahead[at : at + 4], "big")
            yield kind, at

    def _jpeg_size(self) -> int | None:
        at = 2
        while self._has(at + 2) and self._ahead[at] == 0xFF:
            marker = self._ahead[at + 1]
            if marker == _END:
                return at + 2
            if marker == 0xFF or marker in _WITHOUT_LENGTH:
                at += 1 if marker == 0xFF else 2
                continue
            if not self._has(at + 8) or _PREVIEWS.match(self._ahead, at):
                return None
            at += 2 + int.from_bytes(self._ahead[at + 2 : at + 4], "big")
            if marker == _SCAN:
                while not (found := _AFTER_SCAN.search(self._ahead, at)):
                    at = max(at, len(self._ahead) - 1)
                    if not self._has(len(self._ahead) + 1):
                        return None
                at = found.start()
        return None

    def _pnm_size(self) -> int | None:
        self._has(_PNM_HEAD_BYTES)
        found = _PNM.match(self._ahead)
        if found is None:
            return None
        width, height, at = int(found[1]), int(found[2]), found.end()
        kind = self._ahead[:2]
        if kind == b"P4":
            return at + (width + 7) // 8 * height
        depth = _PNM_DEPTH.match(self._ahead, at)
        if depth is None:
            return None
        samples = width * height * (3 if kind == b"P6" else 1)
        return depth.end() + samples * (2 if int(depth[1]) > 255 else 1)

    def _has(self, count: int) -> bool:
        """Read until ``count`` bytes are ahead; return False if the pipe ends before."""
        if count > MAX_BYTES:
            raise SourceError(f"{STDIN}: larger than {MAX_BYTES // 2**20} MiB")
        while len(self._ahead) < count and not self._ended:
            more = self._stream.read1(_CHUNK_BYTES)  # type: ignore[attr-defined]
            self._ahead += more
            self._ended = not more
        return len(self._ahead) >= count

    def _has_all(self) -> None:
        while self._has(len(self._ahead) + 1):
            pass


def write_stdout(data: bytes | memoryview) -> None:
    """Write bytes to standard output at once.

    Raises:
        SinkError: If the reader closed the pipe, or the disk is full.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # otherwise Python prints a second error at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.buffer.fileno())
        raise SinkError(f"cannot write to standard output: {reason_of(error)}") from error


class Copier:
    """Copies what a process writes to standard output, in a thread."""

    def __init__(self, source: IO[bytes], give_up: Callable[[], None]) -> None:
        """Start to copy ``source``; ``give_up`` is called if standard output fails."""
        self._source, self._give_up = source, give_up
        self._error: SinkError | None = None
        self._thread = threading.Thread(target=self._run, name="sod-stdout", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for the end of ``source``.

        Raises:
            SinkError: If standard output failed.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while data := self._source.read(_CHUNK_BYTES):
                write_stdout(data)
        except SinkError as error:
            self._error = error
            self._give_up()
        except (OSError, ValueError):  # closed, because the process was stopped
            pass
