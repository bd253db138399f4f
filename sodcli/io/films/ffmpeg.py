"""Run the ffmpeg of imageio-ffmpeg, and reduce its messages to one line."""

import errno
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, Self

import imageio_ffmpeg

from sodcli.errors import MissingError
from sodcli.text import reason_of

_KEPT_LINES: Final = 60
_WINDOWS: Final = os.name == "nt"
_NEW_GROUP: Final = 0x00000200  # Windows' CREATE_NEW_PROCESS_GROUP
_OWN_EXE: Final = "IMAGEIO_FFMPEG_EXE"  # environment variable: path of the ffmpeg to use
_NOISE: Final = re.compile(
    r"^(frame=|size=|video:|Last message|Conversion failed"
    r"|Error (opening|while|sending|submitting|selecting)"
    r"|Terminating|Nothing was written|Task finished|\s|$)"
)
_COMPONENT: Final = re.compile(r"^(\[[^\]]*\] )+")  # that prints the line
_CONTAINERS: Final = ",".join(  # demuxers of film or sound in a single file
    (
        *("mov", "matroska", "avi", "gif", "apng", "ogg", "flv", "live_flv", "mpeg", "mpegts"),
        *("mpegvideo", "asf", "asf_o", "ivf", "nut", "mxf", "mxg", "gxf", "dv", "rm", "wtv", "ty"),
        *("h261", "h263", "h264", "hevc", "vvc", "evc", "av1", "obu", "m4v", "vc1", "vc1test"),
        *("mjpeg", "mjpeg_2000", "mpjpeg", "cavsvideo", "avs", "avs2", "avs3", "dirac", "dnxhd"),
        *("webp_anim", "jpegxl_anim", "yuv4mpegpipe", "swf", "pva", "nsv", "nuv", "r3d", "mlv"),
        *("cine", "dhav", "dxa", "bink", "smk", "roq", "flic", "ea", "4xm", "film_cpk", "thp"),
        *("wav", "w64", "aac", "mp3", "flac", "aiff", "caf", "ac3", "eac3", "dts", "amr", "au"),
        *("tta", "wv", "ape", "tak", "mpc", "mpc8", "loas", "truehd"),
    )
)
_SYSTEM: Final = tuple(map(os.strerror, (errno.ENOSPC, errno.EFBIG, errno.EACCES, errno.EIO)))


@lru_cache
def executable() -> str:
    """Return the path of the ffmpeg included in imageio-ffmpeg.

    imageio-ffmpeg falls back to the system's ``ffmpeg``, whose version and codecs are unknown. That
    one is used only if ``IMAGEIO_FFMPEG_EXE`` names it.

    Raises:
        MissingError: If imageio-ffmpeg includes none for this machine.
    """
    try:
        exe = str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        exe = ""
    package = Path(imageio_ffmpeg.__file__).resolve().parent
    if not exe or not (os.environ.get(_OWN_EXE) or package in Path(exe).resolve().parents):
        raise MissingError(
            "imageio-ffmpeg brings no ffmpeg for this machine;"
            f" install one and name it in {_OWN_EXE}"
        )
    return exe


def local(path: Path) -> str:
    """Return a path as an ffmpeg URL, so that a colon in it is not read as a protocol."""
    return f"file:{path}"


def source_args(path: Path) -> list[str]:
    """Return ffmpeg's options to read a film, and to open no other file or address.

    Without the whitelists, a playlist or script with the name of a film could open others.
    """
    return ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-i", local(path)]


class Ffmpeg:
    """A running ffmpeg process; a context manager that kills it at the end.

    A thread reads its standard error, so that it never blocks. It runs in its own process group:
    Ctrl-C reaches Python only, which then stops ffmpeg.

    Attributes:
        lines: The last lines of its standard error.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        writes: bool = False,
        reads: bool = False,
        on_line: Callable[[str], object] = lambda line: False,
        level: str = "warning",
    ) -> None:
        """Start the process.

        Args:
            args: The options after the global ones.
            writes: Connect its standard input to a pipe, ``stdin``.
            reads: Connect its standard output to a pipe, ``stdout``.
            on_line: Called in a thread with each line of standard error; lines for which it returns
                ``True`` are not added to ``lines``.
            level: ffmpeg's log level.

        Raises:
            MissingError: If ffmpeg is missing or cannot be started.
        """
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._on_line = on_line
        words = [executable(), "-hide_banner", "-nostats", "-loglevel", f"level+{level}"]
        try:
            self._process = subprocess.Popen(
                [*words, *([] if writes else ["-nostdin"]), *args],
                stdin=subprocess.PIPE if writes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=None if _WINDOWS else 0,
                creationflags=_NEW_GROUP if _WINDOWS else 0,
            )
        except OSError as error:
            raise MissingError(f"cannot start {words[0]}: {reason_of(error)}") from error
        self._listener = threading.Thread(target=self._listen, name="sod-ffmpeg", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe to its standard input."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe from its standard output."""
        assert self._process.stdout is not None
        return self._process.stdout

    def finish(self) -> int:
        """Close its standard input, wait for it to exit and return its exit status."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        code = self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return code

    def kill(self) -> None:
        """Kill it; ``finish`` or ``stop`` must follow."""
        with suppress(OSError):
            self._process.kill()

    def stop(self) -> None:
        """Kill it if it is still running, and release it."""
        self.kill()
        self.finish()

    def reason(self) -> str:
        """Return why it failed: its :func:`error_line`, or the signal that ended it."""
        code = self._process.poll() or 0
        if code < 0:
            with suppress(ValueError):
                return f"ffmpeg was ended by {signal.Signals(-code).name}"
        return error_line(list(self.lines)) or f"ffmpeg ended with status {code}"

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            if not self._on_line(line):
                self.lines.append(line)


def error_line(lines: Sequence[str]) -> str:
    """Return ffmpeg's last error line, without prefixes; empty if there is none.

    Lines that only repeat that something failed are used if there are no others.
    """
    errors = [_plain(line) for line in lines if "[error]" in line or "[fatal]" in line]
    specific = [line for line in errors if line and not _NOISE.match(line)]
    chosen = (specific or list(filter(None, errors)) or [""])[-1]
    return chosen.rpartition(": ")[2] if chosen.endswith(_SYSTEM) else chosen


def run(args: Sequence[str]) -> Ffmpeg | None:
    """Run ffmpeg until it exits; return the process if it failed, else ``None``."""
    with Ffmpeg(args) as process:
        return process if process.finish() else None


def description(path: Path) -> list[str]:
    """Return the lines that ffmpeg prints about a film or sound file without decoding it."""
    said: list[str] = []
    with Ffmpeg(source_args(path), on_line=said.append, level="info") as process:
        process.finish()
    return [line.removeprefix("[info] ") for line in said]


def _plain(line: str) -> str:
    return re.sub(r"^\[(error|fatal|warning|info)\] ", "", _COMPONENT.sub("", line)).strip()
