"""Find a weights file by the name in models.toml or by its path."""

import os
from importlib.resources import files
from pathlib import Path

import platformdirs

from sodcli.errors import MissingError
from sodcli.registry import Registry, WeightsSpec, did_you_mean


def home() -> Path:
    """Return ``$SOD_HOME``, else the cache folder that the operating system gives programs."""
    chosen = os.environ.get("SOD_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("sod"))


def stored(spec: WeightsSpec) -> Path:
    """Return where the file of ``spec`` lies, or would lie once it is fetched."""
    if spec.builtin:
        return Path(str(files("sodcli").joinpath("weights", spec.file)))
    return home() / "weights" / spec.file


def locate(wanted: str, registry: Registry) -> Path:
    """Return the file that ``wanted``, a name in models.toml or a path, stands for.

    Raises:
        MissingError: If there is no such file; the message says how to get it.
    """
    if wanted in registry.weights:
        return _stored_or_advice(registry.weights[wanted])
    path = Path(wanted).expanduser()
    if path.exists():
        return path
    if path.suffix or path.parent != Path():
        raise MissingError(f"{wanted}: no such weights file")
    known = ", ".join(sorted(registry.weights))
    hint = did_you_mean(wanted, registry.weights)
    raise MissingError(f"no weights named {wanted!r}, and no such file.{hint} Known: {known}.")


def _stored_or_advice(spec: WeightsSpec) -> Path:
    path = stored(spec)
    if not path.is_file():
        where = f"; they can be had from {spec.page}" if spec.page else ""
        raise MissingError(
            f"weights {spec.name!r} are not in {path.parent}{where}; "
            f"put {spec.file} there, or pass the file with -w PATH"
        )
    if spec.size is not None and path.stat().st_size != spec.size:
        raise MissingError(
            f"{path}: {path.stat().st_size} bytes, models.toml says {spec.size}; "
            f"the file of weights {spec.name!r} is incomplete or another one"
        )
    return path
