"""The entries of models.toml: networks, recipes, weights, data sets, archives and maps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from sodcli.errors import RegistryError
from sodcli.tables import Pattern, Range

DEFAULT_MODEL: Final = "lite"  # of every command and of sodcli.load()

Count = Annotated[int, Range(least=1)]
OptionalCount = Annotated[int | None, Range(least=1)]
Address = Annotated[str | None, Pattern(r"https://[^\s/]\S*", "be an https address")]
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
_NO_LETTER_OR_DIGIT: Final = re.compile(r"[\W_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HighRes:
    """A second pass over large pictures at their own aspect ratio, blended in for detail.

    Attributes:
        short_side: Larger pictures are shrunk until their shorter side has this many pixels.
        above: Pictures whose shorter side is then at most this many pixels get one pass only. The
            value applies to the model's ``input_hw`` and scales with the training size of the
            weights.
        multiple: Both sides are rounded to multiples of this number.
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
        input_hw: Input height and width in pixels in the published protocol.
        clip_len: Frames per forward pass; 1 for an image model.
        frame_gap: Distance in the film between neighbouring frames of a clip, in the published
            test.
        short_film: How the published test pads a film with too few frames: ``mirror`` (frames in
            reverse order) or ``hold`` (the last frame).
        task: ``saliency``; ``pseudo-label`` for a network that also takes the labels and flows of
            the labelled frames before and after (``sodcli.models.fgplg``); or ``flow``
            (``sodcli.models.raft``).
        mean: Mean of the input normalisation, RGB, for values in ``[0, 1]``.
        std: Standard deviation of the input normalisation, RGB.
        weights: Name of the default entry under ``[weights]``, if there is one.
        recipe: Name of the default entry under ``[recipes]``, if there is one.
        layout: Module of ``sodcli.weights.layouts`` that maps the published key names.
        minmax: Whether the published test protocol min-max normalises every map to ``[0, 1]``.
        resize: How the published test resizes a picture to ``input_hw``: ``bilinear`` without
            antialiasing, or ``pillow`` (bilinear with antialiasing).
        restore: How the published test resizes a map to the picture's size: ``bilinear``,
            ``corners`` (bilinear with aligned corners) or ``nearest``.
        high_res: Second pass over large pictures; None if the network does not support it.
        context: Weight of a second pass at half size in the mean logits of stills (see
            :func:`sodcli.imaging.tensors.with_context`); 0 for a single pass.
        rounding: How the published test rounds a map to grey levels: ``nearest`` or ``down``.
        license: Licence of the published code.
        paper: Paper that describes the network.
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
    context: Annotated[float, Range(least=0, most=1)] = 0.0


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
        model: Entry under ``[models]`` that the weights belong to.
        file: Published file name, or the file name inside the package if ``builtin``; ``None`` if
            unknown.
        trained_on: Names of the training data.
        license: Licence of the weights.
        terms: Terms of the training data, if they apply to users of the weights.
        page: Web page with the download link.
        mirrors: Direct download addresses, tried in turn: ``https://...`` or ``gdrive:ID``.
        by_hand: Instructions for a manual download, if no automatic one is possible.
        size: Size in bytes, if known.
        sha256: SHA-256 digest of the file, if known.
        md5: MD5 digest of the file, if only this one is published.
        args: Keyword arguments for the model's ``build`` that these weights need.
        input_size: Side in pixels of the training input, if it differs from the model's.
        partial: Whether the file holds the backbone only, for use with ``train --init``.
        builtin: Whether the file is included in the package.
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
        title: Full name.
        paper: Paper that describes the set.
        page: Web page with the download link.
        mirrors: Direct download addresses of an archive with this set only, tried in turn.
        archive: Entry under ``[archives]`` that contains this set among others.
        part: ``test`` for a benchmark, ``train`` for training.
        pictures: Number of published pictures, or annotated frames, with ground truth.
        sequences: Number of published sequences of a film set.
        split: Names of the test sequences, if the folder also holds others.
        folders: Alternative names of the set's folder.
        images: Subfolders of pictures, in order of preference.
        masks: Subfolders of ground truth, in order of preference.
        terms: Licence and terms, if stated.
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
        """Return True if a folder ``name`` is this set; only letters and digits count, not case.

        Of a path, such as ``old/DAVIS``, only the last part is compared.
        """
        own = name.rpartition("/")[2]
        return plain_name(own) in map(plain_name, (self.name, *self.folders))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSpec:
    """One entry under ``[archives]``: a download that holds several data sets.

    Attributes:
        name: Key of the entry, as typed after ``sod fetch``.
        title: Description of the content.
        page: Web page with the download link.
        mirrors: Direct download addresses, tried in turn.
        size: Size in bytes, if known.
        sha256: SHA-256 digest of the file, if known.
        terms: Licence and terms, if stated.
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
        model: Entry under ``[models]`` that made the maps.
        dataset: Entry under ``[datasets]`` that the maps belong to; ``None`` for several sets.
        about: Description, if ``dataset`` is not sufficient.
        page: Web page with the download link.
        mirrors: Direct download addresses, tried in turn.
        size: Size in bytes, if known.
        sha256: SHA-256 digest of the file, if known.
        license: Licence of the maps.
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
        """Description of the maps."""
        return self.about or f"maps on {self.dataset}"


def plain_name(name: str) -> str:
    """Return the letters and digits of ``name``, of any script, in lower case."""
    return _NO_LETTER_OR_DIGIT.sub("", name.casefold())
