"""A benchmark set as it lies on the disk: pictures, or sequences of frames, with ground truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sodcli.data.heads import picture_size
from sodcli.data.layouts import subfolders, twin_folders
from sodcli.data.pairs import Pair, PairList, pairs_across
from sodcli.errors import SourceError
from sodcli.files import own_name
from sodcli.registry import DatasetSpec


@dataclass(frozen=True, slots=True)
class Clip:
    """Pictures that belong together, in natural order.

    Attributes:
        name: Its folder within the set, such as ``blackswan``; nothing in a flat set.
        pairs: Frames, or pictures, each with its ground truth.
    """

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """A data set that was found.

    Attributes:
        name: Name of its folder, or of the link to it; where several sets share that, the path
            from the folder that was searched, such as ``DUTS/test``.
        folder: Where it lies.
        film: Whether each of its clips is a sequence of frames.
        clips: What it holds; a flat set of pictures is one clip.
        remarks: A line each: what is left out, and how its size differs from the published one.
    """

    name: str
    folder: Path
    film: bool
    clips: tuple[Clip, ...]
    remarks: tuple[str, ...]

    @property
    def pictures(self) -> int:
        """Number of pictures, or frames, with ground truth."""
        return sum(len(clip.pairs) for clip in self.clips)

    def called(self, name: str) -> "BenchmarkSet":
        """Return the set under another name."""
        own = f"{self.name}: "
        remarks = (
            f"{name}: {r.removeprefix(own)}" if r.startswith(own) else r for r in self.remarks
        )
        return replace(self, name=name, remarks=tuple(remarks))


def read_set(folder: Path, spec: DatasetSpec | None) -> BenchmarkSet | None:
    """Return the set that ``folder`` is, or nothing where no picture has a ground truth.

    Args:
        folder: Its own folder: pictures beside ground truth, or sequences of both, or a folder
            per sequence with both in it.
        spec: Its entry in models.toml. Without one, its layout says whether it is a film set.
    """
    clips: list[Clip] = []
    remarks: list[str] = []
    for name, images, masks in _parts(folder, spec):
        found = pairs_across(images, masks, str(folder))
        clips += _clips(name, images, found)
        remarks += found.problems
    if spec is not None and spec.split:
        clips = [clip for clip in clips if Path(clip.name).name in spec.split] or clips
    if not clips:
        return None
    film = all(map(_moves, clips)) if spec is None else spec.kind == "film"
    name = own_name(folder)
    remarks += _miscounts(name, clips, spec) if spec else []
    return BenchmarkSet(name, folder, film, tuple(clips), tuple(remarks))


def _parts(folder: Path, spec: DatasetSpec | None) -> list[tuple[str, Path, Path]]:
    """Return a name, a folder of pictures and one of masks, of the set or of each sequence."""
    whole = [("", *twin) for twin in _twins(folder, spec)]
    return whole or [(sub.name, *twin) for sub in subfolders(folder) for twin in _twins(sub, spec)]


def _twins(folder: Path, spec: DatasetSpec | None) -> list[tuple[Path, Path]]:
    """Return folders of pictures, each with its folder of masks: the published ones first."""
    if spec is not None:
        images = next(_those_inside(folder, spec.images), None)
        masks = next(_those_inside(folder, spec.masks), None)
        if images and masks:
            return [(images, masks)]
    return twin_folders(folder)


def _those_inside(folder: Path, places: Sequence[str]) -> Iterator[Path]:
    """Yield the folders at ``places``, such as ``JPEGImages/480p``, whatever their capitals."""
    for place in places:
        level = [folder]
        for part in place.casefold().split("/"):
            level = [sub for at in level for sub in subfolders(at) if sub.name.casefold() == part]
        yield from level


def _clips(name: str, images: Path, found: PairList) -> list[Clip]:
    """Group pairs by the folder that the picture lies in."""
    groups: dict[str, list[Pair]] = {}
    for pair in found.pairs:
        place = Path(name, pair.image.parent.relative_to(images)).as_posix()
        groups.setdefault("" if place == "." else place, []).append(pair)
    return [Clip(place, tuple(pairs)) for place, pairs in groups.items()]


def _moves(clip: Clip) -> bool:
    """Say whether these look like frames: in a folder of their own, numbered, of one size."""
    few = [clip.pairs[at] for at in (0, len(clip.pairs) // 2, -1)]
    if not clip.name or len(clip.pairs) < 2 or not all(p.image.stem[-1].isdigit() for p in few):
        return False
    try:
        return len({picture_size(pair.mask) for pair in few}) == 1
    except SourceError:
        return False


def _miscounts(name: str, clips: Sequence[Clip], spec: DatasetSpec) -> list[str]:
    """Return a remark for each count that is not the published one."""
    counts = (
        ("pictures with ground truth", sum(len(clip.pairs) for clip in clips), spec.pictures),
        ("sequences", len(clips), spec.sequences),
    )
    return [
        f"{name}: {have} {what}, {spec.name} was published with {want}"
        for what, have, want in counts
        if want is not None and have != want
    ]
