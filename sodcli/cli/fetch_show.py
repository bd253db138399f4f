"""What ``sod fetch`` shows without fetching anything."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import typer

from sodcli.cli import ui
from sodcli.errors import MissingError

if TYPE_CHECKING:
    from sodcli.pipelines.catalogue import Entry, Item

_HEADERS: Final = ("name", "for", "trained on, or what it is", "size", "licence and terms", "here?")


def catalogue(items: "Sequence[Item]", *, as_json: bool) -> None:
    """Print everything that there is to fetch: a table for people, cells and tabs for programs."""
    if as_json:
        ui.put_json({"items": [_plain(item) for item in items]})
    elif ui.on_screen():
        ui.put_table(("name", "here?", "what it is"), [_short_row(item) for item in items])
    else:
        for row in (_HEADERS, *map(_row, items)):
            ui.put("\t".join(row))


def plan(items: "Sequence[Item]", *, force: bool, as_json: bool, quiet: bool) -> None:
    """Print the paths that would come to be, and where from."""
    if as_json:
        ui.put_json({"items": [_plain(item) for item in items]})
        return
    for item in items:
        if item.way == "built in" or (item.here and not force):
            ui.note(f"{item.name}: is here", quiet=quiet)
        elif item.source is None:
            ui.note(f"{item.name}: has to be got by hand, see {item.page or item.paper}")
        else:
            ui.note(f"{item.name}: {_size(item) or 'unknown size'} from {item.source}", quiet=quiet)
            ui.put(str(item.path))


def verification(entries: "Sequence[Entry]", *, as_json: bool, quiet: bool) -> None:
    """Hash again what is here and print what came of it."""
    from sodcli.pipelines.catalogue import verify

    results = []
    for name, problem in verify(entries):
        results.append({"name": name, "problem": problem or None})
        if problem:
            ui.error(problem)
        elif not as_json:
            ui.put(f"{name}: as it was when it came")
    if as_json:
        ui.put_json({"results": results})
    if not results:
        ui.note("nothing is here that was fetched", quiet=quiet)
    if any(result["problem"] for result in results):
        raise typer.Exit(MissingError.exit_code)


def _row(item: "Item") -> tuple[str, ...]:
    more = {"data": item.terms, "code": item.code}
    terms = "; ".join([item.license, *(f"{of}: {what}" for of, what in more.items() if what)])
    state = item.way if item.way == "built in" else "yes" if item.here else f"no, {item.way}"
    return item.name, item.model or "test data", item.about, _size(item), terms, state


def _short_row(item: "Item") -> tuple[str, str, str]:
    """Return all of it in three cells, the last of which a narrow screen breaks between words."""
    name, _, about, size, terms, state = _row(item)
    purpose = f"for {item.model}" if item.model else "test data"
    return name, state, "; ".join(filter(None, (purpose, about, size, f"licence {terms}")))


def _size(item: "Item") -> str:
    return "" if item.size is None else f"{item.size / 1e6:,.1f} MB"


def _plain(item: "Item") -> dict[str, Any]:
    return {**asdict(item), "path": str(item.path)}
