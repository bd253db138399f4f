"""A film as a folder of PNG frames, which appears whole."""

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
    """Return the name of a frame's file: ``00000.png`` is the first."""
    return f"{index:05d}{_SUFFIX}"


class FrameFolder:
    """Writes frames as PNG files; a context manager like ``FilmWriter``.

    They gather in a hidden folder beside the target, which takes the target's name at the end. If
    the target exists, the frames move into it and replace those of an earlier run. An interrupted
    run leaves what was done as ``NAME.partial``, any other failure nothing.

    Attributes:
        frames: How many were written.
        partial: Where interrupted frames were kept, or ``None``.
        damage: Always ``None``.
    """

    def __init__(self, target: Path, *, rate: Fraction, compress: int | None = None) -> None:
        """Nothing is touched before the ``with`` block.

        Args:
            target: The folder.
            rate: Frames per second, for ``seconds``.
            compress: As of ``encode_picture``.
        """
        self._target, self._rate, self._compress = target, rate, compress
        self._stack = ExitStack()
        self.frames = 0
        self.partial: Path | None = None
        self.damage: str | None = None

    @property
    def seconds(self) -> float:
        """How long the frames last so far."""
        return float(self.frames / self._rate)

    def __enter__(self) -> Self:
        """Make the hidden folder.

        Raises:
            SinkError: If that fails.
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
        """Append a frame; a PNG has no place for its time.

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
        """Put the folder in place, or keep or remove what there is of it.

        Raises:
            SinkError: If it cannot be put in place.
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
            for index in reversed(range(self.frames)):  # the first one says that all are there
                (self._folder / frame_name(index)).replace(target / frame_name(index))
        except OSError as error:
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> SinkError:
        return SinkError(f"cannot write {display_name(self._target)}: {reason_of(error)}")


def _drop_rest(folder: Path, first: int) -> None:
    """Remove the frames from ``first`` on that an earlier, longer run left."""
    while (left := folder / frame_name(first)).is_file():
        left.unlink()
        first += 1
