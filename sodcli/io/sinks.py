"""Choose the target of each result, and write pictures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import UsageError
from sodcli.files import write_whole
from sodcli.io.films.formats import (
    FRAMES,
    PIPED_SUFFIX,
    Codec,
    choose_codec,
    is_film_format,
    usual_suffix,
)
from sodcli.io.films.frame_folder import frame_name
from sodcli.io.naming import DEFAULT_SUFFIX, name_outputs, picture_suffix
from sodcli.io.pictures.encode import check_format, encode_picture, is_format, is_lossy
from sodcli.io.pictures.read import read_software
from sodcli.io.pipe import write_stdout
from sodcli.io.settings import RGBA, InferSettings, Style
from sodcli.io.sources import Input
from sodcli.text import display_name


@dataclass(frozen=True, slots=True)
class Job:
    """An input and one result to produce from it.

    Attributes:
        input: The picture or film.
        target: The file, or the folder of a film's frames; ``None`` for standard output.
        style: The appearance of the result.
        frames: Whether ``target`` is a folder of frames, or standard output takes them one by one.
        piped: The format of pictures on standard output, as a suffix.
        kept: The target exists and is kept; the photo is processed only for the report.
        kept_otherwise: Such a target was made with other settings; the report shows the file.
    """

    input: Input
    target: Path | None
    style: Style = RGBA
    frames: bool = False
    piped: str = DEFAULT_SUFFIX
    kept: bool = False
    kept_otherwise: bool = False

    @property
    def source(self) -> str:
        """The input as a command-line argument."""
        if self.input.pictures:
            return str(self.input.pictures[0].parent)
        return str(self.input.path or "-")

    @property
    def output(self) -> str:
        """The target as a command-line argument."""
        return str(self.target or "-")

    @property
    def suffix(self) -> str:
        """The suffix that determines the format of a picture."""
        if self.frames and self.target:
            return DEFAULT_SUFFIX
        return self.target.suffix if self.target else self.piped

    def has_quality(self, wanted: str) -> bool:
        """Return True if the format of the result has a quality; ``wanted`` is the film codec."""
        codec = self._film_codec(wanted)
        return is_lossy(self.suffix) if codec is None else codec.quality is not None

    def has_sound(self, wanted: str) -> bool:
        """Return True if the format of the result has sound; ``wanted`` is the film codec."""
        codec = self._film_codec(wanted)
        return codec is not None and bool(codec.work)  # animated pictures are not muxed

    def _film_codec(self, wanted: str) -> Codec | None:
        """Return the codec of the film that results; ``None`` for pictures."""
        if self._is_pictures:
            return None
        suffix = self.target.suffix if self.target else PIPED_SUFFIX
        return choose_codec(self.output, suffix, alpha=self.style.alpha, wanted=wanted)

    @property
    def is_png(self) -> bool:
        """Whether the result is a PNG file, or several."""
        return self._is_pictures and self.suffix.lower() == ".png"

    @property
    def _is_pictures(self) -> bool:
        """Whether the result is a picture, or several."""
        return self.input.kind == "picture" or self.frames

    def exists(self) -> bool:
        """Return True if the target exists."""
        if self.target is None:
            return False
        target = self.target / frame_name(0) if self.frames else self.target
        return os.path.exists(target)  # noqa: PTH110 - unlike Path.exists it never raises

    def made_otherwise(self, settings: InferSettings) -> bool:
        """Return True if the target exists and sodcli made it with other settings.

        Files without that information give False: formats that cannot hold it (BMP, GIF, animated
        WebP and APNG, folders of frames), and what other programs made.
        """
        if self.target is None or not self.target.is_file():  # reading a FIFO would block
            return False
        if film := self.input.kind == "film":
            from sodcli.io.films.tracks import read_tracks  # brings ffmpeg

            made = read_tracks(self.target).software
        else:
            made = read_software(self.target)
        return made.startswith("sodcli ") and made.split()[-1] != settings.digest(
            self.style, film=film
        )


def plan_outputs(inputs: Sequence[Input], settings: InferSettings) -> list[Job]:
    """Choose the target of every result, before any work is done.

    ``settings.out`` may be a file, for a single result; a folder, if it exists, ends in a separator
    or receives several results; or ``-`` for standard output. With ``None``, results go beside
    their inputs, and the result of standard input goes to standard output. If a single film with
    transparency goes to a folder and no codec is given, its frames are written there as PNG; those
    of pictures on standard input always are. On standard output a film is Matroska.

    Args:
        inputs: From ``find_inputs``.
        settings: The run's settings.

    Returns:
        One job per input and style; the jobs of one input are adjacent.

    Raises:
        UsageError: If the format cannot be written or lacks a needed alpha channel, if ``out`` is a
            file but there are several results or ``form`` differs, if two results would have the
            same name, or if a result would replace another input, or its own input without
            ``settings.overwrite``.
    """
    inputs = _as_sequence(inputs, settings.out)
    columns = [_plan_style(inputs, style, settings) for style in settings.styles]
    jobs = [job for row in zip(*columns, strict=True) for job in row]
    _refuse_doubles(jobs)
    _refuse_replacing_inputs(jobs, settings.overwrite)
    return jobs


def _as_sequence(inputs: Sequence[Input], out: str | None) -> Sequence[Input]:
    """Return several pictures as one film input if ``out`` names a film file."""
    suffix = Path(out or "").suffix
    paths = [item.path for item in inputs if item.path is not None and item.kind == "picture"]
    if not is_film_format(suffix) or suffix.lower() == ".png" or os.path.isdir(str(out)):  # noqa: PTH112
        return inputs
    if len(paths) < 2 or len(paths) != len(inputs):
        return inputs
    return [Input(paths[0], kind="film", pictures=tuple(paths))]


def _plan_style(inputs: Sequence[Input], style: Style, settings: InferSettings) -> list[Job]:
    out, codec = settings.out, settings.codec
    results = len(inputs) * len(settings.styles)
    piped = out == "-" or (out is None and any(item.path is None for item in inputs))
    films_only = all(item.kind == "film" and not (piped and item.in_series) for item in inputs)
    suffix = picture_suffix(settings.form, films_only=films_only, alpha=style.alpha)
    if any(item.in_series for item in inputs):
        _require_one(len(settings.styles), "a series of pictures on standard input")
    if piped:
        _require_one(results, "standard output")
        return [_plan_piped(inputs[0], style, codec, suffix)]
    frames = codec == FRAMES
    if out is not None and _means_file(out, inputs):
        _require_one(results, display_name(out))
        targets = [Path(out)]
    elif out is not None and results == 1 and _means_frames(inputs[0], style, codec):
        targets, frames = [Path(out)], True
    else:
        folder = None if out is None else Path(out)
        film_suffix = usual_suffix(codec, alpha=style.alpha)
        targets = name_outputs(inputs, style.tag, folder, film_suffix, suffix)
    jobs = [
        Job(item, target, style, frames and item.kind == "film")
        for item, target in zip(inputs, targets, strict=True)
    ]
    for job in jobs:
        _check_job(job, codec, settings.form and suffix)
    return jobs


def _plan_piped(item: Input, style: Style, codec: str, suffix: str) -> Job:
    frames = item.kind == "film" and (codec == FRAMES or (item.in_series and codec == "auto"))
    if item.kind == "film" and not frames:
        choose_codec("standard output", PIPED_SUFFIX, alpha=style.alpha, wanted=codec)
    return Job(item, None, style, frames, suffix)


def save_picture(pixels: NDArray[np.uint8], target: Path | None) -> None:
    """Encode and write a picture; a file is written atomically.

    Args:
        pixels: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA, uint8.
        target: Its suffix determines the format. Its folder is created if missing. ``None`` writes
            PNG to standard output.

    Raises:
        SinkError: If it cannot be written; the message is one line that names the file.
        UsageError: If the suffix is not that of a format, or the format cannot hold these pixels.
    """
    suffix = target.suffix if target else DEFAULT_SUFFIX
    put_picture(encode_picture(pixels, suffix), target)


def put_picture(data: bytes, target: Path | None) -> None:
    """Write an encoded picture; a file is written atomically.

    Args:
        data: The contents of the file.
        target: The file; ``None`` for standard output.

    Raises:
        SinkError: If it cannot be written; the message is one line that names the file.
    """
    if target is None:
        write_stdout(data)
    else:
        write_whole(target, data)


def _check_job(job: Job, codec: str, wanted: str | None) -> None:
    """Raise ``UsageError`` if the target's suffix does not suit the kind of result."""
    if job.target is None or job.frames:
        return
    name, suffix, alpha = display_name(job.target), job.target.suffix, job.style.alpha
    if job.input.kind == "film":
        choose_codec(name, suffix, alpha=alpha, wanted=codec)
    elif wanted and wanted != suffix.lower():
        raise UsageError(f"{name}: --format {wanted[1:]} does not go with this name; leave it out")
    else:
        check_format(name, suffix, alpha=alpha)


def _require_one(results: int, where: str) -> None:
    if results != 1:
        raise UsageError(f"{where} takes one result, not {results}; use -o FOLDER/")


def _means_file(out: str, inputs: Sequence[Input]) -> bool:
    """Return True if ``--out`` names a file, by its suffix or because of the only input."""
    if out.endswith(tuple(filter(None, (os.sep, os.altsep)))) or Path(out).is_dir():
        return False
    suffix = Path(out).suffix
    if is_format(suffix) or is_film_format(suffix):
        return True
    named = len(inputs) == 1 and inputs[0].root is None
    return named and (bool(suffix) or inputs[0].kind == "picture")


def _means_frames(item: Input, style: Style, codec: str) -> bool:
    """Return True if the folder of ``--out`` receives the frames of the only film."""
    film = item.root is None and item.kind == "film"
    return film and (codec == FRAMES or (codec == "auto" and (style.alpha or item.in_series)))


def _refuse_doubles(jobs: Sequence[Job]) -> None:
    """Raise ``UsageError`` if two results, of two inputs or two styles, have the same name."""
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(os.path.normcase(job.output), job)
        if other is job or job.target is None:
            continue
        if other.input is job.input:
            raise UsageError(
                f"two styles would both be written to {display_name(job.output)};"
                " rename one of the backgrounds"
            )
        pair = " and ".join(display_name(one.source) for one in (other, job))
        raise UsageError(
            f"{pair} would both be written to {display_name(job.output)};"
            " give each its own -o folder"
        )


def _refuse_replacing_inputs(jobs: Sequence[Job], overwrite: bool) -> None:
    """Raise ``UsageError`` if a result would replace an input.

    With ``overwrite``, a result may replace its own input, but never that of another job.
    """
    readers = {_file_id(job.input.path): job.input for job in jobs}
    readers.pop(None, None)
    for job in jobs:
        reader = readers.get(_file_id(job.target))
        name = display_name(job.output)
        if reader is job.input and not overwrite:
            raise UsageError(f"{name} is the input itself; --overwrite replaces it")
        if reader not in (None, job.input) and overwrite:
            raise UsageError(
                f"{name} is an input, and the output of {display_name(job.source)};"
                " leave one out, or use -o FOLDER/"
            )


def _file_id(path: Path | None) -> tuple[int, int] | None:
    """Return device and inode of an existing file, links followed; ``None`` if there is none."""
    try:
        status = path and path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status else None
