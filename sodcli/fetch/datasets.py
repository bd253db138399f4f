"""Bring a benchmark data set here: downloaded where one plain file holds it, or handed in."""

from pathlib import Path

from sodcli.errors import ChecksumError, MissingError
from sodcli.fetch.weights import Supply, in_plain_words
from sodcli.registry import DatasetSpec
from sodcli.weights.archive import unpack
from sodcli.weights.cache import home
from sodcli.weights.cache import mirrors as mirrors_of
from sodcli.weights.download import Delivery, DownloadRequest, download, reserved
from sodcli.weights.expected import ExpectedFile, check
from sodcli.weights.lockfile import Lockfile, Record


def fetch_dataset(entry: DatasetSpec, root: Path, supply: Supply) -> Path:
    """Download the set of ``entry`` and unpack it below ``root``, unless it is there.

    Raises:
        MissingError: If it cannot be had; the message says what to do next.
        ChecksumError: If it is another file than the one that came first.
    """
    target = root / entry.name
    if target.exists() and not supply.force:
        return target
    mirrors = mirrors_of(entry.name, [entry.url] if entry.url else [])
    if not mirrors:
        raise MissingError(
            f"no program can download data set {entry.name!r}; {by_hand(entry, root)}"
        )
    _demand_absent(target)
    if supply.forbidden:
        raise MissingError(f"data set {entry.name!r} is not in {root}{supply.forbidden}")
    request = DownloadRequest(f"data set {entry.name!r}", mirrors, _expected(entry))
    with (
        in_plain_words(f"data set {entry.name!r}"),
        reserved(entry.name, home(), supply.events) as part,
    ):
        if target.exists():  # another process was faster
            return target
        supply.events.note(f"fetching data set {entry.name!r}: {entry.terms}")
        try:
            delivery = download(request, part, supply.events, supply.retries)
        except MissingError as error:
            raise type(error)(f"{error}; {by_hand(entry, root)}") from error
        try:
            _install(part.path, entry, delivery, target)
        except MissingError:
            part.drop()
            raise
        part.drop()
    return target


def hand_in_dataset(archive: Path, entry: DatasetSpec, root: Path) -> Path:
    """Unpack ``archive``, a zip or tar file with the set of ``entry``, below ``root``.

    Nothing is done if the set that is there came from it.

    Raises:
        MissingError: If there is no such file, it is unsafe, or another set is there already.
        ChecksumError: If it is another file than the one that came first.
    """
    target = root / entry.name
    if not archive.is_file():
        raise MissingError(f"{archive}: no such archive; a folder can be used where it lies")
    with in_plain_words(f"data set {entry.name!r}"):
        if _is_of(archive, entry, target):
            return target
        _demand_absent(target)
        checksum = check(archive, _expected(entry), str(archive))
        _install(archive, entry, Delivery(archive.name, checksum), target)
    return target


def by_hand(entry: DatasetSpec, root: Path) -> str:
    """Return what a person does to get the set of ``entry``."""
    where = entry.page or f"its authors ({entry.paper})"
    return f"get it from {where}, then run: sod fetch {entry.name} --from ARCHIVE --dir {root}"


def _demand_absent(target: Path) -> None:
    if target.exists():
        raise MissingError(f"{target}: exists; move it away first")


def _is_of(archive: Path, entry: DatasetSpec, target: Path) -> bool:
    """Say whether ``target`` came from this very archive, perhaps by a run that was killed."""
    expected = _expected(entry)
    if not target.exists() or not expected.hashed:
        return False
    try:
        check(archive, expected, str(archive))
    except ChecksumError:
        return False
    return True


def _expected(entry: DatasetSpec) -> ExpectedFile:
    record = Lockfile(home()).records().get(entry.name)
    return record.published if record is not None else ExpectedFile()


def _install(archive: Path, entry: DatasetSpec, delivery: Delivery, target: Path) -> None:
    first = delivery.checksum

    def record() -> None:
        Lockfile(home()).add(entry.name, Record(delivery.mirror, first.size, first.sha256))

    unpack(archive, target, on_whole=record)
