"""Which saliency map belongs to which ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sodcli.data.benchmark import BenchmarkSet, Clip
from sodcli.data.layouts import pictures_under, subfolders
from sodcli.data.pairs import Pair
from sodcli.errors import MissingError, SourceError
from sodcli.pipelines.scoring.names import place_of, plain_stem, says_what
from sodcli.registry import plain_name

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Maps:
    """One method's maps of one set.

    Attributes:
        folder: Where they were looked for.
        of: The map of each ground truth that has one.
        unused: Maps that belong to none, or second ones of the same.
    """

    folder: Path
    of: dict[Path, Path]
    unused: tuple[Path, ...]


def find_maps(root: Path, sets: Sequence[BenchmarkSet]) -> list[Maps]:
    """Find a method's maps of every set, in ``root/SET`` or, for a single set, ``root`` itself.

    A set that is called by its path, ``a/TE``, has its maps in ``root/a/TE``.

    A map is found by its place and stem, whatever its suffix; ``photo_map.png`` is as good as
    ``photo.png``, and folders named ``maps`` or the like do not count.

    Raises:
        MissingError: If there is no such folder, or no map in it fits any ground truth.
        SourceError: If a folder cannot be listed.
    """
    if not root.is_dir():
        raise MissingError(f"no folder '{root}'. Give the folder of a method's maps.")
    try:
        owned = frozenset(root / one.name for one in sets)
        folders = [_folder(root, one.name, owned) for one in sets]
        alone = root if len(sets) == 1 else None
        found = [
            _match(folder or alone or root / one.name, one)
            for folder, one in zip(folders, sets, strict=True)
        ]
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}") from error
    if not any(maps.of for maps in found):
        raise MissingError(_none(root, sets, found))
    return found


def _folder(root: Path, name: str, owned: frozenset[Path]) -> Path | None:
    """Return the folder of the set ``name``; of those in ``owned`` only the one called just so."""
    folder: Path | None = root
    for part in name.split("/"):
        folder = folder and _below(folder, part, owned)
    return folder


def _below(folder: Path, name: str, owned: frozenset[Path]) -> Path | None:
    """Return the folder ``name``, else one that differs by capitals, ``-`` or ``_``, if any."""
    subs, plain = subfolders(folder), plain_name(name)
    near = [sub for sub in subs if plain_name(sub.name) == plain and plain and sub not in owned]
    return next((sub for sub in subs if sub.name == name), near[0] if near else None)


def _match(folder: Path, one: BenchmarkSet) -> Maps:
    pairs = [(clip, pair) for clip in one.clips for pair in clip.pairs]
    photos = {pair.image for _, pair in pairs if pair.image != pair.mask}
    files = [path for path in _files(folder) if path not in photos]
    index = _index(files, folder)
    of = {}
    for clip, pair in pairs:
        found = next((index[key] for key in _keys(clip, pair) if key in index), None)
        if found is not None:
            of[pair.mask] = found
    used = set(of.values())
    return Maps(folder, of, tuple(path for path in files if path not in used))


def _files(folder: Path) -> list[Path]:
    return pictures_under(folder) if folder.is_dir() else []


def _index(files: Sequence[Path], folder: Path) -> dict[Key, Path]:
    """Return the map at each place and stem.

    The likeliest first: photo.png, then photo_map.png, then photo.jpg, which may be the photo.
    """
    found: list[tuple[int, Key, Path]] = []
    for path in files:
        place, plain = place_of(path.parent, folder), plain_stem(path.stem)
        found.append((0 if path.suffix.lower() == ".png" else 2, (*place, path.stem), path))
        if plain != path.stem:
            found.append((1, (*place, plain), path))
    index: dict[Key, Path] = {}
    for _, key, path in sorted(found, key=lambda entry: entry[0]):
        index.setdefault(key, path)
    return index


def _keys(clip: Clip, pair: Pair) -> list[Key]:
    """Return where a map may be: named as the photo or, failing that, as the mask."""
    place = tuple(part for part in clip.name.split("/") if part and not says_what(part))
    stems = (pair.image.stem, pair.mask.stem, plain_stem(pair.mask.stem))
    return [(*place, stem) for stem in stems]


def _none(root: Path, sets: Sequence[BenchmarkSet], found: Sequence[Maps]) -> str:
    one, clip = sets[0], sets[0].clips[0]
    wanted = "/".join(_keys(clip, clip.pairs[0])[0])
    there = [path for maps in found for path in maps.unused] or pictures_under(root)
    has = f"it holds {len(there)} pictures, such as {there[0]}" if there else "no picture is there"
    count = sum(each.pictures for each in sets)
    return (
        f"{root}: no map for any of {count} ground truths. "
        f"Looked for {wanted}.png of {one.name}; {has}"
    )
