"""Download published weights, or take local files, verify them and cache them in our layout."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sodcli.errors import ChecksumError, MissingError, SinkError, UsageError, WeightsError
from sodcli.registry import Registry, WeightsSpec
from sodcli.text import reason_of
from sodcli.weights import cache
from sodcli.weights.download_settings import DownloadEvents, ExpectedFile, RetryPolicy, check
from sodcli.weights.lockfile import Lockfile, Record

if TYPE_CHECKING:
    from sodcli.weights.download import Delivery
    from sodcli.weights.transfer import Part


@dataclass(frozen=True, slots=True)
class Supply:
    """How to fetch missing files.

    Attributes:
        offline: Forbid downloads; the environment variable ``SOD_OFFLINE`` has the same effect.
        force: Fetch again even if the file is present.
        events: Callbacks for progress and messages.
        retries: Timeouts and number of attempts.
    """

    offline: bool = False
    force: bool = False
    events: DownloadEvents = field(default_factory=DownloadEvents)
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def forbidden(self) -> str:
        """Why downloads are forbidden, for messages; empty if they are allowed."""
        if self.offline:
            return " and offline is set"
        return " and SOD_OFFLINE is set" if cache.offline() else ""


def obtain(wanted: str, registry: Registry, supply: Supply | None = None) -> Path:
    """Return the path of a weights file; weights in models.toml are fetched if they are missing.

    Args:
        wanted: A name in models.toml, or a path.
        registry: The registry to look names up in.
        supply: How to fetch; by default without messages.

    Raises:
        MissingError: If the file is missing and cannot be fetched; the message says how to get it.
    """
    entry = registry.weights.get(wanted)
    if entry is None or cache.stored(entry).is_file():
        return cache.locate(wanted, registry)
    supply = supply or Supply()
    if supply.forbidden:
        raise cache.missing(entry, supply.forbidden)
    return fetch_weights(entry, registry, supply)


def fetch_weights(entry: WeightsSpec, registry: Registry, supply: Supply) -> Path:
    """Download the weights of ``entry`` unless they are cached; return the cached file.

    Raises:
        MissingError: If they cannot be fetched; the message says what to do next.
        ChecksumError: If a server sent a different file and no other server had the right one.
    """
    target = cache.stored(entry)
    if entry.builtin or (not supply.force and is_recorded(entry)):
        return target
    mirrors = cache.mirrors(entry.name, entry.mirrors)
    if not mirrors:
        raise cache.missing(entry)
    if supply.forbidden:
        raise cache.missing(entry, supply.forbidden)
    from sodcli.fetch import convert  # noqa: F401 - fails before the download without PyTorch
    from sodcli.weights.download import reserved

    with (
        in_plain_words(f"weights {entry.name!r}"),
        reserved(entry.name, cache.home(), supply.events) as part,
    ):
        if supply.force or not is_recorded(entry):  # or another process has fetched it
            supply.events.note(f"fetching weights {entry.name!r}: {entry.license}")
            delivery = _download(entry, mirrors, part, supply)
            try:
                _install(part.path, entry, delivery, registry)
            except WeightsError:
                part.drop()
                raise
            part.drop()
    return target


def import_weights(
    file: Path, entry: WeightsSpec, registry: Registry, *, force: bool = False
) -> Path:
    """Install the local ``file`` as the published file of ``entry``; return the cached file.

    With ``force`` it may differ from the file first fetched, if no digest is published.

    Raises:
        MissingError: If the file does not exist or does not contain the weights of ``entry``.
        ChecksumError: If it is not the published file.
        UsageError: If the weights of ``entry`` are part of the package.
    """
    if not file.is_file():
        raise MissingError(
            f"{file}: {'is a folder; name the file' if file.is_dir() else 'no such file'}"
        )
    from sodcli.weights.download import Delivery

    if entry.builtin:
        raise UsageError(f"weights {entry.name!r} are part of the package")
    with in_plain_words(f"weights {entry.name!r}"):
        expected = _expected(entry, force=force)
        try:
            checksum = check(file, expected, f"{file}: not the published file of {entry.name!r}")
        except ChecksumError as error:
            hint = _recorded(entry, expected)
            raise ChecksumError(f"{error}{hint and f'{hint}; --force replaces it'}") from error
        _install(file, entry, Delivery(file.name, checksum), registry)
    return cache.stored(entry)


def is_recorded(entry: WeightsSpec) -> bool:
    """Return True if the cached file of ``entry`` exists with the recorded size."""
    path = cache.stored(entry)
    record = Lockfile(cache.home()).records().get(entry.name)
    return record is not None and path.is_file() and path.stat().st_size == record.size


def _expected(entry: WeightsSpec, *, force: bool = False) -> ExpectedFile:
    """Return the published size and digest, else, without ``force``, those of the first fetch."""
    expected = ExpectedFile(entry.size, entry.sha256, entry.md5)
    record = None if force else Lockfile(cache.home()).records().get(entry.name)
    return record.published if record is not None and not expected.hashed else expected


def _recorded(entry: WeightsSpec, expected: ExpectedFile) -> str:
    """Say, for a message, where the digest of ``expected`` comes from, if it is not published."""
    seen = expected.hashed and (entry.sha256 or entry.md5) is None
    where = Lockfile(cache.home()).path
    return f"; {where} holds the checksum of the first download" if seen else ""


def _download(
    entry: WeightsSpec, mirrors: Sequence[str], part: "Part", supply: Supply
) -> "Delivery":
    from sodcli.weights.download import DownloadRequest, download

    expected = _expected(entry)
    request = DownloadRequest(f"weights {entry.name!r}", mirrors, expected)
    try:
        return download(request, part, supply.events, supply.retries)
    except ChecksumError as error:
        raise ChecksumError(
            f"{error}{_recorded(entry, expected)}; {cache.by_hand(entry)}"
        ) from error
    except MissingError as error:
        raise MissingError(f"{error}; {cache.by_hand(entry)}") from error


def _install(source: Path, entry: WeightsSpec, delivery: "Delivery", registry: Registry) -> None:
    from sodcli.fetch.convert import convert_weights  # imports PyTorch

    target = cache.stored(entry)
    convert_weights(source, target, entry, registry)
    published, ours = delivery.checksum, check(target, ExpectedFile(), str(target))
    record = Record(delivery.mirror, published.size, published.sha256, ours.size, ours.sha256)
    Lockfile(cache.home()).add(entry.name, record)


@contextmanager
def in_plain_words(what: str) -> Iterator[None]:
    """Convert errors while fetching into errors with ``what`` in their message.

    Raises:
        MissingError: In place of OSError, SinkError and WeightsError.
    """
    try:
        yield
    except SinkError as error:
        raise MissingError(f"{what}: {error}{_other_home(error.__cause__)}") from error
    except WeightsError as error:
        raise MissingError(f"{what}: {error}") from error
    except OSError as error:
        path = error.filename or cache.home()
        raise MissingError(f"{what}: {path}: {reason_of(error)}{_other_home(error)}") from error


def _other_home(error: BaseException | None) -> str:
    """Return advice to choose another cache folder, if ``error`` is about a file in it."""
    path = Path(getattr(error, "filename", None) or cache.home())
    return "; SOD_HOME may name another folder" if path.is_relative_to(cache.home()) else ""
