"""When a picture is seen a second time, and how large (InSPyReNet, section 3.3)."""

import math
from dataclasses import dataclass
from typing import Final

from sodcli.registry import ModelSpec

_LONGEST: Final = 3.0  # a picture's pixels, in squares of its shorter side: bounds the memory


@dataclass(frozen=True, slots=True)
class LargePass:
    """The size of the second pass.

    Attributes:
        short_side: The shorter side is brought down to this many pixels, never up.
        above: With no more than this there is no second pass.
        multiple: Both sides are rounded to multiples of it, halves to the even one.
    """

    short_side: int
    above: int
    multiple: int

    def size_hw(self, picture_hw: tuple[int, int]) -> tuple[int, int] | None:
        """Return the height and width for a picture, or ``None`` if it is seen once only.

        Panoramas are shrunk further, until they have three times the pixels of the square over
        ``short_side``; the published program runs out of memory instead.
        """
        most = _LONGEST * self.short_side**2
        scale = min(1.0, self.short_side / min(picture_hw), math.sqrt(most / math.prod(picture_hw)))
        height, width = (round(side * scale / self.multiple) * self.multiple for side in picture_hw)
        return (height, width) if min(height, width) > self.above else None


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a network sees of a picture: all of it at one size, and large ones once more."""

    base_hw: tuple[int, int]
    large: LargePass | None

    @classmethod
    def of(cls, spec: ModelSpec, *, size: int | None, trained: int | None) -> "Sizes":
        """Choose the sizes.

        Args:
            spec: The model.
            size: What the user wants: the side of a square. For a network that blends, a size
                above ``high_res.above`` is the longest that the shorter side of the second pass may
                get; up to that, pictures are seen once, as everywhere else.
            trained: Side in pixels that the weights were trained at, if they say so.
        """
        base_hw = spec.input_hw if trained is None else (trained, trained)
        rule = spec.high_res
        if rule is None:
            return cls(base_hw if size is None else (size, size), None)
        above = rule.above * min(base_hw) // min(spec.input_hw)
        if size is not None and size <= above:
            return cls((size, size), None)
        return cls(base_hw, LargePass(size or rule.short_side, above, rule.multiple))
