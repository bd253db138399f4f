"""The second, high-resolution pass over large pictures (InSPyReNet, section 3.3)."""

import math
from dataclasses import replace
from typing import Final

from sodcli.registry import HighRes, ModelSpec

SMALLEST_SIDE: Final = 32  # of a network's input, in pixels
_MOST_PIXELS: Final = 3.0  # in units of short_side ** 2; bounds the memory


def large_size(rule: HighRes, picture_hw: tuple[int, int]) -> tuple[int, int] | None:
    """Return the height and width of the second pass in pixels, or ``None`` if there is none.

    Pictures are never scaled up. Panoramas are scaled down further, to at most
    ``3 * short_side ** 2`` pixels. (The published program runs out of memory on them.) Ties in
    rounding go to the even multiple.
    """
    most = _MOST_PIXELS * rule.short_side**2
    scale = min(1.0, rule.short_side / min(picture_hw), math.sqrt(most / math.prod(picture_hw)))
    height, width = (round(side * scale / rule.multiple) * rule.multiple for side in picture_hw)
    return (height, width) if min(height, width) > rule.above else None


def input_sizes(
    spec: ModelSpec, *, size: int | None, trained: int | None
) -> tuple[tuple[int, int], HighRes | None]:
    """Return the input size of a network, and the rule of its second pass if it has one.

    Args:
        spec: The model.
        size: The side in pixels that the user asks for; ``None`` for the default. For a network
            with a second pass, a size above ``high_res.above`` limits the shorter side of that
            pass; a smaller size sets the first pass and turns the second one off.
        trained: Side in pixels that the weights were trained at, if known.
    """
    base_hw = spec.input_hw if trained is None else (trained, trained)
    rule = spec.high_res
    if rule is None:
        return base_hw if size is None else (size, size), None
    above = rule.above * min(base_hw) // min(spec.input_hw)
    if size is not None and size <= above:
        return (size, size), None
    return base_hw, replace(rule, short_side=size or rule.short_side, above=above)
