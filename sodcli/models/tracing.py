"""Whether a network is being written down as a graph, which cannot loop over what it is given."""

from typing import Any

import torch


def exporting() -> bool:
    """Say whether the exporter is watching: only what depends on no size may then branch or loop.

    Both ways must give the same numbers; a test compares every model's graph with the model.
    """
    jit: Any = torch.jit  # which declares no types
    return bool(jit.is_tracing())
