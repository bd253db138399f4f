"""Labels and flows around an unlabelled frame (RCRNet, arXiv 1908.04051, section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sodcli.imaging.flow import FlowEstimator, flow_between, resize_flow, warp
from sodcli.imaging.tensors import IMAGENET_MEAN, IMAGENET_STD, fit_map, to_input

PACKED: Final = (3, 1, 1, 2, 2)  # channels of FGPLG's input: frame, two labels, two flows
Map = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A frame ``(H, W, 3)`` uint8 RGB and its label ``(H, W)`` float32 in [0, 1]."""

    rgb: Pixels
    label: Map


@dataclass(frozen=True, slots=True)
class Evidence:
    """A frame, the labelled frames before and after it, and the flows into them.

    Attributes:
        target: ``(H, W, 3)`` uint8 RGB.
        left: The earlier labelled frame, of the same size.
        right: The later labelled frame, of the same size.
        flow_left: ``(H, W, 2)`` float32 in pixels, x first, from the target into ``left``.
        flow_right: The same into ``right``.
    """

    target: Pixels
    left: Labelled
    right: Labelled
    flow_left: Map
    flow_right: Map


def find_evidence(
    target: Pixels, left: Labelled, right: Labelled, estimator: FlowEstimator
) -> Evidence:
    """Return the evidence for ``target``, with the flows from ``estimator``."""
    flows = [flow_between(estimator, target, side.rgb) for side in (left, right)]
    return Evidence(target, left, right, *flows)


def mean_of_warped(evidence: Evidence) -> Map:
    """Return the mean of the two warped labels, ``(H, W)``: the estimate without a network."""
    left = warp(evidence.left.label, evidence.flow_left)
    right = warp(evidence.right.label, evidence.flow_right)
    return np.asarray((left + right) / 2, np.float32)


def pack(
    evidence: Evidence,
    size_hw: tuple[int, int],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Map:
    """Return the input of the network FGPLG, ``(9, h, w)`` float32.

    In this order: the frame, normalised; the two labels; the two flows, in pixels of ``size_hw``.
    """
    picture = to_input(evidence.target, size_hw, mean, std)
    labels = [fit_map(side.label, size_hw)[None] for side in (evidence.left, evidence.right)]
    flows = [
        resize_flow(flow, size_hw).transpose(2, 0, 1)
        for flow in (evidence.flow_left, evidence.flow_right)
    ]
    return np.concatenate([picture, *labels, *flows])
