"""Write a film as pictures: a folder of PNG files, or one after another to standard output."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import SinkError
from sodcli.files import temporary_folder
from sodcli.io.pictures.encode import encode_picture
from sodcli.io.pipe import write_stdout
from sodcli.text import display_name, reason_of

_SUFFIX: Final = ".png"


def frame_name(index: int) -> str:
    """Return the file name of a frame: ``00000.png`` for index 0."""
    return f"{index:05d}{_SUFFIX}"


class FrameFolder:
    """Writes frames as pictures; a context manager like ``FilmWriter``.

    On standard output each is written at once. For a folder, they are written to a hidden one
    beside it, which is renamed at the end. If the folder exists, the frames are moved into it and
    replace those of an earlier run.

    An interrupted run keeps its frames as ``NAME.partial``; any other failure leaves nothing.

    Attributes:
        frames: Number of frames written.
        partial: The folder with the frames of an interrupted run, or ``None``.
        damage: Always ``None``.
    """

    def __init__(
        self,
        target: Path | None,
        *,
        rate: Fraction,
        compress: int | None = None,
        quality: int | None = None,
        piped: str = _SUFFIX,
    ) -> None:
        """Store the arguments; nothing is written before the ``with`` block.

        Args:
            target: The folder; ``None`` for standard output.
            rate: Frames per second, used for ``seconds``.
            compress: See :func:`encode_picture`.
            quality: See :func:`encode_picture`.
            piped: The format on standard output, as a suffix.
        """
        self._target, self._rate = target, rate
        self._compress, self._quality = compress, quality
        self._suffix = _SUFFIX if target else piped
        self._stack = ExitStack()
        self.frames = 0
        self.partial: Path | None = None
        self.damage: str | None = None

    @property
    def seconds(self) -> float:
        """Duration of the frames written so far, in seconds."""
        return float(self.frames / self._rate)

    def __enter__(self) -> Self:
        """Create the hidden folder.

        Raises:
            SinkError: If it cannot be created.
        """
        if self._target is None:
            return self
        try:
            self._folder = (
                self._stack.enter_context(temporary_folder(self._target.parent, "film")) / "frames"
            )
            self._folder.mkdir()
        except OSError as error:
            raise self._cannot(error) from error
        return self

    def write(self, pixels: NDArray[np.uint8], seconds: float | None = None) -> None:
        """Append a frame; its time is ignored, as PNG does not store one.

        Args:
            pixels: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA, uint8.
            seconds: Not used.

        Raises:
            SinkError: If it cannot be written.
        """
        data = encode_picture(pixels, self._suffix, compress=self._compress, quality=self._quality)
        if self._target is None:
            write_stdout(data)
        else:
            try:
                (self._folder / frame_name(self.frames)).write_bytes(data)
            except OSError as error:
                raise self._cannot(error) from error
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Move the frames to the target; after an error, keep or remove them.

        Raises:
            SinkError: If they cannot be moved.
        """
        with self._stack:
            if self._target is None:
                return
            if kind is None:
                self._place(self._target)
            elif issubclass(kind, KeyboardInterrupt) and self.frames:
                partial = self._target.with_name(f"{self._target.name}.partial")
                self._place(partial)
                self.partial = partial

    def _place(self, target: Path) -> None:
        try:
            if not target.exists():
                self._folder.rename(target)
                return
            _remove_frames_from(target, self.frames)
            for index in reversed(range(self.frames)):  # frame 0 marks the set as complete
                (self._folder / frame_name(index)).replace(target / frame_name(index))
        except OSError as error:
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> SinkError:
        return SinkError(f"cannot write {display_name(str(self._target))}: {reason_of(error)}")


def _remove_frames_from(folder: Path, first: int) -> None:
    """Remove the frames from index ``first`` on, left by an earlier, longer run."""
    while (left := folder / frame_name(first)).is_file():
        left.unlink()
        first += 1
