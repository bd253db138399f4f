"""``sod fetch``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sodcli.cli import completion, options, ui
from sodcli.errors import MissingError, UsageError
from sodcli.registry import default_registry

if TYPE_CHECKING:
    from sodcli.fetch.catalogue import Entry, FetchOutcome, Item
    from sodcli.weights.download_settings import DownloadEvents

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="Weights, models, data sets, archives or saliency maps.",
        autocompletion=completion.downloads,
    ),
]
List = Annotated[bool, typer.Option("--list", help="List everything that can be fetched.")]
All = Annotated[
    bool, typer.Option("--all", help="Fetch all weights that can be downloaded without a browser.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Fetch even weights that are here; sets are not replaced. With --from, accept "
        "another file than the first one, if no checksum is published.",
    ),
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Check the hashes of what is here, or of the NAMEs.")
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Import this file as the published one; for a set, its archive.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Folder for data sets. Default: data in SOD_HOME."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be fetched and stop.")]


def fetch(
    names: Names = None,
    listing: List = False,
    everything: All = False,
    force: Force = False,
    verify: Verify = False,
    source: From = None,
    folder: Folder = None,
    dry_run: DryRun = False,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Download published weights and data sets, verify them, and print their paths.

    [bold]sod fetch --list[/] lists what can be fetched, [bold]sod fetch inspyrenet[/] fetches one,
    and [bold]sod fetch minet --from MINet_Res50.pth[/] imports a file that you downloaded yourself.
    """
    from sodcli.fetch.catalogue import all_entries, describe, fetch_all, find_entries
    from sodcli.weights.cache import data_root

    _check_usage(names or [], everything, source, optional=listing or verify)
    registry, root = default_registry(), folder or data_root()
    entries = find_entries(names, registry) if names else all_entries(registry)
    if everything:
        entries = [e for e in entries if _is_for_all(describe(e, registry, root))]
    items = [describe(entry, registry, root) for entry in entries]
    if listing:
        catalogue(items, as_json=json)
    elif verify:
        verification(entries, items if names else [], as_json=json, quiet=quiet)
    elif dry_run:
        plan(items, force=force, as_json=json, quiet=quiet)
    elif source is not None:
        _take(source, entries[0], root, force=force, as_json=json)
    else:
        from sodcli.fetch.weights import Supply

        def report(outcome: "FetchOutcome") -> None:
            if outcome.error is not None and len(entries) > 1:  # _finish raises a single one
                ui.error(str(outcome.error))

        with watching(quiet=quiet) as events:
            supply = Supply(offline=offline, force=force, events=events)
            outcomes = fetch_all(entries, registry, root, supply, report)
        _finish(outcomes, json)


@contextmanager
def watching(*, quiet: bool) -> "Iterator[DownloadEvents]":
    """Show a progress bar while bytes arrive, and print events as lines."""
    from sodcli.weights.download_settings import DownloadEvents

    with ui.transfer(quiet=quiet) as moved:
        yield DownloadEvents(moved, lambda text: ui.note(text, quiet=quiet))


def _check_usage(
    names: Sequence[str], everything: bool, source: Path | None, *, optional: bool
) -> None:
    if everything and names:
        raise UsageError("give NAMEs or --all, not both")
    if source is not None and len(names) != 1:
        raise UsageError("--from FILE needs exactly one NAME")
    if not (names or everything or optional):
        raise UsageError("give NAMEs or --all; sod fetch --list shows what can be fetched")


def _is_for_all(item: "Item") -> bool:
    return item.kind == "weights" and item.way == "download"


def _take(source: Path, entry: "Entry", root: Path, *, force: bool, as_json: bool) -> None:
    from sodcli.fetch.catalogue import FetchOutcome, take

    path = take(source, entry, default_registry(), root, force=force)
    _finish([FetchOutcome(entry.name, "fetched", path)], as_json)


def _finish(outcomes: "Sequence[FetchOutcome]", as_json: bool) -> None:
    """Print the paths; a single failure is raised."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors and len(outcomes) == 1:
        raise errors[0]
    if as_json:
        ui.print_json({"results": [_as_dict(outcome) for outcome in outcomes]})
    else:
        for outcome in outcomes:
            if outcome.path is not None:
                ui.print_line(str(outcome.path))
    if errors:
        ui.warn(f"{len(errors)} of {len(outcomes)} could not be fetched (see above)")
        raise typer.Exit(MissingError.exit_code)


def _as_dict(outcome: "FetchOutcome") -> dict[str, str | None]:
    return {
        "name": outcome.name,
        "status": outcome.status,
        "path": None if outcome.path is None else str(outcome.path),
        "error": None if outcome.error is None else str(outcome.error),
    }


_HEADERS: Final = ("name", "for", "trained on, or what it is", "size", "licence and terms", "here?")


def catalogue(items: "Sequence[Item]", *, as_json: bool) -> None:
    """Print everything that can be fetched: a table on a screen, else cells separated by tabs."""
    if as_json:
        ui.print_json({"items": [_plain(item) for item in items]})
    elif ui.on_screen():
        for group, members in groupby(items, key=lambda item: item.group):
            ui.print_table((group, "here?", "what it is"), [_short_row(item) for item in members])
    else:
        for row in (_HEADERS, *map(_row, items)):
            ui.print_line("\t".join(row))


def plan(items: "Sequence[Item]", *, force: bool, as_json: bool, quiet: bool) -> None:
    """Print the paths that would be written, and their sources."""
    if as_json:
        ui.print_json({"items": [_plain(item) for item in items]})
        return
    for item in items:
        if item.way == "built in" or (item.here and not force):
            ui.note(f"{item.name}: is here", quiet=quiet)
        elif item.source is None:
            ui.note(f"{item.name}: has no download address, see {item.page or item.paper}")
        else:
            ui.note(f"{item.name}: {_about_download(item)}", quiet=quiet)
            ui.print_line(str(item.path))


def verification(
    entries: "Sequence[Entry]", named: "Sequence[Item]", *, as_json: bool, quiet: bool
) -> None:
    """Check the hashes of what is here and print the results; say why one of ``named`` has none."""
    from sodcli.fetch.catalogue import verify

    results = []
    for name, problem in verify(entries):
        results.append({"name": name, "problem": problem or None})
        if problem:
            ui.error(problem)
        elif not as_json:
            ui.print_line(f"{name}: unchanged since it was fetched")
    if as_json:
        ui.print_json({"results": results})
    checked = {result["name"] for result in results}
    for item in named:
        if item.name not in checked:
            ui.note(f"{item.name}: {_unverified(item)}", quiet=quiet)
    if not results and not named:
        ui.note("the cache holds no fetched weights", quiet=quiet)
    if any(result["problem"] for result in results):
        raise typer.Exit(MissingError.exit_code)


def _unverified(item: "Item") -> str:
    """Say why the weights or data have no hash to check."""
    if item.kind != "weights":
        return f"{item.group} are not verified"
    return "built in" if item.way == "built in" else "not here"


def _about_download(item: "Item") -> str:
    archive = f", in the archive {item.archive} with other sets" if item.archive else ""
    return f"{_size(item) or 'unknown size'} from {item.source}{archive}"


def _row(item: "Item") -> tuple[str, ...]:
    same = item.code == item.license or "the code is" in item.license
    code = None if same else item.code
    more = {"data": item.terms, "code": code}
    terms = "; ".join([item.license, *(f"{of}: {what}" for of, what in more.items() if what)])
    state = item.way if item.way == "built in" else "yes" if item.here else f"no, {item.way}"
    return item.name, item.model or item.group, item.about, _size(item), terms, state


def _short_row(item: "Item") -> tuple[str, str, str]:
    """Return the row in three cells; a narrow screen wraps the last one."""
    name, _, about, size, terms, state = _row(item)
    purpose = f"for {item.model}" if item.kind == "weights" else item.model
    return name, state, "; ".join(filter(None, (purpose, about, size, f"licence {terms}")))


def _size(item: "Item") -> str:
    return "" if item.size is None else f"{item.size / 1e6:,.1f} MB"


def _plain(item: "Item") -> dict[str, Any]:
    return {**asdict(item), "path": str(item.path)}
