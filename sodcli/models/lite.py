"""Lite: an EfficientNet-Lite0 encoder and a light decoder; the default network.

Encoder: EfficientNet-Lite0 (Tan and Le, ICML 2019, arXiv 1905.11946; the Lite variant has ReLU6 in
place of swish and no squeeze-and-excitation). It always starts from pretrained weights, with the
batch norms already folded into the convolutions. The decoder is our own: a global context block at
stride 32, then sums from coarse to fine, refined by depthwise separable convolutions.

In eval mode a guided filter moves the map's edges to those of the picture.
"""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models._base import Prediction
from sodcli.models.convnorm import ConvNorm
from sodcli.models.resample import double, pad_to

STRIDE: Final = 32
_STEM: Final = 32
# For each stage: blocks, kernel, stride of the first block, expansion, channels.
STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_TAPS: Final = (0, 1, 2, 4, 6)  # the last stage at each of the strides 2, 4, 8, 16, 32
_CHANNELS: Final = tuple(STAGES[stage][-1] for stage in _TAPS)
_WIDTHS: Final = (32, 64, 64, 64, 96)  # decoder channels at the same strides
_KERNELS: Final = ((3,), (5, 3), (5, 3), (5, 3))  # kernels of the refinement blocks, finest first
_HEADS: Final = 4
_GUIDE_EPS: Final = 1.2e-3  # squared: contrasts below 4.4 of 255 levels count as none


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding; for stride 2, sides must be even.

    With stride 2, the right and bottom get one more row or column of zeros than the left and top.
    """

    def __init__(
        self, channels: tuple[int, int], kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        pad = kernel // 2 if stride == 1 else 0
        super().__init__(*channels, kernel, stride, pad, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H / stride, W / stride)``."""
        if self.stride[0] > 1:
            total = self.kernel_size[0] - self.stride[0]
            before, after = total // 2, total - total // 2
            # Without a value, ONNX Runtime 1.32 does not merge the padding into the convolution.
            x = F.pad(x, (before, after, before, after), value=0.0)
        return super().forward(x)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; residual if the shapes agree.

    With ``expansion`` 1 there is no expansion convolution.
    """

    def __init__(self, channels: tuple[int, int], kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels[0] * expansion
        self.skip = stride == 1 and channels[0] == channels[1]
        self.expand = SameConv((channels[0], wide), 1) if expansion > 1 else None
        self.depthwise = SameConv((wide, wide), kernel, stride=stride, groups=wide)
        self.project = SameConv((wide, channels[1]), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H / stride, W / stride)``."""
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skip else y


class Encoder(nn.Module):
    """EfficientNet-Lite0 up to its last inverted residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv((3, _STEM), 3, stride=2)
        self.stages = nn.ModuleList()
        wide = _STEM
        for count, kernel, stride, expansion, out in STAGES:
            blocks = [InvertedResidual((wide, out), kernel, stride, expansion)]
            blocks += [InvertedResidual((out, out), kernel, 1, expansion) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*blocks))
            wide = out

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(N, 3, H, W)``, sides multiples of 32, to features at strides 2, 4, 8, 16 and 32.

        They have 16, 24, 40, 112 and 320 channels.
        """
        x = F.relu6(self.stem(x))
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in _TAPS:
                features.append(x)
        return features


class Refine(nn.Module):
    """A depthwise separable convolution with a residual connection, then ReLU."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, kernel, groups=channels, relu=True)
        self.pointwise = ConvNorm(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        return F.relu(x + self.pointwise(self.depthwise(x)))


class GlobalContext(nn.Module):
    """Global context: a channel gate and residual self-attention, then a refinement block.

    Attention is quadratic in the number of positions: at stride 32 a 352x352 picture has 121.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.local = Refine(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, h, w)`` to the same shape."""
        pooled = x.mean((-2, -1), keepdim=True)
        x = x * self.excite(F.relu(self.squeeze(pooled))).sigmoid()
        y: Tensor = self.local(x + self._attend(x))
        return y

    def _attend(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        q, k, v = self.qkv(x).unflatten(1, (3, _HEADS, -1)).flatten(-2).unbind(1)
        weights = (q.transpose(-2, -1) @ k * q.shape[-2] ** -0.5).softmax(-1)
        mixed = (v @ weights.transpose(-2, -1)).flatten(1, 2)
        y: Tensor = self.out(mixed.unflatten(-1, (height, width)))
        return y


class Decoder(nn.Module):
    """Sum the features from the coarsest to the finest, refining each sum."""

    def __init__(self) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            ConvNorm(wide, out, 1) for wide, out in zip(_CHANNELS, _WIDTHS, strict=True)
        )
        self.context = GlobalContext(_WIDTHS[-1])
        self.narrow = nn.ModuleList(
            nn.Conv2d(_WIDTHS[level + 1], _WIDTHS[level], 1, bias=False)
            if _WIDTHS[level + 1] != _WIDTHS[level]
            else nn.Identity()
            for level in range(len(_WIDTHS) - 1)
        )
        self.refine = nn.ModuleList(
            nn.Sequential(*(Refine(width, kernel) for kernel in kernels))
            for width, kernels in zip(_WIDTHS, _KERNELS, strict=False)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in _WIDTHS[:-1])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map the encoder's features to logits ``(N, 1, h, w)`` at strides 2, 4, 8, 16.

        In eval mode only the finest are computed.
        """
        sums = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        x = self.context(F.relu(sums.pop()))
        logits = []
        for level in reversed(range(len(sums))):
            finer = sums[level]
            x = F.relu(finer + double(self.narrow[level](x)))
            x = self.refine[level](x)
            if self.training or level == 0:
                logits.append(self.heads[level](x))
        return logits[::-1]


class Lite(nn.Module):
    """Encoder and decoder; in eval mode with edges from the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, x: Tensor) -> Prediction:
        """Map ``(N, 3, H, W)``, normalised, to logits ``(N, 1, H, W)``.

        In training mode the edges are the decoder's, and ``aux["coarse"]`` holds the logits at
        strides 4, 8 and 16 of the padded input.
        """
        height, width = x.shape[-2:]
        padded = pad_to(x, STRIDE)
        finest, *coarse = self.decoder(self.encoder(padded))
        if self.training:
            logits = double(finest)[..., :height, :width]
            return Prediction(logits, {"coarse": tuple(coarse)})
        return Prediction(guided_double(finest, padded)[..., :height, :width])


def guided_double(logits: Tensor, picture: Tensor) -> Tensor:
    """Resize logits to twice their size, with the edges of a picture.

    Fast guided filter (He and Sun, 2015, arXiv 1505.00996) with a radius of one logit: around each
    position the logits are a linear function of the picture's grey value, fitted at the logits'
    size and applied at the picture's.

    Args:
        logits: ``(N, 1, H / 2, W / 2)``.
        picture: ``(N, 3, H, W)``, normalised.

    Returns:
        ``(N, 1, H, W)`` float32.
    """
    grey, logits = picture.float().mean(1, keepdim=True), logits.float()
    small = F.avg_pool2d(grey, 2)
    mean, level = _local_mean(small), _local_mean(logits)
    variance = _local_mean(small * small) - mean * mean
    slope = (_local_mean(small * logits) - mean * level) / (variance + _GUIDE_EPS)
    slope, offset = (double(_local_mean(part)) for part in (slope, level - slope * mean))
    return slope * grey + offset


def _local_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def build() -> Lite:
    """Return the network with fresh weights."""
    return Lite()
