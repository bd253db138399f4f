"""The second, high-resolution pass over large pictures (InSPyReNet, section 3.3)."""

import math
from dataclasses import dataclass
from typing import Final

from sodcli.registry import ModelSpec

_LONGEST: Final = 3.0  # largest number of pixels in units of short_side ** 2; bounds the memory


@dataclass(frozen=True, slots=True)
class LargePass:
    """The size of the second pass.

    Attributes:
        short_side: Pictures are scaled down to this shorter side in pixels; never scaled up.
        above: There is a second pass only if its shorter side exceeds this many pixels.
        multiple: Both sides are rounded to the nearest multiple of this, ties to the even one.
    """

    short_side: int
    above: int
    multiple: int

    def size_hw(self, picture_hw: tuple[int, int]) -> tuple[int, int] | None:
        """Return the height and width of the second pass, or ``None`` if there is none.

        Panoramas are scaled down further, to at most ``3 * short_side ** 2`` pixels. (The published
        program runs out of memory on them.)
        """
        most = _LONGEST * self.short_side**2
        scale = min(1.0, self.short_side / min(picture_hw), math.sqrt(most / math.prod(picture_hw)))
        height, width = (round(side * scale / self.multiple) * self.multiple for side in picture_hw)
        return (height, width) if min(height, width) > self.above else None


@dataclass(frozen=True, slots=True)
class Sizes:
    """The input sizes of a network: of the first pass, and of the second pass if it has one."""

    base_hw: tuple[int, int]
    large: LargePass | None

    @classmethod
    def of(cls, spec: ModelSpec, *, size: int | None, trained: int | None) -> "Sizes":
        """Choose the sizes.

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
            return cls(base_hw if size is None else (size, size), None)
        above = rule.above * min(base_hw) // min(spec.input_hw)
        if size is not None and size <= above:
            return cls((size, size), None)
        return cls(base_hw, LargePass(size or rule.short_side, above, rule.multiple))
