"""Preparation of pictures and maps as in the papers' test programs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from sodcli.frame import Frame
from sodcli.imaging.tensors import fit_map, sigmoid, to_input
from sodcli.registry import ModelSpec
from sodcli.runtime.predictor import Predictor

Map = NDArray[np.float32]


class PublishedPredictor(Predictor):
    """A predictor with the paper's input resizing, min-max normalisation and output resizing.

    ``sod infer`` differs: it uses area averaging to shrink large pictures and never normalises a
    map, so that scenes without salient objects stay black. The published settings are in
    models.toml (``resize``, ``minmax``, ``restore``).

    Args:
        inner: The loaded network.
    """

    def __init__(self, inner: Predictor) -> None:
        super().__init__(inner.spec, inner.origin, inner.backend, weights=inner.weights)
        self.size_hw, self.large = inner.size_hw, inner.large

    def prepare(self, frame: Frame, size_hw: tuple[int, int] | None = None) -> Map:
        """Return the network's input for ``frame``: ``(3, h, w)`` float32, normalised."""
        rgb, spec, size_hw = frame.rgb, self.spec, size_hw or self.size_hw
        if spec.resize == "pillow":
            picture = Image.fromarray(rgb).resize(size_hw[::-1], Image.Resampling.BILINEAR)
            rgb = np.asarray(picture)
        return to_input(rgb, size_hw, spec.mean, spec.std)

    def predict(self, frames: Sequence[Frame], *, still: bool = True) -> list[Frame]:
        """Return ``frames`` with their maps; for a clip model each frame is repeated as a clip."""
        return [
            frame.with_saliency(published_map(answer, frame.size_hw, self.spec))
            for frame, answer in zip(frames, self.logits(frames, still=still), strict=True)
        ]


def published_map(logits: Map, size_hw: tuple[int, int], spec: ModelSpec) -> Map:
    """Return the map that the published test program makes from the network's output.

    Args:
        logits: ``(h, w)`` float32.
        size_hw: Height and width of the map.
        spec: Entry with the published ``minmax`` and ``restore``.

    Returns:
        ``(H, W)`` float32 in [0, 1].
    """
    probability = sigmoid(logits)
    if spec.minmax:
        low, high = probability.min(), probability.max()
        probability = (probability - low) / (high - low + np.float32(1e-8))
    return _RESTORE[spec.restore](probability, size_hw)


def _with_corners(probability: Map, size_hw: tuple[int, int]) -> Map:
    maps = torch.from_numpy(probability)[None, None]
    resized: Map = F.interpolate(maps, size_hw, mode="bilinear", align_corners=True)[0, 0].numpy()
    return resized.clip(0, 1)


def _nearest(probability: Map, size_hw: tuple[int, int]) -> Map:
    resized = Image.fromarray(probability).resize(size_hw[::-1], Image.Resampling.NEAREST)
    return np.asarray(resized, np.float32)


_RESTORE: Final[Mapping[str, Callable[[Map, tuple[int, int]], Map]]] = {
    "bilinear": fit_map,
    "corners": _with_corners,
    "nearest": _nearest,
}
