"""File names of results."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sodcli.errors import UsageError
from sodcli.io.pictures.encode import check_format
from sodcli.io.sources import Input

DEFAULT_SUFFIX: Final = ".png"


def picture_suffix(form: str | None, *, films_only: bool, alpha: bool) -> str:
    """Return the suffix for pictures whose file name the user has not given.

    Args:
        form: The value of ``--format``, such as ``jpg``; ``None`` gives ``DEFAULT_SUFFIX``.
        films_only: Whether all inputs are films.
        alpha: Whether the pictures have transparency.

    Raises:
        UsageError: If the format is unknown or lacks a needed alpha channel, or if ``form`` is
            given although all inputs are films.
    """
    if form is None:
        return DEFAULT_SUFFIX
    if films_only:
        raise UsageError("--format is for pictures; films take --codec, or -o with the file's name")
    suffix = f".{form.lower().removeprefix('.')}"
    check_format(f"format {form!r}", suffix, alpha=alpha)
    return suffix


def name_outputs(
    inputs: Sequence[Input],
    tag: str,
    folder: Path | None,
    film_suffix: str = ".mp4",
    suffix: str = DEFAULT_SUFFIX,
) -> list[Path]:
    """Return the path of each input's result, unique where possible.

    ``photo.jpg`` gives ``photo_<tag>`` plus ``suffix``, beside it or in ``folder``. A film's result
    ends in ``film_suffix``, which is empty for a folder of frames. The results of a folder ``in``
    go into ``in_<tag>`` beside it, or into ``folder``, with the same tree of sub-folders. Names
    that would be equal, ignoring case, keep the extension of their input: ``a.jpg_<tag>.png``.
    Some may still be equal after that.
    """
    ends = [f"_{tag}{film_suffix if i.kind == 'film' else suffix}" for i in inputs]
    targets = [_place(item, end, tag, folder) for item, end in zip(inputs, ends, strict=True)]
    longer = [
        target if item.path is None else target.with_name(f"{item.path.name}{end}")
        for item, target, end in zip(inputs, targets, ends, strict=True)
    ]
    while shared := [at for at in _shared(targets) if targets[at] != longer[at]]:
        for at in shared:
            targets[at] = longer[at]
    return targets


def _place(item: Input, end: str, tag: str, folder: Path | None) -> Path:
    """Return the target of one input, without regard to the others."""
    name = ("stdin" if item.path is None else item.path.stem) + end
    if item.path is None or item.root is None:
        return (folder or (item.path or Path()).parent) / name
    inner = item.path.parent.relative_to(item.root)
    return (folder or _sibling(item.root, tag)) / inner / name


def _sibling(root: Path, tag: str) -> Path:
    named = root if root.name not in ("", "..") else root.resolve()
    return named.parent / f"{named.name}_{tag}"  # with_name refuses the root folder


def _shared(targets: Sequence[Path]) -> list[int]:
    """Return the indices of names that occur more than once, ignoring case."""
    keys = [str(target).casefold() for target in targets]
    count = Counter(keys)
    return [at for at, key in enumerate(keys) if count[key] > 1]
