"""The data type that the stages of the pipeline exchange."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture and, after inference, its saliency map.

    Attributes:
        rgb: ``(H, W, 3)`` uint8, RGB.
        index: Position in the source, from 0.
        name: Stem used for output files.
        saliency: ``(H, W)`` float32 in ``[0, 1]``, or ``None`` before inference.
        origin: File the frame came from; ``None`` for a camera or a pipe.
        alpha: ``(H, W)`` uint8, the picture's own alpha channel; ``None`` if it has none.
        icc: ICC colour profile of ``rgb``; ``None`` means sRGB.
        seconds: Presentation time in seconds from the start, for films with a variable frame rate;
            otherwise ``None``.
        dpi: Horizontal and vertical resolution in pixels per inch; ``None`` if unknown.
        pages: Number of pages in the file of the picture, which is the first.
        planes: The picture as luma and chroma, see :mod:`sodcli.imaging.planes`, of films that are
            processed so; ``rgb`` is then a smaller copy for the network.
    """

    rgb: NDArray[np.uint8]
    index: int
    name: str
    saliency: NDArray[np.float32] | None = None
    origin: Path | None = None
    alpha: NDArray[np.uint8] | None = None
    icc: bytes | None = None
    seconds: float | None = None
    dpi: tuple[float, float] | None = None
    pages: int = 1
    planes: NDArray[np.uint8] | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        if self.planes is not None:
            return self.planes.shape[0] * 2 // 3, self.planes.shape[1]
        return self.rgb.shape[0], self.rgb.shape[1]

    def with_saliency(self, saliency: NDArray[np.float32]) -> "Frame":
        """Return a copy with ``saliency``, multiplied by the picture's alpha if there is one.

        Raises:
            ValueError: If its height and width differ from the picture's.
        """
        if saliency.shape != self.size_hw:
            raise ValueError(f"saliency is {saliency.shape}, the picture is {self.size_hw}")
        if self.alpha is not None:
            saliency = saliency * self.alpha.astype(np.float32) / np.float32(255)
        return replace(self, saliency=saliency)
