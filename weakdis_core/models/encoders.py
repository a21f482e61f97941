"""Encoders: images to a flat vector of outputs. The autoencoder and the oracle share them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config import ModelSettings

IMAGE_SIZE = 64
LEAK = 0.1


def activation() -> nn.Module:
    """Leaky ReLU 0.1, as in the authors' published code; in place, for speed on a CPU."""
    return nn.LeakyReLU(LEAK, inplace=True)


def convolutions(channels: int, settings: ModelSettings) -> nn.Sequential:
    """Convolutional features of a 64x64 image, `(batch, 2 * settings.channels, 4, 4)`.

    Four 4x4 convolutions of stride 2, as in the authors' published code.
    """
    width = settings.channels
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, width), (width, width), (width, 2 * width)):
        layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), activation()]
    last = nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1)
    return nn.Sequential(*layers, last, activation())


class ConvolutionalEncoder(nn.Module):
    """A CNN over the whole image.

    Args:
        channels: Channels of the images.
        outputs: Size of the output vector.
        settings: Channels and hidden units.
    """

    def __init__(self, channels: int, outputs: int, settings: ModelSettings) -> None:
        super().__init__()
        self.features = convolutions(channels, settings)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * settings.channels * 16, settings.hidden),
            activation(),
            nn.Linear(settings.hidden, outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, 64, 64)` in [0, 1] to `(batch, outputs)`."""
        outputs: Tensor = self.head(self.features(images))
        return outputs


class ObjectCentredEncoder(nn.Module):
    """An encoder that looks at the object where it is (an addition for dSprites).

    A window around the object's centroid, a coarse view of the whole image, and the position.
    What the window shows does not change as the object moves, so few labels teach its shape. Needs
    one bright object on a dark background: which variants have it is their presets' choice.

    Args:
        channels: Channels of the images.
        outputs: Size of the output vector.
        settings: Channels and hidden units.
    """

    window = 32
    coarse = 8

    def __init__(self, channels: int, outputs: int, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.channels
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1),
            activation(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            activation(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            activation(),
            nn.Flatten(),
        )
        coarse = channels * self.coarse**2
        self.head = nn.Sequential(
            nn.Linear(2 * width * 16 + coarse + 2, settings.hidden),
            activation(),
            nn.Linear(settings.hidden, outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, 64, 64)` in [0, 1] to `(batch, outputs)`."""
        centre = centroid(images)
        view = window_around(images, centre, self.window)
        coarse = F.avg_pool2d(images, IMAGE_SIZE // self.coarse).flatten(1)
        position = centre / (IMAGE_SIZE / 2) - 1
        seen = torch.cat([self.features(view).float(), coarse, 4 * position], dim=1)
        # bfloat16 would know the position to a quarter of a pixel.
        with torch.autocast(images.device.type, enabled=False):
            outputs: Tensor = self.head(seen)
        return outputs


def centroid(images: Tensor) -> Tensor:
    """Centre of brightness of each image, in pixels, `(batch, 2)` as (x, y).

    Brightness is squared, so that the faint background of a decoded image hardly counts.
    """
    mass = images.sum(1).square()
    ramp = torch.arange(IMAGE_SIZE, dtype=images.dtype, device=images.device)
    total = mass.sum((1, 2)).clamp(min=1e-6)
    x = (mass.sum(1) * ramp).sum(-1) / total
    y = (mass.sum(2) * ramp).sum(-1) / total
    return torch.stack([x, y], dim=-1)


def window_around(images: Tensor, centre: Tensor, size: int) -> Tensor:
    """Square windows of whole pixels around `centre`, dark beyond the image's edge.

    Args:
        images: `(batch, channels, 64, 64)`.
        centre: `(batch, 2)` as (x, y) in pixels.
        size: Side of the window.

    Returns:
        `(batch, channels, size, size)`.
    """
    half = size // 2
    padded = F.pad(images, (half, half, half, half))
    offset = torch.arange(size, device=images.device)
    # A diverged decoder draws NaN: the losses report it, an index out of range would hide it.
    inside = centre.detach().nan_to_num(0.0).clamp(0, IMAGE_SIZE - 1)
    corner = (inside + 0.5).floor().long()
    side = padded.shape[-1]
    rows = corner[:, 1, None] + offset
    columns = corner[:, 0, None] + offset
    flat = (rows.unsqueeze(-1) * side + columns.unsqueeze(1)).flatten(1)
    index = flat.unsqueeze(1).expand(-1, images.shape[1], -1)
    windows: Tensor = padded.flatten(2).gather(2, index).unflatten(2, (size, size))
    return windows


def build_encoder(channels: int, outputs: int, settings: ModelSettings) -> nn.Module:
    """The encoder that `settings.encoder` names."""
    encoders = {"convolutional": ConvolutionalEncoder, "object_centred": ObjectCentredEncoder}
    return encoders[settings.encoder](channels, outputs, settings)
