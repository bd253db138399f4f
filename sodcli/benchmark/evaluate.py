"""``sod eval``: score the saliency maps of several methods against ground truth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

from sodcli.benchmark.matching import Maps, find_maps, find_truths
from sodcli.benchmark.measure import Measured, ScoringTask, measure_all
from sodcli.benchmark.results import Evaluation, ImageResult, ResultRow
from sodcli.data.benchmarks import BenchmarkSet, PairGroup
from sodcli.data.masks import class_numbers, read_mask, refuse_photos
from sodcli.data.pairs import Pair
from sodcli.errors import MissingError, SourceError, UsageError
from sodcli.metrics import USUAL
from sodcli.metrics.measure import check_names
from sodcli.metrics.scores import DatasetScores, ImageScores, summarise
from sodcli.metrics.video import FilmProtocol
from sodcli.text import shortened


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """The files that an evaluation compares.

    Attributes:
        sets: Data sets; of films only the frames that the protocol scores.
        maps: For each method its maps of each set.
        which: Names of the measures to compute.
        film: Protocol of film sets; None to score frames as pictures.
        fit_masks: Resize ground truth of another size to its photo.
        unused: One message per set of the ground truth that no method has maps of.
    """

    sets: tuple[BenchmarkSet, ...]
    maps: Mapping[str, Sequence[Maps]]
    which: frozenset[str]
    film: FilmProtocol | None
    fit_masks: bool = False
    unused: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Number of ground truths."""
        return sum(one.pictures for one in self.sets)


def plan(
    methods: Mapping[str, Path],
    truth: Path | Sequence[BenchmarkSet],
    *,
    which: frozenset[str] = USUAL,
    film: FilmProtocol | None = None,
    fit_masks: bool = False,
) -> EvaluationPlan:
    """Find ground truth and maps.

    Sets without any file of any method are not part of the plan: a root may hold more sets than
    were tested, and training sets.

    Args:
        methods: For each method's name the folder of its maps: ``FOLDER/SET/0001.png``, or
            ``FOLDER/0001.png`` for a single set.
        truth: A data set, a root of data sets, or a folder of masks; or sets already found.
        which: Names of the measures to compute.
        film: Protocol of film sets; None scores every frame as a picture.
        fit_masks: Resize ground truth of another size to its photo.

    Raises:
        MissingError: If a folder does not exist, or no file in it matches.
        UsageError: If a measure is unknown, or ``film`` is given and there is no film set.
        SourceError: If a folder cannot be listed.
    """
    check_names(which)
    sets = find_truths(truth, clips=film is not None) if isinstance(truth, Path) else list(truth)
    maps = {name: find_maps(folder, sets) for name, folder in methods.items()}
    used = [
        any(found[at].of or found[at].unused for found in maps.values())
        for at, _ in enumerate(sets)
    ]
    unused = [one for one, wanted in zip(sets, used, strict=True) if not wanted]
    sets = list(compress(sets, used))
    return EvaluationPlan(
        _scored(sets, film) if film else tuple(sets),
        {name: list(compress(found, used)) for name, found in maps.items()},
        which,
        film,
        fit_masks,
        tuple(f"{one.name}: left out, no method has maps of it" for one in unused),
    )


def run(
    planned: EvaluationPlan,
    *,
    strict: bool = False,
    common: bool = False,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Compute the measures of a plan and average them.

    Args:
        planned: From ``plan``.
        strict: Fail if a map is missing, damaged, resized or of an unusual kind.
        common: Average over the images that all methods have.
        workers: Number of processes; the scores do not depend on it. With more than one, the
            calling program needs an ``if __name__ == "__main__"`` guard.
        advance: Called with the number of ground truths done since the last call.

    Raises:
        MissingError: If ``strict`` and maps are missing; nothing is measured then.
        SourceError: If ``strict`` and there is any other fault, if most ground truths of a set are
            photos, or if every one is faint (no value above one half), as class numbers are.
        PipelineError: If a process was killed.
    """
    tasks = list(_tasks(planned))
    lost = any(path is None for task in tasks for path in task.maps)
    if strict and (lost or planned.unused):
        empty = _evaluation(planned, [tuple(Measured() for _ in planned.maps)] * len(tasks))
        raise MissingError("; ".join([*empty.faults(), *planned.unused]))
    measured = measure_all(tasks, workers, advance)
    evaluation = _evaluation(planned, measured)
    _refuse_wrong_truth(evaluation)
    if strict and evaluation.faults():
        raise SourceError("; ".join(evaluation.faults()))
    if not common:
        return evaluation
    damaged = dict.fromkeys(line for row in evaluation.rows for line in row.damaged)
    return replace(_evaluation(*_on_common_images(planned, measured)), lost=tuple(damaged))


def evaluate(
    methods: Mapping[str, Path],
    truth: Path | Sequence[BenchmarkSet],
    *,
    which: frozenset[str] = USUAL,
    film: FilmProtocol | None = None,
    fit_masks: bool = False,
    strict: bool = False,
    common: bool = False,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Score methods on data sets: ``plan`` and ``run`` in one.

    Raises:
        SodError: As ``plan`` and ``run`` do.
    """
    planned = plan(methods, truth, which=which, film=film, fit_masks=fit_masks)
    return run(planned, strict=strict, common=common, workers=workers, advance=advance)


def _on_common_images(
    planned: EvaluationPlan, measured: Sequence[tuple[Measured, ...]]
) -> tuple[EvaluationPlan, list[tuple[Measured, ...]]]:
    """Drop the images for which any method has no scores.

    Raises:
        MissingError: If a set has no image that all methods have.
    """
    results = iter(measured)
    sets: list[BenchmarkSet] = []
    kept: list[tuple[Measured, ...]] = []
    for one in planned.sets:
        groups = []
        for group in one.groups:
            found = [(pair, next(results)) for pair in group.pairs]
            shared = [(p, r) for p, r in found if all(each.scores is not None for each in r)]
            kept += [r for _, r in shared]
            groups.append(PairGroup(group.name, tuple(pair for pair, _ in shared)))
        left = replace(one, groups=tuple(group for group in groups if group.pairs))
        if not left.groups:
            raise MissingError(f"{one.name}: no image that all methods have")
        if left.pictures < one.pictures:
            message = (
                f"compared on the {left.pictures} of {one.pictures} images that all methods have"
            )
            left = replace(left, remarks=(*left.remarks, f"{one.name}: {message}"))
        sets.append(left)
    return replace(planned, sets=tuple(sets)), kept


def _refuse_wrong_truth(evaluation: Evaluation) -> None:
    for name in evaluation.datasets:
        images = evaluation.of(name)[0].images
        photos = [image.truth for image in images if "photo truth" in image.odd]
        refuse_photos(photos, len(images), f"ground truths of {name}")
        if images and all("faint truth" in image.odd for image in images):
            few = [(image.truth, float(read_mask(image.truth).max())) for image in images[:3]]
            raise SourceError(class_numbers(f"ground truths of {name}", few, len(images)))


def _scored(sets: Sequence[BenchmarkSet], film: FilmProtocol) -> tuple[BenchmarkSet, ...]:
    """Keep the frames that the protocol scores; without film sets, sets of folders are films."""
    films = [one for one in sets if one.film]
    films = films or [one for one in sets if all(clip.name for clip in one.groups)]
    if not films:
        raise UsageError("none of the sets has clips: leave --video out")
    return tuple(_counted(one, film) if one in films else replace(one, film=False) for one in sets)


def _counted(one: BenchmarkSet, film: FilmProtocol) -> BenchmarkSet:
    clips = [PairGroup(clip.name, clip.pairs[film.scored]) for clip in one.groups]
    short = [clip.name for clip in clips if not clip.pairs]
    if len(short) == len(clips):
        raise UsageError(f"{one.name}: every clip is too short for --video {film.name}")
    remarks = [f"{one.name}: too short to be scored: {shortened(short)}"] if short else []
    return replace(
        one,
        film=True,
        groups=tuple(clip for clip in clips if clip.pairs),
        remarks=(*one.remarks, *remarks),
    )


def _pairs(one: BenchmarkSet) -> Iterator[tuple[PairGroup, Pair]]:
    return ((clip, pair) for clip in one.groups for pair in clip.pairs)


def _protocol(planned: EvaluationPlan, one: BenchmarkSet) -> FilmProtocol | None:
    return planned.film if one.film else None


def _tasks(planned: EvaluationPlan) -> Iterator[ScoringTask]:
    """Yield one task per ground truth, set by set."""
    for at, one in enumerate(planned.sets):
        film = _protocol(planned, one)
        plain = film.plain if film else frozenset[str]()
        for _, pair in _pairs(one):
            maps = tuple(found[at].of.get(pair.mask) for found in planned.maps.values())
            photo = pair.image if planned.fit_masks and pair.image != pair.mask else None
            yield ScoringTask(pair.mask, maps, planned.which, plain, photo)


def _evaluation(planned: EvaluationPlan, measured: Sequence[tuple[Measured, ...]]) -> Evaluation:
    results = iter(measured)
    rows: list[ResultRow] = []
    for at, one in enumerate(planned.sets):
        columns = zip(*(next(results) for _ in _pairs(one)), strict=True)
        for (method, found), column in zip(planned.maps.items(), columns, strict=True):
            rows.append(_row(method, one, found[at], column, _protocol(planned, one)))
    remarks = [remark for one in planned.sets for remark in one.remarks]
    return Evaluation(tuple(rows), planned.which, (*planned.unused, *remarks))


def _row(
    method: str,
    one: BenchmarkSet,
    maps: Maps,
    measured: Sequence[Measured],
    film: FilmProtocol | None,
) -> ResultRow:
    images = tuple(
        ImageResult(
            name="/".join(filter(None, (clip.name, pair.image.stem))),
            clip=clip.name,
            photo=pair.image if pair.image != pair.mask else None,
            truth=pair.mask,
            map=maps.of.get(pair.mask),
            scores=result.scores,
            odd=result.odd,
            error=result.error,
        )
        for (clip, pair), result in zip(_pairs(one), measured, strict=True)
    )
    return ResultRow(method, one.name, film, _means(images, film), images, maps.unused)


def _means(images: Sequence[ImageResult], film: FilmProtocol | None) -> DatasetScores | None:
    clips: dict[str, list[ImageScores]] = {}
    for image in images:
        if image.scores is not None:
            clips.setdefault(image.clip, []).append(image.scores)
    if not clips:
        return None
    if film is not None:
        return film.summarise(clips)
    return summarise(scores for frames in clips.values() for scores in frames)
