"""Cut out photos inside data engines: Ray Data, Spark, Dask and process pools."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sodcli.errors import SourceError, UsageError
from sodcli.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sodcli.io.settings import Style
    from sodcli.runtime.predictor import Predictor

_READERS: Final = 8  # photos of an object store that are read at the same time


@dataclass(kw_only=True)  # neither frozen nor with slots: Ray sets attributes of its own
class CutOut:
    """Cuts out the photos of a batch; for ``map_batches`` of Ray Data and the like.

    An object holds settings only and can be pickled; each process loads the network at its first
    batch and keeps it. A photo that fails costs itself only: its row says why.

    Actors of Ray that take every core of a cluster leave none to the tasks that read the photos;
    the job then never starts.

    Attributes:
        column: Name of the column of photos: bytes of picture files, paths, URLs that fsspec reads
            (``s3://...``, needs the package of the store), or whatever else
            :data:`sodcli.runtime.inputs.Picture` lists.
        type: A value of ``sod infer --type``.
        format: Format of the results: ``png``, ``jpg``, ``webp``, ``avif``, ``tiff`` or ``bmp``;
            ``None`` gives uint8 arrays.
        refine: See :meth:`sodcli.Predictor.cut_out`.
        threshold: See :meth:`sodcli.Predictor.cut_out`.
        clean: See :meth:`sodcli.Predictor.cut_out`.
        batch: Photos per forward pass; more than one pays off on a GPU.
        model: See ``name`` of :func:`sodcli.load`.
        weights: See :func:`sodcli.load`.
        device: See :func:`sodcli.load`.
        backend: See :func:`sodcli.load`.
        size: See :func:`sodcli.load`.
        threads: CPU threads of the network in each process, all else runs on one; give the engine
            the same number of cores for it.

    Raises:
        UsageError: If there is no such type or format, the format lacks a needed alpha channel, or
            a number is out of range.
        SourceError: If the type is a background picture that cannot be read.
    """

    column: str = "bytes"
    type: str = "rgba"
    format: str | None = "png"
    refine: bool = True
    threshold: float | None = None
    clean: bool = True
    batch: int = 1
    model: str | None = None
    weights: str | None = None
    device: str = "auto"
    backend: str = "auto"
    size: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        from sodcli.io.naming import picture_suffix
        from sodcli.runtime.predictor import check_threshold

        for name in ("batch", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        check_threshold(self.threshold)
        style = _style(self.type, self.refine)
        picture_suffix(self.format, films_only=False, alpha=style.alpha)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Return ``batch`` with two more columns.

        ``cut_out`` holds the encoded picture, or with ``format=None`` an array as
        :meth:`sodcli.Predictor.cut_out` returns it; empty bytes or an empty array for a photo that
        failed. ``error`` holds one line for such a photo, else an empty string.

        Raises:
            UsageError: If the batch has no such column, or a setting is wrong.
            WeightsError: If the network cannot be loaded; other errors of :func:`sodcli.load`.
        """
        if self.column not in batch:
            raise UsageError(f"no column {self.column!r}; there are: {', '.join(batch)}")
        results = self._results(batch[self.column])
        pictures, errors = (np.empty(len(results), object) for _ in range(2))
        nothing = b"" if self.format else np.zeros((0, 0, 4), np.uint8)
        for row, result in enumerate(results):
            failed = isinstance(result, Exception)
            pictures[row] = nothing if failed else result
            errors[row] = _one_line(result) if failed else ""
        return {**batch, "cut_out": pictures, "error": errors}

    def _results(self, photos: Sequence[Any]) -> list[Any]:
        """Return the result of each photo, or the error that it raised."""
        from sodcli.runtime.threads import opencv_in_line, ordered

        predictor = _predictor(
            self.model, self.weights, self.device, self.backend, self.size, self.threads
        )
        style = _style(self.type, self.refine)
        readers = _READERS if any(map(_is_url, photos)) else 1
        frames = ordered(partial(_try, _read), photos, readers)
        results: list[Any] = []
        with opencv_in_line():  # its threads would compete with the engine's other workers
            while some := list(islice(frames, self.batch)):
                answers = _predict(predictor, some)
                results += [_try(partial(self._draw, style), one) for one in answers]
        return results

    def _draw(self, style: "Style", frame: Frame) -> "bytes | NDArray[np.uint8]":
        from sodcli.imaging.compose import needs_srgb
        from sodcli.io.naming import picture_suffix
        from sodcli.io.pictures.encode import encode_picture
        from sodcli.runtime.predictor import drawn

        pixels = drawn(frame, style, threshold=self.threshold, clean=self.clean)
        if self.format is None:
            return pixels
        icc = None if needs_srgb(style.kind) else frame.icc
        suffix = picture_suffix(self.format, films_only=False, alpha=style.alpha)
        return encode_picture(pixels, suffix, icc=icc)


@lru_cache(maxsize=4)
def _predictor(
    model: str | None,
    weights: str | None,
    device: str,
    backend: str,
    size: int | None,
    threads: int,
) -> "Predictor":
    from sodcli.runtime.predictor import load

    return load(model, weights=weights, device=device, backend=backend, size=size, threads=threads)


@lru_cache(maxsize=4)
def _style(kind: str, refine: bool) -> "Style":
    from sodcli.io.settings import choose_style

    return choose_style(kind, refine=refine)


def _try(work: Callable[[Any], Any], item: Any) -> Any:
    """Return ``work(item)``, or the error that it raised; an error in place of an item stays."""
    if isinstance(item, Exception):
        return item
    try:
        return work(item)
    except Exception as error:  # noqa: BLE001 - a photo must not end the job
        return error


def _is_url(photo: Any) -> bool:
    return isinstance(photo, str) and "://" in photo


def _read(photo: Any) -> Frame:
    from sodcli.io.pictures.read import read_stream
    from sodcli.runtime.inputs import to_frame

    if not _is_url(photo):
        return to_frame(photo)
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise SourceError(f"{photo}: URLs need the package fsspec; pip install fsspec") from error
    try:
        with fsspec.open(photo, "rb") as stream:
            return read_stream(stream, name=photo)
    except SourceError:
        raise
    except Exception as error:  # every store has exceptions of its own
        raise SourceError(f"{photo}: {error}") from error


def _predict(predictor: "Predictor", frames: list[Any]) -> list[Any]:
    """Return frames with their saliency, or the errors in their place.

    If a batch fails, its frames are tried one by one.
    """
    good = [one for one in frames if isinstance(one, Frame)]
    answers = _try(predictor.predict, good) if good else []
    if isinstance(answers, Exception):
        alone = [_try(predictor.predict, [one]) for one in good] if len(good) > 1 else [answers]
        answers = [one if isinstance(one, Exception) else one[0] for one in alone]
    rest = iter(answers)
    return [next(rest) if isinstance(one, Frame) else one for one in frames]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
