"""Decoders: concatenated latent codes to image logits.

Each takes the images' channels, the size of the concatenated codes, and the settings of upsampling,
channels and hidden units.
"""

import torch
from torch import Tensor, nn

from weakdis_core.config.settings import ModelSettings
from weakdis_core.data.source import IMAGE_SIZE
from weakdis_core.models.layers import activation, perceptron, placing


def upsampling(outputs: int, settings: ModelSettings, doublings: int) -> nn.Sequential:
    """4x4 transposed convolutions of stride 2 from `(2 * channels, 4, 4)`."""
    width = settings.channels
    layers: list[nn.Module] = []
    inputs = 2 * width
    for _ in range(doublings - 1):
        layers += [nn.ConvTranspose2d(inputs, width, 4, stride=2, padding=1), activation()]
        inputs = width
    return nn.Sequential(*layers, nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))


class ConvolutionalDecoder(nn.Module):
    """A transposed CNN that draws the whole image."""

    def __init__(self, channels: int, inputs: int, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.channels
        self.trunk = nn.Sequential(
            *perceptron(inputs, settings.hidden, 2 * width * 16),
            activation(),
            nn.Unflatten(1, (2 * width, 4, 4)),
        )
        if settings.upsampling == "pixel_shuffle":
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
    """Draws a patch and places it by a learned translation (an addition for dSprites)."""

    patch = 32

    def __init__(self, channels: int, inputs: int, settings: ModelSettings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.translation = perceptron(inputs, hidden, 2)
        self.draw = nn.Sequential(
            *perceptron(inputs, hidden, hidden, channels * self.patch**2),
            nn.Unflatten(1, (channels, self.patch, self.patch)),
        )
        self.background = nn.Parameter(torch.tensor(-4.0))

    def forward(self, codes: Tensor) -> Tensor:
        """`(batch, inputs)` to logits `(batch, channels, 64, 64)`."""
        patch = self.draw(codes).float() - self.background
        rows, columns = placing(self.place(codes), self.patch)
        with torch.autocast(codes.device.type, enabled=False):
            placed: Tensor = rows @ patch @ columns.mT
        return placed + self.background

    def place(self, codes: Tensor) -> Tensor:
        """Where the patch's centre goes, `(batch, 2)` as (x, y) in pixels."""
        # bfloat16 would place it to a quarter of a pixel.
        with torch.autocast(codes.device.type, enabled=False):
            place: Tensor = (self.translation(codes.float()) + 1) * (IMAGE_SIZE / 2)
        return place


class PaletteDecoder(nn.Module):
    """Mixes a few colours by masks (an addition for Shapes3D).

    A rendered room is a handful of surfaces, each of nearly one colour. A transposed CNN draws
    where each colour goes; what the colours are is read from the codes directly, so that a hue
    does not pass through the picture's geometry.
    """

    colours = 8
    # Intensities stay this far from 0 and 1, where a logit is infinite.
    margin = 1e-3

    def __init__(self, channels: int, inputs: int, settings: ModelSettings) -> None:
        super().__init__()
        self.palette = nn.Sequential(
            *perceptron(inputs, settings.hidden, self.colours * channels),
            nn.Unflatten(1, (self.colours, channels)),
        )
        self.masks = ConvolutionalDecoder(self.colours, inputs, settings)

    def forward(self, codes: Tensor) -> Tensor:
        """`(batch, inputs)` to logits `(batch, channels, 64, 64)`."""
        # A softmax over a short innermost dimension is slow, so channels do not come last here.
        masks = self.masks(codes).float().contiguous().softmax(dim=1)
        palette = self.palette(codes).float().sigmoid()
        # In bfloat16 one minus the margin is 1, whose logit is infinite.
        with torch.autocast(codes.device.type, enabled=False):
            images = palette.mT @ masks.flatten(2)
        logits: Tensor = images.clamp(self.margin, 1 - self.margin).logit()
        return logits.reshape(len(codes), -1, IMAGE_SIZE, IMAGE_SIZE)


def build_decoder(channels: int, inputs: int, settings: ModelSettings) -> nn.Module:
    """The decoder that `settings.decoder` names."""
    decoders = {
        "convolutional": ConvolutionalDecoder,
        "placed_patch": PlacedPatchDecoder,
        "palette": PaletteDecoder,
    }
    return decoders[settings.decoder](channels, inputs, settings)
