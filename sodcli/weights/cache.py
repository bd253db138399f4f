"""The cache folder of weights files; their metadata is read without PyTorch."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import platformdirs

from sodcli.errors import MissingError, UsageError, WeightsError
from sodcli.files import user_path
from sodcli.process import switched_on
from sodcli.registry import Registry, WeightsSpec
from sodcli.text import did_you_mean, display_name, reason_of
from sodcli.weights.lockfile import Lockfile
from sodcli.weights.onnx_file import onnx_metadata

_LENGTH: Final = 8  # bytes of the header length field at the start of a safetensors file
_LONGEST: Final = 100_000_000  # largest header in bytes; the limit of the safetensors library
GRAPH_SUFFIX: Final = ".onnx"


def home() -> Path:
    """Return ``$SOD_HOME``, else this program's folder in the operating system's cache folder."""
    chosen = os.environ.get("SOD_HOME")
    return user_path(chosen) if chosen else Path(platformdirs.user_cache_dir("sod"))


def data_root() -> Path:
    """Return the default folder of data sets."""
    return home() / "data"


def offline() -> bool:
    """Return True if ``SOD_OFFLINE`` forbids downloads."""
    return switched_on("SOD_OFFLINE")


def stored(spec: WeightsSpec) -> Path:
    """Return the path of the file of ``spec``, whether it has been fetched or not."""
    if spec.builtin:
        return Path(str(files("sodcli").joinpath("weights", spec.file or "")))
    return home() / "weights" / f"{spec.name}.safetensors"


def mirrors(name: str, published: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of the file ``name``: ``$SOD_MIRROR/NAME`` if set, else ``published``.

    Raises:
        UsageError: If ``SOD_MIRROR`` is not an https address, or holds a user name.
    """
    chosen = os.environ.get("SOD_MIRROR", "")
    if not chosen:
        return tuple(published)
    if not _is_server(chosen):  # not shown in the message: it may hold a password
        raise UsageError("SOD_MIRROR must be an https address without user name and password")
    return (f"{chosen.rstrip('/')}/{name}",)


def _is_server(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def locate(wanted: str, registry: Registry) -> Path:
    """Return the path of the weights file ``wanted``, a name in models.toml or a path.

    Raises:
        MissingError: If there is no such file, or a fetched one has changed its size; the message
            says how to get it.
    """
    if wanted in registry.weights:
        spec = registry.weights[wanted]
        path = stored(spec)
        if not path.is_file():
            raise missing(spec)
        _demand_whole(spec, path)
        return path
    path = user_path(wanted)
    if wanted and path.exists():
        return path
    if path.suffix or path.parent != Path():
        raise MissingError(f"{wanted}: no such weights file")
    known = ", ".join(sorted(registry.weights))
    hint = did_you_mean(wanted, registry.weights)
    raise MissingError(f"no weights named {wanted!r}, and no such file.{hint} Known: {known}.")


def _demand_whole(spec: WeightsSpec, path: Path) -> None:
    record, size = Lockfile(home()).records().get(spec.name), path.stat().st_size
    if record is not None and record.size not in (None, size):
        raise MissingError(
            f"{path}: {size:,} bytes instead of {record.size:,}; run: sod fetch {spec.name} --force"
        )


def missing(spec: WeightsSpec, because: str = "") -> MissingError:
    """Return the error that says how to get the weights of ``spec``.

    Args:
        spec: Weights that are not in the cache.
        because: Why they were not fetched automatically.
    """
    where = f"weights {spec.name!r} are not in {_short(home())}"
    if mirrors(spec.name, spec.mirrors):
        return MissingError(f"{where}{because}; run: sod fetch {spec.name}")
    return MissingError(f"{where} and have no download address; {by_hand(spec)}")


def by_hand(spec: WeightsSpec) -> str:
    """Return instructions for getting the weights of ``spec`` by hand."""
    what = spec.file or "the file"
    way = spec.by_hand or f"get {what} from {spec.page}"
    return f"{way}, then run: sod fetch {spec.name} --from FILE"


def read_metadata(path: Path) -> Mapping[str, str]:
    """Return the metadata of a safetensors or ONNX file; empty for files of another kind.

    Raises:
        MissingError: If there is no such file.
        WeightsError: If it cannot be read, its header is damaged, or a file named ``.onnx`` is not
            an ONNX file.
    """
    require_file(path)
    if path.suffix.lower() == GRAPH_SUFFIX:
        return onnx_metadata(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            if file.read(1) != b"{" or length > min(_LONGEST, path.stat().st_size):
                return {}
            header = json.loads(b"{" + file.read(length - 1), object_pairs_hook=_unique)
    except OSError as error:
        raise WeightsError(f"{path}: {reason_of(error).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged safetensors file ({error})") from error
    about = header.get("__metadata__", {})
    return {str(k): str(v) for k, v in about.items()} if isinstance(about, Mapping) else {}


def require_file(path: Path) -> None:
    """Check that ``path`` is a file: opening a FIFO would block.

    Raises:
        MissingError: If nothing is there.
        WeightsError: If it is not a regular file.
    """
    if not path.exists():
        raise MissingError(f"{path}: no such weights file")
    if not path.is_file():
        inside = min(path.glob("*.safetensors"), default="a weights file in it")
        folder = f" but a folder; name {inside}" if path.is_dir() else ""
        raise WeightsError(f"{path}: not a file{folder}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; refuse equal keys, of which safetensors takes the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {display_name(twice)} comes twice")
    return found


def _short(path: Path) -> str:
    """Return ``path`` with the home folder abbreviated to ``~``."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)
