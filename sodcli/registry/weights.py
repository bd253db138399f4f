"""What models.toml says about a file of weights."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sodcli.errors import RegistryError

_PATTERNS: Final = {
    "sha256": (re.compile(r"[0-9a-f]{64}"), "64 lower-case hex digits"),
    "md5": (re.compile(r"[0-9a-f]{32}"), "32 lower-case hex digits"),
    "page": (re.compile(r"https://[^\s/]+/?[^\s]*"), "an https address"),
}
_MIRROR: Final = re.compile(r"https://[^\s/]+/[^\s]+|gdrive:[\w-]{20,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """One entry under ``[weights]``.

    Attributes:
        name: Key of the entry, as typed after ``--weights``.
        model: The entry under ``[models]`` that it fits.
        file: File name that the authors gave it, or the one inside the package when ``builtin``;
            ``None`` where it is not known.
        trained_on: Names of the training data.
        license: Licence of the weights.
        terms: Terms of the training data, where they bind who uses the weights.
        page: Where a person finds the file.
        mirrors: Addresses of the very file, tried in turn: ``https://...`` or ``gdrive:ID``.
        by_hand: How a person gets it, where no program can.
        size: Size in bytes, if known.
        sha256: Digest of the file, if known.
        md5: The same, where only this one is published.
        args: Keyword arguments for the model's ``build`` that these weights need.
        input_size: Side in pixels that they were trained at, where it is not the model's.
        partial: Whether it holds the backbone only; then it serves ``train --init`` alone.
        builtin: Whether the file ships inside the package.
    """

    name: str
    model: str
    trained_on: str
    license: str
    file: str | None = None
    terms: str | None = None
    page: str | None = None
    mirrors: tuple[str, ...] = ()
    by_hand: str | None = None
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    input_size: int | None = None
    partial: bool = False
    builtin: bool = False

    def __post_init__(self) -> None:
        for key, (pattern, form) in _PATTERNS.items():
            value = getattr(self, key)
            if value is not None and not pattern.fullmatch(value):
                raise RegistryError(f"{key} must be {form}, not {value!r}")
        for key in ("size", "input_size"):
            if (number := getattr(self, key)) is not None and number < 1:
                raise RegistryError(f"{key} must be at least 1, not {number}")
        for mirror in self.mirrors:
            if not _MIRROR.fullmatch(mirror):
                raise RegistryError(f"mirrors must be https or gdrive addresses, not {mirror!r}")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name):
            raise RegistryError("its name, which names a file, must be of a-z, 0-9, '.' and '-'")
        if self.file is not None and Path(self.file).name != self.file:
            raise RegistryError(f"file must be a bare name, not {self.file!r}")
        if self.builtin and self.file is None:
            raise RegistryError("a file inside the package needs its name")
