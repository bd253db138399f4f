"""Read every pair once, before training or validation, and say what is wrong with it."""

from collections.abc import Sequence

from sodcli.data.pairs import Pair, PairList, capped
from sodcli.data.read import read_pair
from sodcli.errors import SourceError


def check_pairs(pairs: Sequence[Pair]) -> PairList:
    """Drop the pairs that cannot be read, and report them and the masks that look wrong.

    An all-black mask is legal (nothing stands out) and stays; so does one that is nowhere brighter
    than half, although it is more often a map of class numbers.

    Returns:
        The readable pairs in their order; per kind of fault a line with a count and a few names.
    """
    good: list[Pair] = []
    damaged: list[str] = []
    faint: list[str] = []
    black: list[str] = []
    for pair in pairs:
        try:
            brightest = read_pair(pair)[1].max()
        except SourceError as error:
            damaged.append(str(error))
            continue
        good.append(pair)
        if brightest < 0.5:
            (faint if brightest > 0 else black).append(str(pair.mask))
    kinds = {
        "pairs left out": damaged,
        "masks are all black (kept: nothing stands out)": black,
        "masks are nowhere brighter than half (kept; are they class numbers?)": faint,
    }
    return PairList(
        tuple(good),
        tuple(f"{len(names)} {kind}: {capped(names)}" for kind, names in kinds.items() if names),
    )
