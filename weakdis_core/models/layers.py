"""Layers that several networks share: activation, perceptron, localiser."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.1
"""Slope of the activation below 0."""


def activation() -> nn.Module:
    """Build a leaky ReLU 0.1, as in the authors' published code; in place is faster on a CPU."""
    return nn.LeakyReLU(LEAK, inplace=True)


def perceptron(*sizes: int) -> nn.Sequential:
    """Build fully connected layers of these sizes, with activations between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Localiser(nn.Module):
    """A small CNN that finds a position in an image by a soft argmax of its attention.

    Any loss on the window at this position trains it. The initial weights attend to bright pixels;
    uniform attention would choose the centre, where a window may miss most of the object.
    """

    stride = 4
    width = 8
    sharpness = 4.0

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv2d(channels, self.width, 8, stride=self.stride, padding=2),
            activation(),
            nn.Conv2d(self.width, 1, 3, padding=1),
            nn.Flatten(),
        )
        self.start_at_brightness()
        steps = torch.arange(0, size, self.stride) + (self.stride - 1) / 2
        self.steps: Tensor
        self.register_buffer("steps", steps, persistent=False)

    def start_at_brightness(self) -> None:
        """Make all weights positive, so that attention grows with brightness."""
        with torch.no_grad():
            for name, parameter in self.attention.named_parameters():
                if name.endswith("weight"):
                    parameter.abs_()

    def forward(self, images: Tensor) -> Tensor:
        """Locate objects in images; return (x, y) in pixels, `(batch, 2)`."""
        # bfloat16 has a precision of a quarter of a pixel.
        with torch.autocast(images.device.type, enabled=False):
            attention = (self.sharpness * self.attention(images)).softmax(1)
            attention = attention.unflatten(1, (len(self.steps), len(self.steps)))
            x, y = attention.sum(1) @ self.steps, attention.sum(2) @ self.steps
        return torch.stack([x, y], dim=-1)


def translation_matrices(place: Tensor, patch: int, size: int) -> tuple[Tensor, Tensor]:
    """Return matrices that move a square patch to a position by linear interpolation.

    Rows and columns move independently: `rows @ patch @ columns.mT` draws the patch on black, and
    `rows.mT @ image @ columns` cuts the window at its position out of an image.

    Args:
        place: Centre of the patch, `(batch, 2)` as (x, y) in pixels.
        patch: Side of the patch in pixels.
        size: Side of the image in pixels.

    Returns:
        `rows` and `columns`, each `(batch, 1, size, patch)`.
    """
    taps = torch.arange(patch, device=place.device) - (patch - 1) / 2
    pixels = torch.arange(size, device=place.device)
    offsets = pixels[:, None] - taps
    x, y = (F.relu(1 - (offsets - at[:, None, None, None]).abs()) for at in place.unbind(1))
    return y, x
