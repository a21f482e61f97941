"""Networks of residual blocks (He et al., 2016), an addition for pictures with texture.

They draw and read what nobody chose for this model: textures, small details, and objects whose
place and size vary. Images are 32, 64 or 128 pixels high and wide.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.settings import ModelSettings
from weakdis_core.models.layers import LEAK, activation, perceptron

_GROUPS = 8


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the first convolution.
        normalised: Whether group normalisation precedes each convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, normalised: bool = True) -> None:
        super().__init__()

        def before(channels: int) -> list[nn.Module]:
            # Without normalisation the shortcut needs the input, which must not change in place.
            return (
                [nn.GroupNorm(_GROUPS, channels), activation()]
                if normalised
                else [nn.LeakyReLU(LEAK)]
            )

        self.body = nn.Sequential(
            *before(inputs),
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
            *before(outputs),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(batch, inputs, h, w)` to `(batch, outputs, h / stride, w / stride)`."""
        result: Tensor = self.body(maps) + self.shortcut(maps)
        return result


class ResidualEncoder(nn.Module):
    """A residual CNN whose maps are read by their largest values, their means and their places.

    The largest value of a map is the same wherever an object is, so few labels are enough for what
    it is. Its place is the centre of a softmax over the map (Levine et al., 2016). A coarse view of
    the image keeps the colours that normalisation removes.
    """

    places = 16
    coarse = 8

    def __init__(self, channels: int, outputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        first, second, last = widths(settings)
        halvings = round(math.log2(size / 16))
        blocks: list[nn.Module] = [
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, first, 3, padding=1),
            ResidualBlock(first, first),
            ResidualBlock(first, second, stride=2),
        ]
        for number in range(halvings - 1):
            blocks.append(ResidualBlock(last if number else second, last, stride=2))
        features = last if halvings > 1 else second
        self.features = nn.Sequential(*blocks, nn.GroupNorm(_GROUPS, features), activation())
        self.attention = nn.Conv2d(features, self.places, 1)
        read = 2 * features + 2 * self.places + channels * self.coarse**2
        self.head = perceptron(read, settings.hidden, outputs)
        side = size // 2 ** (1 + halvings)
        self.steps: Tensor
        self.register_buffer("steps", torch.linspace(-1, 1, side), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Encode `(batch, channels, size, size)` in [0, 1] to `(batch, outputs)`."""
        maps = self.features(images)
        attention = self.attention(maps).float().flatten(2).softmax(-1)
        attention = attention.unflatten(2, (len(self.steps), len(self.steps)))
        x, y = attention.sum(2) @ self.steps, attention.sum(3) @ self.steps
        coarse = F.adaptive_avg_pool2d(4 * (images - 0.5), self.coarse).flatten(1)
        read = torch.cat([maps.amax((2, 3)), maps.mean((2, 3)), x, y, coarse], dim=1)
        outputs: Tensor = self.head(read)
        return outputs


class ResidualDecoder(nn.Module):
    """Residual blocks between enlargements, a pixel shuffle at the end, and a coarse image.

    Fully connected layers draw the coarse image, which has colours and places after a few steps;
    the blocks add the details. They have no normalisation, which removes colours (as in
    super-resolution: Lim et al., 2017).
    """

    coarse = 8

    def __init__(self, channels: int, inputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        first, second, last = widths(settings)
        self.trunk = nn.Sequential(
            *perceptron(inputs, settings.hidden, last * 16), nn.Unflatten(1, (last, 4, 4))
        )
        self.sketch = nn.Sequential(
            *perceptron(inputs, settings.hidden, channels * self.coarse**2),
            nn.Unflatten(1, (channels, self.coarse, self.coarse)),
            nn.Upsample(scale_factor=size // self.coarse, mode="bilinear"),
        )
        stages = round(math.log2(size / 8))
        sizes = [*[last] * (stages - 2), last, second, first]
        blocks: list[nn.Module] = []
        for narrow, wide in zip(sizes[1:], sizes[:-1], strict=True):
            blocks += [nn.Upsample(scale_factor=2), ResidualBlock(wide, narrow, normalised=False)]
        self.draw = nn.Sequential(
            *blocks,
            activation(),
            nn.Conv2d(first, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Decode `(batch, inputs)` to logits `(batch, channels, size, size)`."""
        logits: Tensor = self.draw(self.trunk(codes)) + self.sketch(codes)
        return logits


def widths(settings: ModelSettings) -> tuple[int, int, int]:
    """Return the channels of the three stages: 48, 64 and 96 for 32 `model.channels`."""
    each = settings.channels
    return tuple(_GROUPS * max(1, round(each * share / _GROUPS)) for share in (1.5, 2.0, 3.0))  # type: ignore[return-value]
