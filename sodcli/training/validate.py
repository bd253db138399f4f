"""Scores and sample pictures of a network on validation data."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.data.loader import ValidationSet
from sodcli.errors import SourceError
from sodcli.files import whole_file
from sodcli.metrics.measure import measure
from sodcli.metrics.scores import summarise
from sodcli.registry import ModelSpec
from sodcli.training.interrupt import StopRequest
from sodcli.training.setup import Run

_SCORES: Final = frozenset({"mae", "f"})


class Sample(NamedTuple):
    """A frame of the validation data.

    Attributes:
        image: ``(1, 3, S, S)`` float32, normalised; the pseudo-label generator has more channels.
        truth: ``(H, W)`` uint8, the ground truth at its own size.
    """

    image: Tensor
    truth: NDArray[np.uint8]


class Validator:
    """Validates a network after an epoch and writes sample pictures."""

    def __init__(self, run: Run, device: torch.device) -> None:
        self._config, self._spec, self._folder = run.config, run.spec, run.folder
        self._device = device
        self._held = ValidationSet(
            run.data.held, run.config.size, run.spec.mean, run.spec.std, run.config.fit_masks
        )

    def validate(self, module: nn.Module, epoch: int, stop: StopRequest) -> dict[str, float]:
        """Score ``module`` and write sample pictures, if they are due after ``epoch`` (from 1).

        Returns:
            MAE and maxF; empty if no scores are due or there is no validation data.

        Raises:
            SinkError: If the pictures cannot be written.
            SourceError: If no validation picture can be read any more.
            TrainingStopped: On a stop request.
        """
        if not len(self._held):
            return {}
        if self._due(epoch, self._config.sample_every):
            few = islice(self._predicted(module, stop), self._config.samples)
            write_sheet(self._folder.sheet(epoch), few, self._spec)
        if self._due(epoch, self._config.validate_every):
            return score(self._predicted(module, stop))
        return {}

    def _due(self, epoch: int, every: int) -> bool:
        return every > 0 and (epoch % every == 0 or epoch == self._config.epochs)

    def _predicted(self, module: nn.Module, stop: StopRequest) -> Iterator[tuple[Sample, Tensor]]:
        """Yield each sample with its saliency map, in eval mode and float32."""
        was_training, found = module.training, False
        module.eval()
        try:
            for images, truths in self._held:
                stop.check()
                with torch.no_grad():
                    saliency = module(images.to(self._device)).logits.sigmoid().cpu()
                frames = (x.reshape(-1, 1, *x.shape[-3:]) for x in (images, saliency))
                for image, answer, truth in zip(*frames, truths, strict=True):
                    if truth is not None:
                        found = True
                        yield Sample(image, truth), answer
            if not found:
                raise SourceError("no validation picture can be read any more")
        finally:
            module.train(was_training)


def score(predicted: Iterable[tuple[Sample, Tensor]]) -> dict[str, float]:
    """Return MAE and maxF, measured at the ground truth's size.

    Maps are rounded to the nearest grey level; ``sod test`` rounds as published. Of nearly constant
    maps, such as those of a first epoch, min-max normalisation makes these scores differ widely.
    """
    measured = []
    for sample, saliency in predicted:
        full = F.interpolate(saliency, sample.truth.shape, mode="bilinear")[0, 0]
        measured.append(measure(full.clamp(0, 1).numpy(), sample.truth, which=_SCORES))
    found = summarise(measured).as_dict()
    return {name: found[name] for name in ("MAE", "maxF")}


def write_sheet(path: Path, predicted: Iterable[tuple[Sample, Tensor]], spec: ModelSpec) -> None:
    """Write a PNG with a row per sample: photo, ground truth and saliency map, side by side.

    Raises:
        SinkError: If it cannot be written.
    """
    sheet = np.concatenate([_row(sample, saliency, spec) for sample, saliency in predicted])
    with whole_file(path) as part:
        Image.fromarray(sheet).save(part, "PNG")


def _row(sample: Sample, saliency: Tensor, spec: ModelSpec) -> NDArray[np.uint8]:
    std, mean = (torch.tensor(value).view(3, 1, 1) for value in (spec.std, spec.mean))
    photo = _pixels(sample.image[0, :3] * std + mean)
    size_wh = (photo.shape[1], photo.shape[0])
    truth = np.asarray(Image.fromarray(sample.truth).resize(size_wh).convert("RGB"))
    return np.concatenate([photo, truth, _pixels(saliency[0].expand(3, -1, -1))], axis=1)


def _pixels(x: Tensor) -> NDArray[np.uint8]:
    """Return ``(3, H, W)`` in ``[0, 1]`` as ``(H, W, 3)`` uint8."""
    return (x.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
