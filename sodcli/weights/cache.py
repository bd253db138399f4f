"""Find a weights file by the name in models.toml or by its path."""

import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import platformdirs

from sodcli.errors import MissingError, UsageError
from sodcli.files import user_path
from sodcli.process import switched_on
from sodcli.registry import Registry, WeightsSpec
from sodcli.text import did_you_mean
from sodcli.weights.ledger import Ledger


def home() -> Path:
    """Return ``$SOD_HOME``, else the cache folder that the operating system gives programs."""
    chosen = os.environ.get("SOD_HOME")
    return user_path(chosen) if chosen else Path(platformdirs.user_cache_dir("sod"))


def data_root() -> Path:
    """Return where data sets go unless another folder is named."""
    return home() / "data"


def offline() -> bool:
    """Return whether ``SOD_OFFLINE`` forbids downloads."""
    return switched_on("SOD_OFFLINE")


def stored(spec: WeightsSpec) -> Path:
    """Return where the file of ``spec`` lies, or would lie once it is fetched."""
    if spec.builtin:
        return Path(str(files("sodcli").joinpath("weights", spec.file or "")))
    return home() / "weights" / f"{spec.name}.safetensors"


def mirrors(name: str, published: Iterable[str]) -> tuple[str, ...]:
    """Return where the file ``name`` can be had: ``$SOD_MIRROR/NAME`` alone, else ``published``.

    Raises:
        UsageError: If ``SOD_MIRROR`` is not an https address.
    """
    chosen = os.environ.get("SOD_MIRROR", "")
    if not chosen:
        return tuple(published)
    if not chosen.startswith("https://"):
        raise UsageError(f"SOD_MIRROR must be an https address, not {chosen!r}")
    return (f"{chosen.rstrip('/')}/{name}",)


def locate(wanted: str, registry: Registry) -> Path:
    """Return the file that ``wanted``, a name in models.toml or a path, stands for.

    Raises:
        MissingError: If there is no such file; the message says how to get it.
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
    record, size = Ledger(home()).records().get(spec.name), path.stat().st_size
    if record is not None and record.size not in (None, size):
        raise MissingError(
            f"{path}: {size:,} bytes instead of {record.size:,}; run: sod fetch {spec.name} --force"
        )


def missing(spec: WeightsSpec, because: str = "") -> MissingError:
    """Return the error that says how to get the weights of ``spec``.

    Args:
        spec: Weights that are not in the cache.
        because: Why they were not simply fetched.
    """
    where = f"weights {spec.name!r} are not in {_short(home())}"
    if mirrors(spec.name, spec.mirrors):
        return MissingError(f"{where}{because}; run: sod fetch {spec.name}")
    return MissingError(f"{where}, and no program can download them; {by_hand(spec)}")


def by_hand(spec: WeightsSpec) -> str:
    """Return what a person does to get the weights of ``spec``."""
    what = spec.file or "the file"
    way = spec.by_hand or f"get {what} from {spec.page}"
    return f"{way}, then run: sod fetch {spec.name} --from FILE"


def _short(path: Path) -> str:
    """Return ``path`` as people write it, with ``~`` for their home."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)
