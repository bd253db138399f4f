"""Work on a batch as one, or on parts of it where memory does not suffice."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sodcli.errors import DeviceError

T = TypeVar("T")
R = TypeVar("R")


def in_halves(work: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R]:
    """Return ``work(items)``, an answer per item; out of memory, the answers of two halves.

    Raises:
        DeviceError: If memory does not suffice even for one item.
    """
    if not items:
        return []
    try:
        return work(items)
    except DeviceError:
        if len(items) == 1:
            raise
    middle = len(items) // 2  # outside the handler, whose error would hold on to the memory
    return in_halves(work, items[:middle]) + in_halves(work, items[middle:])
