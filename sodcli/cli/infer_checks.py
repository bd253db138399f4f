"""Checks of the options of ``sod infer`` against its sources, its results and each other."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sodcli.cli import ui
from sodcli.errors import UsageError
from sodcli.files import user_path
from sodcli.process import rank
from sodcli.text import display_name

if TYPE_CHECKING:
    from sodcli.io.settings import InferSettings
    from sodcli.io.sinks import Job


def check_options(
    settings: "InferSettings", jobs: "Sequence[Job]", *, camera: str | None = None
) -> None:
    """Refuse options that do not go together, and warn about those without effect.

    Args:
        settings: The run's settings.
        jobs: What is to be written.
        camera: Name of the camera or stream in messages, if that is the source.

    Raises:
        UsageError: If an option for photos is given with a film or camera, two options exclude each
            other, the mask does not exist, or the page of ``--report`` would replace another file.
    """
    kinds: set[str] = {"camera"} if camera else {job.input.kind for job in jobs}
    for option, given in {
        "--mask": settings.mask is not None,
        "--box": settings.box is not None,
        "--crop, --margin and --canvas": settings.framing is not None,
    }.items():
        if given and kinds != {"picture"}:
            films = (job.source for job in jobs if job.input.kind == "film")
            raise UsageError(
                f"{option}: for photos only; leave out {display_name(camera or next(films))}"
            )
    if settings.sound is not None and not settings.audio:
        raise UsageError("--sound and --no-audio exclude each other")
    if not settings.quiet and rank() == 0:
        for remark in _without_effect(settings, jobs, kinds):
            ui.warn(remark)
    if settings.mask is not None:
        _check_mask(settings, len({job.source for job in jobs}))
    if settings.report is not None:
        _check_report(settings)


def _without_effect(
    settings: "InferSettings", jobs: "Sequence[Job]", kinds: set[str]
) -> Iterator[str]:
    """Yield a line about options for other kinds of sources, and for other formats."""
    idle = {
        option: uses
        for option, given, *uses in (
            ("--report", settings.report is not None and "camera" in kinds, "picture"),
            ("--no-clean", not settings.clean, "picture"),
            ("--start", settings.start_s, "film"),
            ("--duration", settings.duration_s is not None, "film"),
            ("--frames", settings.frames, "film", "camera"),
            ("--steady", not settings.steady, "film", "camera"),
            ("--rate", settings.rate, "film"),
            ("--sound", settings.sound, "film"),
            ("--no-audio", not settings.audio, "film"),
            ("--codec", settings.codec != "auto", "film", "camera"),
            ("--show" if settings.show else "--no-show", settings.show is not None, "camera"),
            ("--show-fps", settings.show_fps, "camera"),
        )
        if given and not kinds.intersection(uses)
    }
    if idle:
        used = {kind for uses in idle.values() for kind in uses}
        some = " or ".join(kind for kind in ("picture", "film", "camera") if kind in used)
        yield f"{', '.join(idle)}: without effect, no source is a {some}"
    films = "film" in kinds
    if settings.rate and films and not any(job.input.is_sequence for job in jobs):
        yield "--rate: without effect, no film is made of pictures"
    if settings.sound and films and not any(job.has_sound(settings.codec) for job in jobs):
        yield "--sound: without effect, no result is of a format with sound"
    if settings.quality is not None and not any(job.has_quality(settings.codec) for job in jobs):
        yield "--quality: without effect, no result is of a lossy format"
    if settings.compress is not None and not any(job.is_png for job in jobs):
        yield "--compress: without effect, no result is a PNG"


def _check_mask(settings: "InferSettings", photos: int) -> None:
    if settings.box is not None:
        raise UsageError("--mask and --box exclude each other: the box is for the network")
    path = user_path(str(settings.mask))
    if not path.exists():
        raise UsageError(f"--mask {display_name(path)}: no such file or folder")
    if not path.is_dir() and photos > 1:
        raise UsageError("--mask FILE is for one photo; of several, name a folder of masks")


def _check_report(settings: "InferSettings") -> None:
    from sodcli.infer.sheet import is_sheet  # brings OpenCV

    page = user_path(str(settings.report))
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {display_name(page)}: its name must end in .html")
    if page.exists() and not settings.overwrite and not is_sheet(page):
        raise UsageError(
            f"{display_name(page)}: exists and is no page of --report; --overwrite replaces it"
        )
