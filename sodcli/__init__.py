"""Salient object detection for pictures, films and camera streams.

The public names are ``load`` and ``Predictor``. They are imported on first use, because the import
is slow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sodcli.runtime.predictor import Predictor, load

__version__ = "0.2.0"
__all__ = ["Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in ("Predictor", "load"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("sodcli.runtime.predictor"), name)


def __dir__() -> list[str]:
    return __all__
