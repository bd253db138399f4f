"""``sod fetch``: published weights and data sets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sodcli.cli import fetch_options as opt
from sodcli.cli import fetch_show as show
from sodcli.cli import options, ui
from sodcli.errors import MissingError, UsageError
from sodcli.registry import default_registry

if TYPE_CHECKING:
    from sodcli.pipelines.catalogue import Entry, Item
    from sodcli.pipelines.fetch_all import Outcome
    from sodcli.weights.watch import Watch


def fetch(
    names: opt.Names = None,
    listing: opt.List = False,
    everything: opt.All = False,
    force: opt.Force = False,
    verify: opt.Verify = False,
    source: opt.From = None,
    folder: opt.Folder = None,
    dry_run: opt.DryRun = False,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Get published weights and data sets: checked, kept in the cache, paths to stdout.

    [bold]sod fetch --list[/] shows what there is, [bold]sod fetch inspyrenet[/] gets one, and
    [bold]sod fetch minet --from MINet_Res50.pth[/] takes a file that you got by hand.
    """
    from sodcli.pipelines.catalogue import all_entries, describe, find_entries
    from sodcli.weights.cache import data_root

    _demand_sense(names or [], everything, source, any_will_do=listing or verify)
    registry, root = default_registry(), folder or data_root()
    entries = find_entries(names, registry) if names else all_entries(registry)
    if everything:
        entries = [e for e in entries if _is_for_all(describe(e, registry, root))]
    items = [describe(entry, registry, root) for entry in entries]
    if listing:
        show.catalogue(items, as_json=json)
    elif verify:
        show.verification(entries, as_json=json, quiet=quiet)
    elif dry_run:
        show.plan(items, force=force, as_json=json, quiet=quiet)
    elif source is not None:
        _take(source, entries[0], root, as_json=json)
    else:
        from sodcli.pipelines.fetch import Supply
        from sodcli.pipelines.fetch_all import fetch_all

        with watching(quiet=quiet) as watch:
            supply = Supply(offline=offline, force=force, watch=watch)
            report = _report if len(entries) > 1 else _say_nothing
            outcomes = fetch_all(entries, registry, root, supply, report)
        _finish(outcomes, json)


@contextmanager
def watching(*, quiet: bool) -> "Iterator[Watch]":
    """Show downloads on the screen: a bar while bytes come, and what happens in lines."""
    from sodcli.weights.watch import Watch

    with ui.transfer(quiet=quiet) as moved:
        yield Watch(moved, lambda text: ui.note(text, quiet=quiet))


def _demand_sense(
    names: Sequence[str], everything: bool, source: Path | None, *, any_will_do: bool
) -> None:
    if everything and names:
        raise UsageError("name what to fetch, or --all, not both")
    if source is not None and len(names) != 1:
        raise UsageError("--from FILE needs the one NAME that it is the file of")
    if not (names or everything or any_will_do):
        raise UsageError("name what to fetch, or --all; sod fetch --list shows what there is")


def _is_for_all(item: "Item") -> bool:
    return item.kind == "weights" and item.way == "download"


def _take(source: Path, entry: "Entry", root: Path, *, as_json: bool) -> None:
    from sodcli.pipelines.fetch_all import Outcome, take

    _finish(
        [Outcome(entry.name, "fetched", take(source, entry, default_registry(), root))], as_json
    )


def _report(outcome: "Outcome") -> None:
    if outcome.error is not None:
        ui.error(str(outcome.error))


def _say_nothing(outcome: "Outcome") -> None:
    """A single failure ends the program and is told then."""


def _finish(outcomes: "Sequence[Outcome]", as_json: bool) -> None:
    """Print the paths; the single thing that failed is the error of the program."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors and len(outcomes) == 1:
        raise errors[0]
    if as_json:
        ui.put_json({"results": [_told(outcome) for outcome in outcomes]})
    else:
        for outcome in outcomes:
            if outcome.path is not None:
                ui.put(str(outcome.path))
    if errors:
        ui.warn(f"{len(errors)} of {len(outcomes)} could not be had (listed above)")
        raise typer.Exit(MissingError.exit_code)


def _told(outcome: "Outcome") -> dict[str, str | None]:
    return {
        "name": outcome.name,
        "status": outcome.status,
        "path": None if outcome.path is None else str(outcome.path),
        "error": None if outcome.error is None else str(outcome.error),
    }
