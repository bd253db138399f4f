"""``sod models``: which models there are, and what each is good for."""

from typing import TYPE_CHECKING, Any, Final

from sodcli.cli import options, ui
from sodcli.registry import DEFAULT_MODEL, ModelSpec, default_registry

if TYPE_CHECKING:
    from sodcli.fetch.catalogue import Item

_HEADERS: Final = ("model", "good for", "weights", "speed", "here?", "terms")
# Frames a second in PyTorch at input_hw on one core of an AMD EPYC with AVX2, 2026-11-27: lite 11,
# SDNet and STDNet 3 to 4, all others below 0.4.
_SPEEDS: Final = {"lite": "fast", "sdnet": "medium", "stdnet": "medium"}


def models(json: options.Json = False, traceback: options.Traceback = False) -> None:
    """List the models for -m: what each is good for, size, speed, terms, whether it is here.

    Weights that are not here are downloaded when they are first used, or by sod fetch NAME.
    """
    rows = rows_of_models()
    if json:
        ui.print_json({"models": rows})
        return
    ui.print_table(_HEADERS, [_cells(row) for row in rows])


def rows_of_models() -> list[dict[str, Any]]:
    """Return what is known about each model that makes maps; the default first, then those here."""
    from sodcli.fetch.catalogue import describe
    from sodcli.weights.cache import data_root

    registry, rows = default_registry(), []
    for spec in registry.models.values():
        if spec.task == "saliency":
            entry = registry.weights.get(spec.weights or "")
            item = None if entry is None else describe(entry, registry, data_root())
            rows.append(_row(spec, item))
    return sorted(rows, key=lambda row: (row["model"] != DEFAULT_MODEL, not row["here"]))


def _row(spec: ModelSpec, item: "Item | None") -> dict[str, Any]:
    return {
        "model": spec.name,
        "default": spec.name == DEFAULT_MODEL,
        "good_for": _good_for(spec),
        "size": _size(item),
        "speed": _SPEEDS.get(spec.arch, "slow"),
        "here": item is not None and item.here,
        "way": item.way if item else "train it",
        "license": item.license if item else spec.license,
        "terms": item and item.terms,
    }


def _good_for(spec: ModelSpec) -> str:
    if spec.clip_len > 1:
        return "films"
    return "photos, fine edges, large pictures" if spec.high_res else "photos, films, cameras"


def _size(item: "Item | None") -> int | None:
    """Return the size of the weights in bytes, if they are here or their size is published."""
    if item is None:
        return None
    return item.path.stat().st_size if item.here else item.size


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name = f"{row['model']} (default)" if row["default"] else row["model"]
    size = f"{row['size'] / 1e6:.0f} MB" if row["size"] else ""
    here = "yes" if row["here"] else row["way"]
    terms = "; ".join(filter(None, (row["license"], row["terms"])))
    return name, row["good_for"], size, row["speed"], here, terms
