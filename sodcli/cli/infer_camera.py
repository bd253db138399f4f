"""What ``sod infer`` does with a camera: window, recording and messages."""

from typing import TYPE_CHECKING

import typer

from sodcli.cli import ui
from sodcli.cli.infer_checks import check_options
from sodcli.cli.loading import NetworkOptions
from sodcli.errors import INTERRUPTED, SinkError, SodError, UsageError

if TYPE_CHECKING:
    from sodcli.infer.camera import Meter
    from sodcli.infer.recording import Recording
    from sodcli.io.camera.capture import Camera
    from sodcli.io.settings import InferSettings
    from sodcli.io.sinks import Job
    from sodcli.runtime.predictor import Predictor


def infer_camera(
    source: int | str, settings: "InferSettings", network: NetworkOptions, device: str
) -> None:
    """Show or record a camera until the user ends it.

    Display and camera are opened before the network is loaded, which takes seconds.

    Args:
        source: The camera's number, or the stream's address.
        settings: The run's settings.
        network: Which network to load.
        device: As typed.

    Raises:
        SodError: If anything fails; the recording up to that moment is complete.
        typer.Exit: With 130 if Ctrl-C ended it.
    """
    from sodcli.io.camera.capture import live_label, open_camera

    if len(settings.styles) > 1:
        raise UsageError(f"{live_label(source)}: a camera gives one result; leave one -t")
    film = settings.styles[0].film
    if film is not None:
        raise UsageError(f"{film}: behind a camera goes a picture, not a film")
    if isinstance(source, str) and network.offline:
        raise UsageError(f"{live_label(source)}: --offline opens no stream")
    if settings.start_s:
        raise UsageError("--start is for films: a camera begins now")
    if settings.duration_s is not None:
        raise UsageError("--duration is for films: end a camera with --frames or Ctrl-C")
    job = _plan(source, settings)
    check_options(settings, [] if job is None else [job], camera=live_label(source))
    if settings.dry_run:
        _print_plan(source, settings, job)
        return
    show = _wants_window(settings, job)
    with open_camera(source) as camera:
        predictor, where = network.load(device, settings.quiet)
        interrupted = _run(source, settings, camera, job, show, predictor, where)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _plan(source: int | str, settings: "InferSettings") -> "Job | None":
    from sodcli.infer.recording import plan_recording
    from sodcli.io.camera.capture import live_name
    from sodcli.io.naming import picture_suffix

    alpha = settings.styles[0].alpha
    picture_suffix(settings.form, films_only=True, alpha=alpha)  # a camera gives no pictures
    job = None if settings.out is None else plan_recording(live_name(source), settings)
    if job is not None and job.target is None:
        ui.check_stdout("film", as_json=settings.json)
    return job


def _wants_window(settings: "InferSettings", job: "Job | None") -> bool:
    """Return True if a window opens: by default where there is a display.

    Raises:
        SinkError: If there is no display, and a window is requested or nothing is recorded.
        UsageError: If neither a window nor a recording is requested.
    """
    from sodcli.io.camera.window import require_display

    if settings.show is False:
        if job is None:
            raise UsageError("--no-show leaves nothing to do; add -o out.mov to record")
        return False
    try:
        require_display()
    except SinkError:
        if settings.show or job is None:
            raise
        ui.note("no display: recording without a window, Ctrl-C ends it", quiet=settings.quiet)
        return False
    return True


def _print_plan(source: int | str, settings: "InferSettings", job: "Job | None") -> None:
    from sodcli.io.camera.capture import without_credentials

    outputs = [] if job is None else [job.output]
    if settings.json:
        shown = without_credentials(str(source))
        rows = [{"input": shown, "output": output, "status": "write"} for output in outputs]
        ui.print_json({"results": rows})
        return
    for output in outputs:
        ui.print_line(output)


def _run(
    source: int | str,
    settings: "InferSettings",
    camera: "Camera",
    job: "Job | None",
    show: bool,
    predictor: "Predictor",
    where: str,
) -> bool:
    """Run the loop and print a summary, even if it failed; return True if Ctrl-C ended it."""
    from sodcli.infer.camera import Meter, live
    from sodcli.infer.recording import Recording
    from sodcli.io.camera.window import Window
    from sodcli.runtime.stream import live_predictor

    recording = None if job is None else Recording(job, camera.rate, settings)
    title = f"sod: {camera.label}, {settings.styles[0].tag}"
    meter, about = Meter(), {"model": predictor.spec.name, "device": where}
    try:
        with ui.film_progress(quiet=settings.quiet) as move:

            def at(meter: Meter) -> None:
                move(camera.label, meter.count, settings.frames, meter.seconds)

            interrupted = live(
                camera,
                live_predictor(predictor, steady=settings.steady),
                settings,
                window=Window(title) if show else None,
                recording=recording,
                meter=meter,
                report=at,
            )
    except SodError as error:
        _report(source, settings, about, meter, recording, error)
        raise
    _report(source, settings, about, meter, recording, None)
    return interrupted


def _report(
    source: int | str,
    settings: "InferSettings",
    about: dict[str, str],
    meter: "Meter",
    recording: "Recording | None",
    error: SodError | None,
) -> None:
    """Print the number of pictures, their rate and the recording."""
    from sodcli.io.camera.capture import without_credentials

    output = recording.output if recording is not None and recording.done else None
    rate = f", {meter.mean:.1f} frames/s" if meter.mean else ""
    where = f": {output}" if output else ""
    ui.note(f"{meter.count} frames in {meter.seconds:.1f} s{rate}{where}", quiet=settings.quiet)
    if settings.json:
        row = {
            "input": without_credentials(str(source)),
            "output": output,
            "status": "failed" if error else "done",
            "error": str(error) if error else None,
            "frames": meter.count,
            "seconds": round(meter.seconds, 3),
            "fps": round(meter.mean, 2),
        }
        ui.print_json({**about, "results": [row]})
    elif output and recording is not None and recording.target is not None:
        ui.print_line(output)
