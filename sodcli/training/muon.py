"""Muon: steps along the orthogonalised momentum of each kernel, AdamW for everything else.

K. Jordan et al., *Muon: an optimizer for hidden layers in neural networks*, 2024; scaled to the
size of AdamW's steps as in *Muon is scalable for LLM training*, arXiv 2502.16982, section 2.2.
PyTorch's own Muon takes matrices only; here a kernel ``(out, in, h, w)`` counts as the matrix
``(out, in * h * w)``.
"""

from typing import Any, Final

import torch
from torch import Tensor

_POLYNOMIAL: Final = (3.4445, -4.7750, 2.0315)  # of the iteration that pulls singular values to 1
_LIKE_ADAMW: Final = 0.2  # root mean square of AdamW's steps, in learning rates
_FEWEST_INPUTS: Final = 8  # with fewer (depthwise kernels, the stem) there is little to even out


class Muon(torch.optim.AdamW):
    """AdamW, except that kernels with several input channels step along orthogonal matrices.

    Every direction that the momentum spans is followed equally far, however rarely the pictures
    ask for it: a small network learns more from each picture.

    Args:
        groups: As of ``torch.optim.AdamW``; one learning rate serves both kinds of steps.
        lr: Learning rate of groups that bring none.
        betas: Of AdamW's part.
        momentum: Share of the momentum that a step keeps, in ``[0, 1)``.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float],
        momentum: float = 0.95,
    ) -> None:
        super().__init__(groups, lr, betas=betas)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients."""
        taken: list[tuple[Tensor, Tensor]] = []
        for group in self.param_groups:
            for kernel in filter(_is_matrix, group["params"]):
                if kernel.grad is not None:
                    self._turn(kernel, kernel.grad, group["lr"], group["weight_decay"])
                    taken.append((kernel, kernel.grad))
                    kernel.grad = None  # AdamW passes over what has none
        super().step(closure)
        for kernel, gradient in taken:
            kernel.grad = gradient

    def _turn(self, kernel: Tensor, gradient: Tensor, lr: float, decay: float) -> None:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
            state["step"] = torch.zeros(())  # AdamW looks for one when a state is loaded
        held = state["momentum"].lerp_(gradient, 1 - self._momentum)
        ahead = gradient.lerp(held, self._momentum)  # Nesterov's look ahead
        matrix = orthogonalise(ahead.flatten(1))
        kernel.mul_(1 - lr * decay)
        scale = _LIKE_ADAMW * float(max(matrix.shape)) ** 0.5
        kernel.add_(matrix.view_as(kernel), alpha=-lr * scale)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return ``matrix`` with all singular values near 1: five steps of Newton and Schulz.

    Args:
        matrix: ``(rows, columns)``, of any scale.
        steps: Of the iteration; with five, values end between about 0.7 and 1.2 unless they were
            less than a hundredth of the largest.

    Returns:
        ``(rows, columns)`` of the same dtype.
    """
    a, b, c = _POLYNOMIAL
    tall = len(matrix) > matrix.shape[1]
    x: Tensor = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim == 4 and parameter.shape[1] >= _FEWEST_INPUTS
