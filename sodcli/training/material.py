"""The pictures of a run: pairs, clips or triples, to learn from and to validate on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sodcli.data.clips import PAPER_CUTS, Clip, by_folder, disjoint_clips, overlapping_clips
from sodcli.data.films import FilmList, find_films, pseudo_pairs
from sodcli.data.footage import Footage, find_footage, hold_out_footage
from sodcli.data.layouts import pictures_under
from sodcli.data.pairs import Pair, PairList, find_pairs, hold_out, hold_out_films
from sodcli.data.read import check_pairs
from sodcli.data.triples import Triple, triples_of
from sodcli.errors import MissingError
from sodcli.files import user_path
from sodcli.registry import DatasetSpec, ModelSpec, Registry
from sodcli.training.config import TrainConfig

Items = tuple[Pair, ...] | tuple[Clip, ...] | tuple[Triple, ...]
Known = Mapping[str, DatasetSpec]


@dataclass(frozen=True, slots=True)
class Material:
    """The pictures of a run.

    Attributes:
        train: Pairs to learn from; clips for a clip model, triples for the pseudo-label generator.
        held: The same to validate on; may be empty.
        problems: What is wrong with the folders, a line each.
        backgrounds: Photos to paste subjects on.
    """

    train: Items
    held: Items
    problems: tuple[str, ...]
    backgrounds: tuple[Path, ...] = ()

    def names(self) -> Iterator[str]:
        """Yield the names of all pictures to learn from, clip by clip."""
        for item in self.train:
            pairs = (item,) if isinstance(item, Pair) else item.pairs
            yield from (str(pair.image) for pair in pairs)


def find_material(config: TrainConfig, registry: Registry) -> Material:
    """Find the pairs that ``config`` names and hold some back, if it names none to validate on.

    The validation pairs, which every score depends on, are all read once; training pairs that
    cannot be read are reported when their turn comes.

    Raises:
        MissingError: If a folder does not exist or holds nothing of use.
    """
    spec, known = registry.model(config.model), registry.datasets
    backgrounds = tuple(path for folder in config.backgrounds for path in _pictures(Path(folder)))
    if spec.task == "pseudo-label":
        found = _triples(config, known)
    elif config.clip_len > 1:
        found = _clips(config, known, spec)
    else:
        found = _pairs(config, known)
    problems = found.problems
    if config.pseudo_labels and not config.val:
        problems += ("validation is on pseudo labels; --val DIR would name ground truth",)
    return Material(found.train, found.held, problems, backgrounds)


def _pairs(config: TrainConfig, known: Known) -> Material:
    found, given = _found(config, known)
    if config.val:
        train, held = found.pairs, given.pairs
    else:
        train, held = hold_out(found.pairs, config.holdout, config.seed)
    readable = check_pairs(held)
    return Material(train, readable.pairs, found.problems + given.problems + readable.problems)


def _clips(config: TrainConfig, known: Known, spec: ModelSpec) -> Material:
    """Return clips; those to validate on are cut as the model's paper tests."""
    found, given = _found(config, known)
    # Frames with pseudo labels are a film's, however far apart they lie and little alike they look.
    films = Footage(tuple(by_folder(found.pairs)), ()) if config.pseudo_labels else None
    train, held = films or find_footage(found.pairs), find_footage(given.pairs)
    if not config.val:
        train, held = hold_out_footage(train, config.holdout, config.seed)
    readable = check_pairs(held.pairs)
    cut = overlapping_clips if config.overlap else disjoint_clips
    tested = held.only(readable.pairs)
    return Material(
        train.sparse(config.label_interval).clips(config.clip_len, config.gaps, cut),
        tested.clips(config.clip_len, [spec.frame_gap], PAPER_CUTS[spec.short_film]),
        found.problems + given.problems + readable.problems,
    )


def _triples(config: TrainConfig, known: Known) -> Material:
    """Return triples of labelled frames; films are held out as a whole."""
    found, given = _films(config.data, known), _films(config.val, known)
    if config.val:
        train, held = found.films, given.films
    else:
        train, held = hold_out_films(found.films, config.holdout, config.seed)
    learnt, tested = (triples_of(films, config.label_interval) for films in (train, held))
    if not learnt:
        raise MissingError(
            f"no film of {', '.join(config.data)} has three annotations left when one of "
            f"{config.label_interval} is kept; give a smaller --label-interval"
        )
    readable = check_pairs(list(dict.fromkeys(pair for item in tested for pair in item.pairs)))
    whole = tuple(item for item in tested if set(item.pairs) <= set(readable.pairs))
    return Material(learnt, whole, found.remarks + given.remarks + readable.problems)


def _found(config: TrainConfig, known: Known) -> tuple[PairList, PairList]:
    """Return the pairs to train on, and those to validate on if they are named."""
    if config.pseudo_labels:
        found = pseudo_pairs(config.data, Path(config.pseudo_labels), known)
    else:
        found = find_pairs(config.data)
    return found, find_pairs(config.val) if config.val else PairList((), ())


def _films(folders: Sequence[str], known: Known) -> FilmList:
    lists = [find_films(user_path(folder), (), known) for folder in folders]
    return FilmList(
        tuple(film for one in lists for film in one.films),
        tuple(remark for one in lists for remark in one.remarks),
    )


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingError(f"no folder '{folder}' with backgrounds")
    return pictures_under(folder)
