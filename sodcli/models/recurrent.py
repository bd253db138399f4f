"""NER: the non-locally enhanced recurrent module of RCRNet (ICCV 2019, arXiv 1908.04051)."""

import torch
from torch import Tensor, nn


class NonLocal(nn.Module):
    """Every place of a clip hears of every other one (arXiv 1711.07971), dot-product version.

    Nothing is normalised but by the number of places, so the product is taken in the order that
    never builds the matrix of all pairs of places: ``theta^T (phi g^T)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.g, self.theta, self.phi = (nn.Conv1d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv1d(inner, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, H, W)`` to the same shape."""
        places = x.flatten(2)
        g, theta, phi = (conv(places) for conv in (self.g, self.theta, self.phi))
        summary = g @ phi.mT / places.shape[-1]
        y: Tensor = self.out(summary @ theta)
        return y.view_as(x) + x


class ConvGRU(nn.Module):
    """Gated recurrent unit with 3x3 convolutions (arXiv 1511.06432)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reset_gate, self.update_gate, self.output_gate = (
            nn.Conv2d(2 * channels, channels, 3, padding=1) for _ in range(3)
        )

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the next state; ``x`` and ``state`` are ``(N, C, H, W)``."""
        both = torch.cat([x, state], dim=1)
        reset, update = self.reset_gate(both).sigmoid(), self.update_gate(both).sigmoid()
        new = self.output_gate(torch.cat([x, reset * state], dim=1)).tanh()
        y: Tensor = (1 - update) * new + update * state
        return y


class NonLocalRecurrent(nn.Module):
    """NER: non-local, forth and back through time, non-local."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before, self.after = NonLocal(channels), NonLocal(channels)
        self.forth, self.back = ConvGRU(channels), ConvGRU(channels)
        self.merge = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, C, H, W)`` to the same shape.

        The first frame is its own past; the way back starts from where the way forth ended, and
        reads the states of the way forth.
        """
        frames = self.before(x.transpose(1, 2)).unbind(2)
        state = frames[0]
        forth = [state := self.forth(frame, state) for frame in frames]
        back = [state := self.back(seen, state) for seen in reversed(forth)]
        merged = [
            self.merge(torch.cat(pair, dim=1)).tanh()
            for pair in zip(forth, reversed(back), strict=True)
        ]
        y: Tensor = self.after(torch.stack(merged, dim=2))
        return y.transpose(1, 2)
