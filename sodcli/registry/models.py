"""What models.toml says about a network and about a training run."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sodcli.errors import RegistryError

_MODULE: Final = re.compile(r"[a-z][a-z0-9_]*")
_CHOICES: Final = {
    "task": ("saliency", "pseudo-label", "flow"),
    "resize": ("bilinear", "pillow"),
    "restore": ("bilinear", "corners", "nearest"),
    "rounding": ("nearest", "down"),
    "short_film": ("mirror", "hold"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HighRes:
    """A second pass, over large pictures at their own shape, whose detail is blended in.

    Attributes:
        short_side: A larger picture is shrunk until its shorter side has this many pixels.
        above: A picture whose shorter side then has no more than this is seen once only. It counts
            for the model's ``input_hw`` and grows with the size that weights were trained at.
        multiple: Both sides are rounded to multiples of it.
    """

    short_side: int
    above: int
    multiple: int

    def __post_init__(self) -> None:
        if min(self.short_side, self.above, self.multiple) < 1:
            raise RegistryError("high_res must hold pixels above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One entry under ``[models]``.

    Attributes:
        name: Key of the entry, as typed after ``--model``.
        arch: Module of ``sodcli.models`` that builds it.
        args: Keyword arguments for the module's ``build``.
        input_hw: Height and width in pixels of the published protocol.
        clip_len: Frames per forward pass; 1 for an image model.
        frame_gap: Frames of a film from one frame of a clip to the next, in the published test.
        short_film: How that test fills a clip of a film with too few frames: ``mirror``, forth and
            back, or ``hold``, with the last frame.
        task: ``saliency``; ``pseudo-label`` for a network that also takes the labels and flows of
            two frames around (``sodcli.models.fgplg``); or ``flow`` (``sodcli.models.raft``).
        mean: Mean of the input normalisation, RGB, of values in ``[0, 1]``.
        std: Standard deviation of the same.
        weights: Name of the default entry under ``[weights]``, if there is one.
        recipe: Name of the default entry under ``[recipes]``, if there is one.
        layout: Module of ``sodcli.weights.layouts`` that knows the published key names.
        minmax: Whether the published test protocol stretches every map to ``[0, 1]``.
        resize: How that protocol brings a picture to ``input_hw``: ``bilinear``, from the four
            nearest pixels, or ``pillow``, whose bilinear filter widens where a picture shrinks.
        restore: How it brings a map to the picture's size: ``bilinear``, ``corners`` (bilinear
            with the corner pixels on each other) or ``nearest``.
        high_res: The second pass that large pictures get, if the network can blend two.
        rounding: How it makes grey levels of a map: ``nearest``, or ``down``, cut off.
        license: Licence of the published code.
        paper: Where the network comes from.
    """

    name: str
    arch: str
    input_hw: tuple[int, int]
    layout: str
    license: str
    paper: str
    args: Mapping[str, Any] = field(default_factory=dict)
    clip_len: int = 1
    frame_gap: int = 1
    short_film: str = "mirror"
    task: str = "saliency"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    weights: str | None = None
    recipe: str | None = None
    minmax: bool = False
    resize: str = "bilinear"
    restore: str = "bilinear"
    rounding: str = "nearest"
    high_res: HighRes | None = None

    def __post_init__(self) -> None:
        table: Any = self.high_res  # as TOML gives it
        if isinstance(table, Mapping):
            object.__setattr__(self, "high_res", HighRes(**table))
        for key in ("arch", "layout"):
            if not _MODULE.fullmatch(getattr(self, key)):
                raise RegistryError(f"bad {key} {getattr(self, key)!r}")
        for key, known in _CHOICES.items():
            if getattr(self, key) not in known:
                raise RegistryError(
                    f"{key} must be one of {', '.join(known)}, not {getattr(self, key)!r}"
                )
        self._check_ranges()

    def _check_ranges(self) -> None:
        if len(self.input_hw) != 2 or min(self.input_hw) < 1:
            raise RegistryError(f"input_hw must be two sides in pixels, not {self.input_hw}")
        for key in ("clip_len", "frame_gap"):
            if getattr(self, key) < 1:
                raise RegistryError(f"{key} must be at least 1, not {getattr(self, key)}")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise RegistryError("mean and std must have three values")
        if not all(map(math.isfinite, self.mean)):
            raise RegistryError(f"mean must be finite, not {list(self.mean)}")
        if not all(0 < value < math.inf for value in self.std):
            raise RegistryError(f"std must be above 0, not {list(self.std)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSpec:
    """One entry under ``[recipes]``: the settings of a training run, checked by ``training``."""

    name: str
    table: Mapping[str, Any]
