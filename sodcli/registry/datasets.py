"""What models.toml says about a benchmark data set."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal, get_args

from sodcli.errors import RegistryError

Kind = Literal["image", "film"]

_HTTPS: Final = re.compile(r"https://[^\s]+")
_NO_LETTER: Final = re.compile(r"[^0-9a-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """One entry under ``[datasets]``.

    Attributes:
        name: Key of the entry, as typed after ``--sets``.
        kind: ``image``, or ``film`` for sequences of frames.
        title: Its name in full.
        paper: Where it was published.
        page: Where a person finds it.
        url: Address of one plain file that holds it all, if there is one.
        pictures: Number of published pictures, or annotated frames, with ground truth.
        sequences: Number of published sequences of a film set.
        split: Names of the sequences that are tested, where the folder holds others as well.
        folders: Other names that its folder goes by.
        images: Folders of pictures inside it, the likeliest first.
        masks: Folders of ground truth inside it, the likeliest first.
        terms: Its licence and terms, as far as they are stated.
    """

    name: str
    kind: Kind
    title: str
    paper: str
    page: str | None = None
    url: str | None = None
    pictures: int | None = None
    sequences: int | None = None
    split: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    terms: str = "not stated with the data; see the paper"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise RegistryError(f"kind must be image or film, not {self.kind!r}")
        for address in (self.page, self.url):
            if address is not None and not _HTTPS.fullmatch(address):
                raise RegistryError(f"page and url must be https addresses, not {address!r}")
        for count in (self.pictures, self.sequences):
            if count is not None and count < 1:
                raise RegistryError(f"pictures and sequences must be at least 1, not {count}")
        for folder in (*self.images, *self.masks):
            if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
                raise RegistryError(f"a folder must lie inside the set, {folder!r} does not")

    def is_called(self, name: str) -> bool:
        """Say whether a folder ``name`` is this set; case, spaces, ``-`` and ``_`` aside.

        Of a set that goes by its place, such as ``old/DAVIS``, the last folder counts.
        """
        own = name.rpartition("/")[2]
        return plain_name(own) in map(plain_name, (self.name, *self.folders))


def plain_name(name: str) -> str:
    """Return the letters and digits of ``name``, in lower case."""
    return _NO_LETTER.sub("", name.casefold())
