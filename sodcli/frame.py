"""The one value that travels down the pipeline."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and, once the model has run, its saliency.

    Attributes:
        rgb: ``(H, W, 3)`` uint8, RGB. Conversion from BGR happens in ``io`` only.
        index: Position in the source, from 0.
        name: Stem used for output files.
        saliency: ``(H, W)`` float32 in ``[0, 1]``, or ``None`` before inference.
        origin: File the frame came from; ``None`` for a camera or a pipe.
        alpha: ``(H, W)`` uint8, the picture's own transparency; ``None`` when it has none.
        icc: The colour profile that ``rgb`` is to be read with; ``None`` means sRGB.
        seconds: When a frame of a film of variable rate is shown, from the start; else ``None``.
    """

    rgb: NDArray[np.uint8]
    index: int
    name: str
    saliency: NDArray[np.float32] | None = None
    origin: Path | None = None
    alpha: NDArray[np.uint8] | None = None
    icc: bytes | None = None
    seconds: float | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    def with_saliency(self, saliency: NDArray[np.float32]) -> "Frame":
        """Return a copy carrying ``saliency``; what was transparent is never salient.

        Raises:
            ValueError: If its height and width differ from the picture's.
        """
        if saliency.shape != self.size_hw:
            raise ValueError(f"saliency is {saliency.shape}, the picture is {self.size_hw}")
        if self.alpha is not None:
            saliency = saliency * self.alpha.astype(np.float32) / np.float32(255)
        return replace(self, saliency=saliency)
