"""``sod runs``: compare training runs."""

from pathlib import Path
from typing import Annotated

import typer

from sodcli.cli import options, ui


def runs(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of sod train, or a folder of them."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help="Also write a page with curves."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Compare training runs: progress, best scores, and the settings that differ.

    [bold]sod runs runs/a runs/b -o runs.html[/] also draws their curves and shows their maps of
    the same validation photos.
    """
    from sodcli.benchmark import runs as work
    from sodcli.errors import UsageError
    from sodcli.files import write_whole

    if out is not None and out.suffix.lower() != ".html":
        raise UsageError(f"-o {out}: the page is HTML; name it FILE.html")
    found = work.read_runs(folders)
    if json:
        ui.print_json(
            [
                {"run": str(run.folder), "settings": dict(run.settings), "epochs": list(run.rows)}
                for run in found
            ]
        )
    else:
        ui.print_table(*work.progress_table(found))
        head, lines = work.settings_table(found)
        if lines:
            ui.print_line("")
            ui.print_table(head, lines)
    if out is not None:
        write_whole(out, work.as_page(found).encode(errors="replace"))
        ui.note(f"wrote {out}", quiet=quiet)
