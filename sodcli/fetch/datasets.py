"""Download archives of data sets and saliency maps, or take local ones, and unpack them."""

from collections.abc import Sequence
from pathlib import Path

from sodcli.errors import ChecksumError, MissingError
from sodcli.fetch.weights import Supply, in_plain_words
from sodcli.files import temporary_folder
from sodcli.registry import ArchiveSpec, DatasetSpec, MapsSpec, Registry
from sodcli.weights.archive import unpack
from sodcli.weights.cache import home
from sodcli.weights.cache import mirrors as mirrors_of
from sodcli.weights.download import Delivery, DownloadRequest, download, reserved
from sodcli.weights.download_settings import ExpectedFile, check
from sodcli.weights.lockfile import Lockfile, Record

Unpacked = DatasetSpec | MapsSpec | ArchiveSpec
_DEPTH = 3  # most folder levels above a data set in an archive


def place(entry: Unpacked, root: Path) -> Path:
    """Return the folder of ``entry`` in ``root``; for an archive, the folder of its data sets."""
    if isinstance(entry, ArchiveSpec):
        return root
    if isinstance(entry, MapsSpec):
        return root / "maps" / entry.model / (entry.dataset or "")
    return root / entry.name


def is_here(entry: Unpacked, registry: Registry, root: Path) -> bool:
    """Return True if ``entry``, or every data set of an archive, is present in ``root``."""
    if isinstance(entry, ArchiveSpec):
        return all(place(one, root).is_dir() for one in registry.sets_of(entry))
    return place(entry, root).is_dir()


def source_of(entry: Unpacked, registry: Registry) -> Unpacked:
    """Return the entry whose file is downloaded for ``entry``: itself, or its archive."""
    if isinstance(entry, DatasetSpec) and entry.archive and not sources(entry):
        return registry.archives[entry.archive]
    return entry


def sources(entry: Unpacked) -> tuple[str, ...]:
    """Return the addresses of the file of ``entry``.

    Raises:
        UsageError: If ``SOD_MIRROR`` is not an https address.
    """
    return mirrors_of(entry.name, entry.mirrors)


def fetch_dataset(entry: Unpacked, registry: Registry, root: Path, supply: Supply) -> Path:
    """Download ``entry`` and unpack it into ``root``, unless it is present.

    If a data set is published only in an archive with others, those are unpacked too; data sets
    that are already present are not changed.

    Raises:
        MissingError: If it cannot be downloaded; the message says what to do next.
        ChecksumError: If the file differs from the published one or the one first fetched.
    """
    target, what = place(entry, root), _what(entry)
    if is_here(entry, registry, root) and not supply.force:
        return target
    source = source_of(entry, registry)
    addresses = sources(source)
    if not addresses:
        raise MissingError(f"{what} has no download address; {by_hand(entry, root)}")
    _demand_absent(entry, registry, root, every=supply.force)
    if supply.forbidden:
        raise MissingError(f"{what} is not in {root}{supply.forbidden}")
    request = DownloadRequest(_what(source), addresses, _expected(source))
    with in_plain_words(what), reserved(source.name, home(), supply.events) as part:
        if is_here(entry, registry, root) and not supply.force:  # fetched by another process
            return target
        supply.events.note(f"fetching {_what(source)}: {terms_of(source)}")
        try:
            delivery = download(request, part, supply.events, supply.retries)
        except MissingError as error:
            hint = _recorded(source) if isinstance(error, ChecksumError) else ""
            raise type(error)(f"{error}{hint}; {by_hand(source, root)}") from error
        try:
            _install(part.path, source, delivery, registry, root)
        except MissingError:
            part.drop()
            raise
        part.drop()
    if not is_here(entry, registry, root):
        raise MissingError(f"{_what(source)}: does not hold {what}; {by_hand(entry, root)}")
    return target


def import_dataset(
    archive: Path, entry: Unpacked, registry: Registry, root: Path, *, force: bool = False
) -> Path:
    """Unpack ``archive``, a local zip or tar file of ``entry``, into ``root``.

    If ``entry`` is a data set and the file is the archive with others, those are unpacked too.
    Nothing is done if the data set was already unpacked from the same file. With ``force`` it may
    differ from the file first fetched, if no digest is published.

    Raises:
        MissingError: If the file does not exist or is unsafe, or the target folder exists already.
        ChecksumError: If the file differs from the published one or the one first fetched.
    """
    target = place(entry, root)
    if not archive.is_file():
        raise MissingError(f"{archive}: no such archive; a folder of data needs no import")
    with in_plain_words(_what(entry)):
        if is_here(entry, registry, root) and _is_of(archive, entry):
            return target
        _demand_absent(entry, registry, root)
        try:
            checksum = check(archive, _expected(entry, force=force), str(archive))
        except ChecksumError as error:
            hint = _recorded(entry)
            raise ChecksumError(f"{error}{hint and f'{hint}; --force replaces it'}") from error
        _install(archive, entry, Delivery(archive.name, checksum), registry, root)
    return target


def by_hand(entry: Unpacked, root: Path) -> str:
    """Return instructions for getting ``entry`` by hand."""
    paper = f" ({entry.paper})" if isinstance(entry, DatasetSpec) else ""
    where = entry.page or f"its authors{paper}"
    return f"get it from {where}, then run: sod fetch {entry.name} --from ARCHIVE --dir {root}"


def _what(entry: Unpacked) -> str:
    kind = {DatasetSpec: "data set", ArchiveSpec: "archive", MapsSpec: "saliency maps"}[type(entry)]
    return f"{kind} {entry.name!r}"


def terms_of(entry: Unpacked) -> str:
    """Return the licence of saliency maps, or the terms of data."""
    return entry.license if isinstance(entry, MapsSpec) else entry.terms


def _demand_absent(entry: Unpacked, registry: Registry, root: Path, *, every: bool = False) -> None:
    """Raise MissingError if the folder of ``entry`` exists; of an archive, that of one of its sets.

    Without ``every`` the sets of an archive may exist.
    """
    sets = registry.sets_of(entry) if isinstance(entry, ArchiveSpec) else [entry]
    for one in sets:
        if (every or one is entry) and place(one, root).exists():
            raise MissingError(f"{place(one, root)}: exists; move it away first")


def _is_of(archive: Path, entry: Unpacked) -> bool:
    """Return True if ``archive`` is the file that ``entry`` was unpacked from."""
    expected = _expected(entry)
    if not expected.hashed:
        return False
    try:
        check(archive, expected, str(archive))
    except ChecksumError:
        return False
    return True


def _expected(entry: Unpacked, *, force: bool = False) -> ExpectedFile:
    """Return the published size and digest, else, without ``force``, those of the first fetch."""
    if not isinstance(entry, DatasetSpec) and entry.sha256 is not None:
        return ExpectedFile(entry.size, entry.sha256)
    record = None if force else Lockfile(home()).records().get(entry.name)
    return record.published if record is not None else ExpectedFile()


def _recorded(entry: Unpacked) -> str:
    """Say, for a message, where the digest of ``entry`` comes from, if it is not published."""
    if not isinstance(entry, DatasetSpec) and entry.sha256 is not None:
        return ""
    return f"; {Lockfile(home()).path} holds the checksum of the first file"


def _install(
    archive: Path, entry: Unpacked, delivery: Delivery, registry: Registry, root: Path
) -> None:
    published, several = delivery.checksum, isinstance(entry, ArchiveSpec)
    bundle = registry.archives.get(entry.archive or "") if isinstance(entry, DatasetSpec) else entry
    sets = registry.sets_of(bundle) if isinstance(bundle, ArchiveSpec) else []
    target = place(entry, root)
    with temporary_folder(root if several else target.parent, "unpack") as work:
        content = work / "content"
        unpack(archive, content)
        found = _find_sets(content, sets)
        if several and not found:
            names = ", ".join(one.name for one in sets)
            raise MissingError(f"{archive}: holds none of the sets {names}")
        several = several or (len(found) > 1 and entry.name in found)  # the archive with others
        moves = {root / name: folder for name, folder in found.items()}
        Lockfile(home()).add(entry.name, Record(delivery.mirror, published.size, published.sha256))
        for place_of_set, folder in (moves if several else {target: content}).items():
            if not place_of_set.exists():
                folder.rename(place_of_set)


def _find_sets(content: Path, sets: Sequence[DatasetSpec]) -> dict[str, Path]:
    """Return the topmost matching folder of each of ``sets`` in an unpacked archive."""
    found: dict[str, Path] = {}
    level = [content]
    for _ in range(_DEPTH):
        level = [sub for folder in level for sub in sorted(folder.iterdir()) if sub.is_dir()]
        for folder in level:
            for one in sets:
                if one.is_called(folder.name):
                    found.setdefault(one.name, folder)
    return found
