"""The entries of models.toml: networks, training recipes, weights and data sets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from sodcli.errors import RegistryError
from sodcli.tables import Pattern, Range

DEFAULT_MODEL: Final = "lite"  # of every command and of sodcli.load()

Count = Annotated[int, Range(least=1)]
OptionalCount = Annotated[int | None, Range(least=1)]
Address = Annotated[str | None, Pattern(r"https://[^\s/]+/?[^\s]*", "be an https address")]
Mirrors = Annotated[
    tuple[str, ...],
    Pattern(r"https://[^\s/]+/[^\s]+|gdrive:[\w-]{20,}", "be https or gdrive addresses"),
]
Digest = Annotated[str | None, Pattern(r"[0-9a-f]{64}", "be 64 lower-case hex digits")]
Md5 = Annotated[str | None, Pattern(r"[0-9a-f]{32}", "be 32 lower-case hex digits")]
Module = Annotated[str, Pattern(r"[a-z][a-z0-9_]*", "be the name of a module")]
Folders = Annotated[
    tuple[str, ...],
    Pattern(r"(?!/)(?!(.*/)?\.\.(/|$)).+", "be folders inside the set"),
]

_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_NO_LETTER: Final = re.compile(r"[^0-9a-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HighRes:
    """A second pass, over large pictures at their own shape, whose detail is blended in.

    Attributes:
        short_side: A larger picture is shrunk until its shorter side has this many pixels.
        above: A picture whose shorter side then has no more than this is seen once only. It counts
            for the model's ``input_hw`` and grows with the size that weights were trained at.
        multiple: Both sides are rounded to multiples of it.
    """

    short_side: Count
    above: Count
    multiple: Count


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
    arch: Module
    input_hw: Annotated[tuple[int, int], Range(least=1)]
    layout: Module
    license: str
    paper: str
    args: Mapping[str, Any] = field(default_factory=dict)
    clip_len: Count = 1
    frame_gap: Count = 1
    short_film: Literal["mirror", "hold"] = "mirror"
    task: Literal["saliency", "pseudo-label", "flow"] = "saliency"
    mean: Annotated[tuple[float, float, float], Range()] = (0.485, 0.456, 0.406)
    std: Annotated[tuple[float, float, float], Range(above=0)] = (0.229, 0.224, 0.225)
    weights: str | None = None
    recipe: str | None = None
    minmax: bool = False
    resize: Literal["bilinear", "pillow"] = "bilinear"
    restore: Literal["bilinear", "corners", "nearest"] = "bilinear"
    rounding: Literal["nearest", "down"] = "nearest"
    high_res: HighRes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSpec:
    """One entry under ``[recipes]``: the settings of a training run, checked by ``training``."""

    name: str
    table: Mapping[str, Any]


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
    file: Annotated[str | None, Pattern(r"[^/\\]+", "be a bare name")] = None
    terms: str | None = None
    page: Address = None
    mirrors: Mirrors = ()
    by_hand: str | None = None
    size: OptionalCount = None
    sha256: Digest = None
    md5: Md5 = None
    args: Mapping[str, Any] = field(default_factory=dict)
    input_size: OptionalCount = None
    partial: bool = False
    builtin: bool = False

    def __post_init__(self) -> None:
        if not _FILE_NAME.fullmatch(self.name):
            raise RegistryError("its name, which names a file, must be of a-z, 0-9, '.' and '-'")
        if self.builtin and self.file is None:
            raise RegistryError("a file inside the package needs its name")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """One entry under ``[datasets]``.

    Attributes:
        name: Key of the entry, as typed after ``--sets``.
        kind: ``image``, or ``film`` for sequences of frames.
        title: Its name in full.
        paper: Where it was published.
        page: Where a person finds it.
        mirrors: Addresses of one archive that holds it alone, tried in turn.
        archive: The entry under ``[archives]`` that holds it among other sets.
        part: ``test`` for a benchmark, ``train`` for training.
        pictures: Number of published pictures, or annotated frames, with ground truth.
        sequences: Number of published sequences of a film set.
        split: Names of the sequences that are tested, where the folder holds others as well.
        folders: Other names that its folder goes by.
        images: Folders of pictures inside it, the likeliest first.
        masks: Folders of ground truth inside it, the likeliest first.
        terms: Its licence and terms, as far as they are stated.
    """

    name: str
    kind: Literal["image", "film"]
    title: str
    paper: str
    page: Address = None
    mirrors: Mirrors = ()
    archive: str | None = None
    part: Literal["test", "train"] = "test"
    pictures: OptionalCount = None
    sequences: OptionalCount = None
    split: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    images: Folders = ()
    masks: Folders = ()
    terms: str = "not stated with the data; see the paper"

    def is_called(self, name: str) -> bool:
        """Return whether a folder ``name`` is this set; case, spaces, ``-`` and ``_`` aside.

        Of a set that goes by its place, such as ``old/DAVIS``, the last folder counts.
        """
        own = name.rpartition("/")[2]
        return plain_name(own) in map(plain_name, (self.name, *self.folders))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSpec:
    """One entry under ``[archives]``: a download that holds several data sets.

    Attributes:
        name: Key of the entry, as typed after ``sod fetch``.
        title: What it holds.
        page: Where a person finds it.
        mirrors: Addresses of the very file, tried in turn.
        size: Size in bytes, if known.
        sha256: Digest of the file, if known.
        terms: Its licence and terms, as far as they are stated.
    """

    name: str
    title: str
    page: Address = None
    mirrors: Mirrors = ()
    size: OptionalCount = None
    sha256: Digest = None
    terms: str = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapsSpec:
    """One entry under ``[maps]``: saliency maps that the authors of a network publish.

    Attributes:
        name: Key of the entry, as typed after ``sod fetch``.
        model: The entry under ``[models]`` that made them.
        dataset: The entry under ``[datasets]`` that they belong to; ``None`` for several sets.
        about: What they are, where ``dataset`` does not say it.
        page: Where a person finds them.
        mirrors: Addresses of the very file, tried in turn.
        size: Size in bytes, if known.
        sha256: Digest of the file, if known.
        license: Their licence.
    """

    name: str
    model: str
    license: str
    dataset: str | None = None
    about: str = ""
    page: Address = None
    mirrors: Mirrors = ()
    size: OptionalCount = None
    sha256: Digest = None

    @property
    def title(self) -> str:
        """What they are."""
        return self.about or f"maps on {self.dataset}"


def plain_name(name: str) -> str:
    """Return the letters and digits of ``name``, in lower case."""
    return _NO_LETTER.sub("", name.casefold())
