"""Write a film as a folder of PNG frames."""

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
from sodcli.text import display_name, reason_of

_SUFFIX: Final = ".png"


def frame_name(index: int) -> str:
    """Return the file name of a frame: ``00000.png`` for index 0."""
    return f"{index:05d}{_SUFFIX}"


class FrameFolder:
    """Writes frames as PNG files; a context manager like ``FilmWriter``.

    The frames are written to a hidden folder beside the target, which is renamed to the target at
    the end. If the target exists, the frames are moved into it and replace those of an earlier run.
    An interrupted run keeps its frames as ``NAME.partial``; any other failure leaves nothing.

    Attributes:
        frames: Number of frames written.
        partial: The folder with the frames of an interrupted run, or ``None``.
        damage: Always ``None``.
    """

    def __init__(self, target: Path, *, rate: Fraction, compress: int | None = None) -> None:
        """Store the arguments; nothing is written before the ``with`` block.

        Args:
            target: The folder.
            rate: Frames per second, used for ``seconds``.
            compress: See :func:`encode_picture`.
        """
        self._target, self._rate, self._compress = target, rate, compress
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
        data = encode_picture(pixels, _SUFFIX, compress=self._compress)
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
            _drop_rest(target, self.frames)
            for index in reversed(range(self.frames)):  # frame 0 marks the set as complete
                (self._folder / frame_name(index)).replace(target / frame_name(index))
        except OSError as error:
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> SinkError:
        return SinkError(f"cannot write {display_name(self._target)}: {reason_of(error)}")


def _drop_rest(folder: Path, first: int) -> None:
    """Remove the frames from index ``first`` on, left by an earlier, longer run."""
    while (left := folder / frame_name(first)).is_file():
        left.unlink()
        first += 1
