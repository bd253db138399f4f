"""The ground truth to score against: data sets under a root, or plain folders of masks."""

from contextlib import suppress
from pathlib import Path

from sodcli.data.benchmark import BenchmarkSet, Clip
from sodcli.data.benchmarks import find_sets, told_apart
from sodcli.data.layouts import pictures_under, subfolders
from sodcli.data.pairs import Pair
from sodcli.errors import MissingError, SourceError
from sodcli.pipelines.scoring.names import holds_photos, place_of, says_what
from sodcli.registry import default_registry


def find_truths(root: Path, *, clips: bool) -> list[BenchmarkSet]:
    """Find ground truth: a data set, a root of data sets, or masks without their photos.

    Where there is no photo, a pair's image is its mask.

    Args:
        root: The folder to look in.
        clips: Whether folders of bare masks are clips of one film set; else each is a set.

    Raises:
        UsageError: If two sets cannot be told apart by their paths.
        MissingError: If the folder does not exist, or holds no picture.
        SourceError: If a folder cannot be listed.
    """
    if not root.is_dir():
        raise MissingError(f"no folder '{root}'. Give the ground truth: a data set, or masks.")
    sets: list[BenchmarkSet] = []
    with suppress(MissingError):
        sets = find_sets(root, [], default_registry().datasets)
    try:
        if not sets:
            sets = _bare(root, clips=clips)
        elif all(one.folder != root for one in sets):
            sets += [one for sub in _left(root, sets) for one in _bare(sub, clips=clips)]
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}") from error
    if not sets:
        raise MissingError(f"no ground truth in {root}: not a single picture")
    return told_apart(sets, root)


def _left(root: Path, sets: list[BenchmarkSet]) -> list[Path]:
    """Return the folders of ``root`` in which no set was found."""
    found = {folder for one in sets for folder in (one.folder, *one.folder.parents)}
    return [sub for sub in subfolders(root) if sub not in found]


def _bare(root: Path, *, clips: bool) -> list[BenchmarkSet]:
    """Group the masks under ``root`` into sets and clips, by the folders that they lie in."""
    called = _called(root)
    groups: dict[str, dict[str, list[Path]]] = {}
    for path in pictures_under(root):
        if holds_photos(path.parent.relative_to(root)):
            continue
        place = place_of(path.parent, root)
        name, clip = (place[:-1], place[-1:]) if clips else (place[:1], place[1:])
        group = groups.setdefault("/".join(name) or called, {})
        group.setdefault("/".join(clip), []).append(path)
    return [
        BenchmarkSet(
            name=name,
            folder=root if name == called else root / name,
            film=clips and "" not in group,
            clips=tuple(Clip(clip, _pairs(files, root)) for clip, files in group.items()),
            remarks=(),
        )
        for name, group in groups.items()
    ]


def _called(root: Path) -> str:
    """Return the name of a set by its folder, or by the one above if that is just ``GT``."""
    path = root.resolve()
    return next((p.name for p in (path, *path.parents) if p.name and not says_what(p.name)), "set")


def _pairs(files: list[Path], root: Path) -> tuple[Pair, ...]:
    """Pair masks with themselves, or with the photos they lie among: photo.jpg, photo.png."""
    masks = {path.stem: path for path in files if path.suffix.lower() == ".png"}
    photos = {path.stem: path for path in files if path.suffix.lower() != ".png"}
    if masks.keys() & photos.keys():
        return tuple(Pair(photos.get(stem, mask), mask, str(root)) for stem, mask in masks.items())
    return tuple(Pair(path, path, str(root)) for path in files)
