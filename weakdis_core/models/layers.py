"""What several networks share: activation, perceptron, and where an image's object is."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.data.source import IMAGE_SIZE

LEAK = 0.1
"""Slope of every activation below 0."""


def activation() -> nn.Module:
    """Leaky ReLU 0.1, as in the authors' published code; in place, for speed on a CPU."""
    return nn.LeakyReLU(LEAK, inplace=True)


def perceptron(*sizes: int) -> nn.Sequential:
    """Fully connected layers between so many units each, with activations between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Localiser(nn.Module):
    """Where to look in an image: the centre of a small CNN's attention.

    A softmax over what the CNN makes of every fourth pixel's surroundings weighs their positions
    (a soft argmax), so that it learns where to look from whatever loss depends on what is seen
    there. It starts by looking where the image is bright; without any preference it would look at
    the middle, where most of an object may be out of sight.
    """

    stride = 4
    width = 8
    sharpness = 4.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv2d(channels, self.width, 8, stride=self.stride, padding=2),
            activation(),
            nn.Conv2d(self.width, 1, 3, padding=1),
            nn.Flatten(),
        )
        self.start_at_brightness()
        steps = torch.arange(0, IMAGE_SIZE, self.stride) + (self.stride - 1) / 2
        self.steps: Tensor
        self.register_buffer("steps", steps, persistent=False)

    def start_at_brightness(self) -> None:
        """Make all weights positive."""
        with torch.no_grad():
            for name, parameter in self.attention.named_parameters():
                if name.endswith("weight"):
                    parameter.abs_()

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, 64, 64)` in [0, 1] to pixels `(batch, 2)` as (x, y)."""
        # bfloat16 would know the place to a quarter of a pixel.
        with torch.autocast(images.device.type, enabled=False):
            attention = (self.sharpness * self.attention(images)).softmax(1)
            attention = attention.unflatten(1, (len(self.steps), len(self.steps)))
            x, y = attention.sum(1) @ self.steps, attention.sum(2) @ self.steps
        return torch.stack([x, y], dim=-1)


def placing(place: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Linear interpolation between an image and a square patch centred at a place.

    A translation is separable: `rows @ patch @ columns.mT` puts the patch into a dark image, and
    `rows.mT @ image @ columns` takes the window out that it covers. Two products replace a general
    resampling.

    Args:
        place: `(batch, 2)` as (x, y) in pixels.
        size: Side of the patch.

    Returns:
        `rows` and `columns`, each `(batch, 1, 64, size)`.
    """
    taps = torch.arange(size, device=place.device) - (size - 1) / 2
    pixels = torch.arange(IMAGE_SIZE, device=place.device)
    offsets = pixels[:, None] - taps
    x, y = (F.relu(1 - (offsets - at[:, None, None, None]).abs()) for at in place.unbind(1))
    return y, x
