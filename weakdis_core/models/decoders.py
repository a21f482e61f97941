"""Decoders: concatenated latent codes to image logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config import ModelSettings
from weakdis_core.models.encoders import IMAGE_SIZE, activation


def upsampling(outputs: int, settings: ModelSettings, doublings: int) -> nn.Sequential:
    """4x4 transposed convolutions of stride 2 from `(2 * channels, 4, 4)`, each doubling the side."""
    width = settings.channels
    layers: list[nn.Module] = []
    inputs = 2 * width
    for _ in range(doublings - 1):
        layers += [nn.ConvTranspose2d(inputs, width, 4, stride=2, padding=1), activation()]
        inputs = width
    return nn.Sequential(*layers, nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))


class ConvolutionalDecoder(nn.Module):
    """A transposed CNN that draws the whole image.

    Args:
        channels: Channels of the images.
        inputs: Size of the concatenated codes.
        settings: Stem, channels and hidden units.
    """

    def __init__(self, channels: int, inputs: int, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.channels
        self.trunk = nn.Sequential(
            nn.Linear(inputs, settings.hidden),
            activation(),
            nn.Linear(settings.hidden, 2 * width * 16),
            activation(),
            nn.Unflatten(1, (2 * width, 4, 4)),
        )
        if settings.stem == "unshuffle":
            self.draw = nn.Sequential(
                *upsampling(width, settings, 2),
                activation(),
                nn.Conv2d(width, 4 * 16, 3, padding=1),
                nn.PixelShuffle(2),
                activation(),
                nn.ConvTranspose2d(16, channels, 4, stride=2, padding=1),
            )
        else:
            self.draw = upsampling(channels, settings, 4)

    def forward(self, codes: Tensor) -> Tensor:
        """`(batch, inputs)` to logits `(batch, channels, 64, 64)`."""
        logits: Tensor = self.draw(self.trunk(codes))
        return logits


class PlacedPatchDecoder(nn.Module):
    """Draws a patch and places it by a learned translation (an addition for dSprites).

    Args:
        channels: Channels of the images.
        inputs: Size of the concatenated codes.
        settings: Channels and hidden units.
    """

    patch = 32

    def __init__(self, channels: int, inputs: int, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.channels
        self.trunk = nn.Sequential(nn.Linear(inputs, settings.hidden), activation())
        self.translation = nn.Sequential(
            nn.Linear(inputs, settings.hidden // 2),
            activation(),
            nn.Linear(settings.hidden // 2, 2),
        )
        self.draw = nn.Sequential(
            nn.Linear(settings.hidden, 2 * width * 16),
            activation(),
            nn.Unflatten(1, (2 * width, 4, 4)),
            *upsampling(channels, settings, 3),
        )
        self.background = nn.Parameter(torch.tensor(-4.0))
        steps = (torch.arange(IMAGE_SIZE) + 0.5) * 2 / IMAGE_SIZE - 1
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        self.register_buffer("pixels", torch.stack([x, y], dim=-1), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """`(batch, inputs)` to logits `(batch, channels, 64, 64)`."""
        patch = self.draw(self.trunk(codes)) - self.background
        place = self.translation(codes)[:, None, None, :]
        grid = (self.pixels - place) * (IMAGE_SIZE / self.patch)
        placed = F.grid_sample(patch, grid.to(patch.dtype), align_corners=False)
        return placed + self.background


def build_decoder(channels: int, inputs: int, settings: ModelSettings) -> nn.Module:
    """The decoder that `settings.decoder` names."""
    decoders = {"convolutional": ConvolutionalDecoder, "placed_patch": PlacedPatchDecoder}
    return decoders[settings.decoder](channels, inputs, settings)
