"""Completion by the Tab key for options whose values are names."""

from collections.abc import Iterable
from typing import Final

from sodcli.imaging.output_types import ALIASES, COMMON_COLOURS, OUTPUT_TYPES, colour_names
from sodcli.io.films.formats import CODEC_NAMES
from sodcli.metrics import ALL
from sodcli.registry import default_registry

_DEVICES: Final = ("auto", "cpu", "cuda", "mps")
_BACKENDS: Final = ("auto", "torch", "onnx", "openvino", "all")
_FORMATS: Final = ("png", "jpg", "webp", "avif", "tiff", "bmp")


def models(incomplete: str) -> list[str]:
    """Return the models that make saliency maps."""
    return _matching(_models("saliency"), incomplete)


def trainable(incomplete: str) -> list[str]:
    """Return the models that ``sod train`` takes."""
    return _matching(_models("saliency", "pseudo-label"), incomplete)


def flows(incomplete: str) -> list[str]:
    """Return the methods of optical flow."""
    return _matching(("dis", *_models("flow")), incomplete)


def weights(incomplete: str) -> list[str]:
    """Return the named weights that make saliency maps.

    If none match, the shell completes file names.
    """
    return _matching(_weights("saliency"), incomplete)


def generators(incomplete: str) -> list[str]:
    """Return the named weights that make pseudo labels."""
    return _matching(_weights("pseudo-label"), incomplete)


def networks(incomplete: str) -> list[str]:
    """Return models and named weights that make saliency maps."""
    return _matching({*_models("saliency"), *_weights("saliency")}, incomplete)


def beginnings(incomplete: str) -> list[str]:
    """Return the named weights that a training run may start from, backbones among them."""
    return _matching(default_registry().weights.keys() - _weights("flow"), incomplete)


def recipes(incomplete: str) -> list[str]:
    """Return the training recipes whose names begin with ``incomplete``."""
    return _matching(default_registry().recipes, incomplete)


def downloads(incomplete: str) -> list[str]:
    """Return what ``sod fetch`` can fetch: models, weights, data sets, archives and maps."""
    known = default_registry()
    names = {*known.models, *known.weights, *known.datasets, *known.archives, *known.maps}
    return _matching(names, incomplete)


def types(incomplete: str) -> list[str]:
    """Return output types and the usual colours; once something is typed, every colour."""
    colours = colour_names() if incomplete else COMMON_COLOURS
    return _matching({*OUTPUT_TYPES, *ALIASES, *colours}, incomplete)


def formats(incomplete: str) -> list[str]:
    """Return the picture formats."""
    return _matching(_FORMATS, incomplete)


def codecs(incomplete: str) -> list[str]:
    """Return the film codecs."""
    return _matching(CODEC_NAMES, incomplete)


def devices(incomplete: str) -> list[str]:
    """Return the devices."""
    return _matching(_DEVICES, incomplete)


def backends(incomplete: str) -> list[str]:
    """Return what ``sod speed --backend`` takes."""
    return _matching(_BACKENDS, incomplete)


def metrics(incomplete: str) -> list[str]:
    """Return the measures not yet in a list with commas, each with the list before it."""
    before, comma, start = incomplete.rpartition(",")
    left = ALL.difference(before.split(","))
    return [f"{before}{comma}{name}" for name in _matching(left, start)]


def _models(*tasks: str) -> set[str]:
    return {name for name, spec in default_registry().models.items() if spec.task in tasks}


def _weights(task: str) -> set[str]:
    """Return the names of whole weights, no backbones, of models for that task."""
    entries, of_use = default_registry().weights, _models(task)
    return {name for name, spec in entries.items() if spec.model in of_use and not spec.partial}


def _matching(names: Iterable[str], start: str) -> list[str]:
    return sorted(name for name in names if name.startswith(start))
