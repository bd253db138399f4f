"""``sod pseudo-label``: dense labels for films with sparse ground truth."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodcli.cli import completion, options, ui
from sodcli.cli.test import set_names
from sodcli.errors import BatchError
from sodcli.registry import default_registry
from sodcli.text import plural

if TYPE_CHECKING:
    from sodcli.labels.pseudo_label import Label, LabelOutcome, LabelRequest


Flow = Annotated[
    str,
    typer.Option(
        help="Optical flow: dis, or raft-small or raft-large (sod fetch).",
        autocompletion=completion.flows,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        help="A name of models.toml or a file. Default: fgplg.",
        autocompletion=completion.generators,
    ),
]


def pseudo_label(
    data: Annotated[
        Path,
        typer.Option(metavar="ROOT", help="A folder of data sets, a data set, or one sequence."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Labels go to DIR/M_L/SET/FILM/FRAME.png."),
    ],
    sets: Annotated[
        str | None,
        typer.Option(metavar="A+B", help="Such as DAVIS+VOS+FBMS. Default: all films of ROOT."),
    ] = None,
    label_interval: Annotated[
        int, typer.Option(min=1, metavar="L", help="Keep one annotation of L.")
    ] = 5,
    between: Annotated[
        int, typer.Option(min=1, metavar="M", help="Labels to make between two that are kept.")
    ] = 1,
    warp_only: Annotated[
        bool, typer.Option("--warp-only", help="Average the warped labels; needs no weights.")
    ] = False,
    flow: Flow = "dis",
    weights: Weights = None,
    size: options.Size = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing labels.")
    ] = False,
    device: options.Device = "auto",
    half: options.Half = False,
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    traceback: options.Traceback = False,
) -> None:
    """Make labels for the frames between sparse annotations of films, to train on both.

    [bold]sod pseudo-label --data ROOT --sets DAVIS+VOS --label-interval 5 --between 1 -o labels[/]
    keeps one annotation of five, makes a label in the middle of every gap, writes all of them to
    labels/1_5 and prints that path. Existing labels are kept: the same command continues a run.
    """
    from sodcli.labels.pseudo_label import LabelRequest
    from sodcli.runtime.device import choose_device, describe_device, set_threads

    folder = out / f"{between}_{label_interval}"
    labels = _plan(data, sets, label_interval, between, folder, quiet=quiet)
    set_threads(threads)
    target = choose_device(device)
    request = LabelRequest(
        out=folder,
        flow=flow,
        device=target,
        warp_only=warp_only,
        weights=weights,
        size=size,
        half=half,
        overwrite=overwrite,
    )
    ui.note(f"device: {describe_device(target, half)}, flow {flow}", quiet=quiet)
    outcomes, shares = _work(labels, request, quiet=quiet)
    if verbose:
        ui.note("time: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    _report(outcomes, folder, shares, as_json=json, quiet=quiet)


def _plan(
    data: Path, sets: str | None, interval: int, count: int, folder: Path, *, quiet: bool
) -> "list[Label]":
    from sodcli.data.films import find_films
    from sodcli.labels.pseudo_label import plan

    found = find_films(data, set_names(sets), default_registry().datasets)
    labels = plan(found.films, interval, count, folder)
    for remark in () if quiet else found.remarks:
        ui.warn(remark)
    return labels


def _work(
    labels: "list[Label]", request: "LabelRequest", *, quiet: bool
) -> "tuple[list[LabelOutcome], dict[str, float]]":
    from sodcli.labels.pseudo_label import make_labels

    with ui.progress("labels", len(labels), quiet=quiet) as advance:

        def report(outcome: "LabelOutcome") -> None:
            advance(1)
            if outcome.error is not None:
                ui.error(str(outcome.error))

        return make_labels(labels, request, report)


def _report(
    outcomes: "Sequence[LabelOutcome]",
    folder: Path,
    shares: dict[str, float],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print counts and folders of the labels; exit with code 3 if some could not be made."""
    counts = Counter((outcome.label.film.set, outcome.status) for outcome in outcomes)
    rows: list[dict[str, Any]] = [
        {
            "set": name,
            "films": len({o.label.film.name for o in outcomes if o.label.film.set == name}),
            "output": str(folder / name),
            **{word: counts[name, word] for word in ("kept", "made", "skipped", "failed")},
        }
        for name in dict.fromkeys(outcome.label.film.set for outcome in outcomes)
    ]
    errors = [str(outcome.error) for outcome in outcomes if outcome.error is not None]
    if as_json:
        ui.print_json({"output": str(folder), "sets": rows, "time": shares, "errors": errors})
    else:
        for row in rows:
            ui.note(
                f"{row['set']}: {plural(row['films'], 'film')}, "
                f"{plural(row['kept'], 'annotation')} kept, {plural(row['made'], 'label')} made, "
                f"{row['skipped']} there already, in {row['output']}",
                quiet=quiet,
            )
        ui.print_line(str(folder))
    if errors:
        ui.warn(f"{len(errors)} of {len(outcomes)} labels failed (listed above)")
        raise typer.Exit(BatchError.exit_code)
