"""A photo as a clip: it stands still, or is made to move."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from sodcli.data.augment import Augment, Background, Colour, Image, Mask, augment_clip
from sodcli.data.paste import paste_subject
from sodcli.data.synth import move_still

_MOST: Final = 2  # longest side of a photo that is made to move, in sides of the network's input


@dataclass(frozen=True, slots=True)
class Stills:
    """How photos become clips.

    Attributes:
        length: Frames of a clip.
        motion: Probability that a photo is made to move.
        augment: What may happen to it besides, with one draw for all frames.
    """

    length: int
    motion: float
    augment: Augment

    def clip(
        self,
        image: Image,
        mask: Mask,
        size_hw: tuple[int, int],
        rng: np.random.Generator,
        background: Background | None,
    ) -> tuple[Colour, Mask]:
        """Return a clip of a photo.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            mask: ``(H, W)`` float32 in [0, 1].
            size_hw: Height and width of the clip.
            rng: Where everything is drawn from.
            background: Gives a picture to put behind the subject, where ``augment.paste`` asks for
                one.

        Returns:
            ``(T, h, w, 3)`` float32 RGB in [0, 1] and ``(T, h, w)`` float32 in [0, 1].
        """
        pasted = background is not None and rng.random() < self.augment.paste
        other = background(rng) if background is not None and pasted else None
        if rng.random() < self.motion:
            image, mask = _at_most(_MOST * max(size_hw), image, mask)
            images, masks = move_still(image, mask, self.length, rng, other)
            return augment_clip(images, masks, self.augment, size_hw, rng)
        if other is not None:
            image, mask = paste_subject(image, mask, other, rng)
        colour, truth = augment_clip([image], [mask], self.augment, size_hw, rng)
        return np.repeat(colour, self.length, axis=0), np.repeat(truth, self.length, axis=0)


def _at_most(side: int, image: Image, mask: Mask) -> tuple[Image, Mask]:
    """Shrink a photo whose longer side exceeds ``side`` pixels."""
    share = side / max(mask.shape)
    if share >= 1:
        return image, mask
    size_wh = (max(1, round(mask.shape[1] * share)), max(1, round(mask.shape[0] * share)))
    small, truth = (cv2.resize(x, size_wh, interpolation=cv2.INTER_AREA) for x in (image, mask))
    return np.asarray(small, np.uint8), np.asarray(truth, np.float32)
