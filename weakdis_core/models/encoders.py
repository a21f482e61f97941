"""Encoders from images to vectors, for the autoencoder and the oracle.

Arguments are the images' channels, the size of the output vector, the architecture and the height
and width of the images: 32, 64 or 128 pixels.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.settings import ModelSettings
from weakdis_core.data.variant import IMAGE_SIZE
from weakdis_core.models.layers import activation, perceptron
from weakdis_core.models.residual import ResidualEncoder
from weakdis_core.models.window import Localiser, placement_matrices


def convolutions(channels: int, settings: ModelSettings, size: int) -> nn.Sequential:
    """Build 4x4 convolutions of stride 2, for 64 pixels four as in the authors' published code.

    Their output is `(batch, 2 * settings.channels, 4, 4)`.
    """
    width, steps = settings.channels, round(math.log2(size / 4))
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((channels, *[width] * (steps - 2), 2 * width, 2 * width)):
        layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), activation()]
    return nn.Sequential(*layers)


class ConvolutionalEncoder(nn.Module):
    """A CNN for the whole image."""

    def __init__(self, channels: int, outputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        self.features = convolutions(channels, settings, size)
        self.head = nn.Sequential(
            nn.Flatten(), *perceptron(2 * settings.channels * 16, settings.hidden, outputs)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Encode `(batch, channels, size, size)` in [0, 1] to `(batch, outputs)`."""
        outputs: Tensor = self.head(self.features(images))
        return outputs


class ObjectCentredEncoder(nn.Module):
    """An encoder of a window around the object (an addition for dSprites).

    Its inputs are a window placed by a localiser, a coarse view of the whole image, and the
    position. A moving object looks the same in the window, so few labels are enough for its shape.
    """

    coarse = 8

    def __init__(self, channels: int, outputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        width, self.size, self.window = settings.channels, size, size // 2
        self.localiser = Localiser(channels, size)
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
        self.head = perceptron(2 * width * (size // 16) ** 2 + coarse + 2, settings.hidden, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Encode `(batch, channels, size, size)` in [0, 1] to `(batch, outputs)`."""
        place = self.localiser(images)
        with torch.autocast(images.device.type, enabled=False):
            rows, columns = placement_matrices(place, self.window, self.size)
            view = rows.mT @ images @ columns
        coarse = F.avg_pool2d(images, self.size // self.coarse).flatten(1)
        position = place / (self.size / 2) - 1
        inputs = torch.cat([self.features(view).float(), coarse, 4 * position], dim=1)
        # bfloat16 has a precision of a quarter of a pixel.
        with torch.autocast(images.device.type, enabled=False):
            outputs: Tensor = self.head(inputs)
        return outputs


def build_encoder(
    channels: int, outputs: int, settings: ModelSettings, size: int = IMAGE_SIZE
) -> nn.Module:
    """Build the encoder that `settings.encoder` names."""
    encoders = {
        "convolutional": ConvolutionalEncoder,
        "object_centred": ObjectCentredEncoder,
        "residual": ResidualEncoder,
    }
    return encoders[settings.encoder](channels, outputs, settings, size)
