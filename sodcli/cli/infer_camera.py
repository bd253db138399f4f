"""What ``sod infer`` does with a camera: the window, the recording, the lines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from sodcli.cli import ui
from sodcli.cli.infer_style import Style
from sodcli.errors import SinkError, SodError, UsageError

if TYPE_CHECKING:
    from sodcli.infer.camera import Meter
    from sodcli.infer.recording import Recording
    from sodcli.io.camera.capture import Camera
    from sodcli.io.sinks import Job
    from sodcli.runtime.predictor import Predictor

Load = Callable[[], "tuple[Predictor, str]"]

_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class CameraRun:
    """What the command line asks of a camera; the names are those of the options."""

    number: int
    out: str | None
    form: str | None
    codec: str
    overwrite: bool
    start: float
    frames: int | None
    show: bool | None
    show_fps: bool
    dry_run: bool
    json: bool
    quiet: bool


def infer_camera(run: CameraRun, style: Style, load: Load) -> None:
    """Show or record a camera until the user has enough.

    What may be missing, the display and the camera, is looked for first: loading takes seconds.

    Args:
        run: What to do.
        style: How it looks.
        load: Loads the network; returns it and says where it runs.

    Raises:
        SodError: If anything fails; a recording up to there is whole.
        typer.Exit: With 130 if Ctrl-C ended it.
    """
    from sodcli.io.camera.capture import open_camera

    if style.behind is not None:
        raise UsageError(f"{style.behind}: behind a camera goes a picture, not a film")
    if run.start:
        raise UsageError("--start is for films: a camera begins now")
    job = _plan(run, style)
    if run.dry_run:
        _print_plan(run, job)
        return
    show = _wants_window(run, job)
    with open_camera(run.number) as camera:
        interrupted = _run(run, style, camera, job, show, *load())
    if interrupted:
        raise typer.Exit(_INTERRUPTED)


def _plan(run: CameraRun, style: Style) -> "Job | None":
    from sodcli.infer.recording import plan_recording
    from sodcli.io.naming import picture_suffix

    picture_suffix(run.form, films_only=True, alpha=style.alpha)  # a camera gives no pictures
    if run.out is None:
        return None
    return plan_recording(
        run.out,
        f"camera{run.number}",
        style.tag,
        alpha=style.alpha,
        codec=run.codec,
        overwrite=run.overwrite,
    )


def _wants_window(run: CameraRun, job: "Job | None") -> bool:
    """Decide on the window: unasked, it opens if it can, and must where nothing is recorded."""
    from sodcli.io.camera.window import require_display

    if run.show is False:
        if job is None:
            raise UsageError("--no-show leaves nothing to do; add -o out.mp4 to record")
        return False
    try:
        require_display()
    except SinkError:
        if run.show or job is None:
            raise
        ui.note("no display: recording without a window, Ctrl-C ends it", quiet=run.quiet)
        return False
    return True


def _print_plan(run: CameraRun, job: "Job | None") -> None:
    outputs = [] if job is None else [job.output]
    if run.json:
        source = str(run.number)
        rows = [{"input": source, "output": output, "status": "write"} for output in outputs]
        ui.put_json({"results": rows})
        return
    for output in outputs:
        ui.put(output)


def _run(
    run: CameraRun,
    style: Style,
    camera: "Camera",
    job: "Job | None",
    show: bool,
    predictor: "Predictor",
    where: str,
) -> bool:
    """Run the loop and tell what came of it, even if it failed; returns whether Ctrl-C ended it."""
    from sodcli.infer.camera import Meter, live
    from sodcli.infer.photos import Settings
    from sodcli.infer.recording import Recording
    from sodcli.io.camera.window import Window
    from sodcli.runtime.stream import live_predictor

    settings = Settings(style.kind, style.look, style.threshold)
    recording = None if job is None else Recording(job, camera.rate, run.codec)
    meter, about = Meter(), {"model": predictor.spec.name, "device": where}
    try:
        with ui.film_progress(quiet=run.quiet) as move:
            interrupted = live(
                camera,
                live_predictor(predictor),
                settings,
                frames=run.frames,
                show_fps=run.show_fps,
                window=Window(f"sod: {camera.label}, {style.tag}") if show else None,
                recording=recording,
                meter=meter,
                report=lambda meter: move(camera.label, meter.count, run.frames, meter.seconds),
            )
    except SodError as error:
        _tell(run, about, meter, recording, error)
        raise
    _tell(run, about, meter, recording, None)
    return interrupted


def _tell(
    run: CameraRun,
    about: dict[str, str],
    meter: "Meter",
    recording: "Recording | None",
    error: SodError | None,
) -> None:
    """Say how many pictures there were and how fast, and name the recording."""
    output = recording.output if recording is not None and recording.done else None
    rate = f", {meter.mean:.1f} frames/s" if meter.mean else ""
    where = f": {output}" if output else ""
    ui.note(f"{meter.count} frames in {meter.seconds:.1f} s{rate}{where}", quiet=run.quiet)
    if run.json:
        row = {
            "input": str(run.number),
            "output": output,
            "status": "failed" if error else "done",
            "error": str(error) if error else None,
            "frames": meter.count,
            "seconds": round(meter.seconds, 3),
            "fps": round(meter.mean, 2),
        }
        ui.put_json({**about, "results": [row]})
    elif output:
        ui.put(output)
