"""Salient object detection for pictures, films and camera streams.

``load`` and ``Predictor`` are the public API; they are imported when first used, because they
bring PyTorch with them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sodcli.runtime.predictor import Predictor, load

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in ("Predictor", "load"):
        return getattr(import_module("sodcli.runtime.predictor"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
