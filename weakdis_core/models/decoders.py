"""Decoders from concatenated codes to image logits.

Arguments are the images' channels, the size of the codes, the architecture and the height and width
of the images: 32, 64 or 128 pixels.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from weakdis_core.config.settings import ModelSettings
from weakdis_core.data.variant import IMAGE_SIZE
from weakdis_core.models.layers import activation, perceptron
from weakdis_core.models.window import Placement, placement_matrices


def upsampling(outputs: int, settings: ModelSettings, doublings: int) -> nn.Sequential:
    """Build 4x4 transposed convolutions of stride 2 from `(2 * channels, 4, 4)`."""
    width = settings.channels
    layers: list[nn.Module] = []
    for inputs, size in pairwise((2 * width, *[width] * (doublings - 1), outputs)):
        layers += [nn.ConvTranspose2d(inputs, size, 4, stride=2, padding=1), activation()]
    return nn.Sequential(*layers[:-1])


class ConvolutionalDecoder(nn.Module):
    """A transposed CNN for the whole image."""

    def __init__(self, channels: int, inputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        width, doublings = settings.channels, round(math.log2(size / 4))
        self.trunk = nn.Sequential(
            *perceptron(inputs, settings.hidden, 2 * width * 16),
            activation(),
            nn.Unflatten(1, (2 * width, 4, 4)),
        )
        if settings.upsampling == "pixel_shuffle":
            self.draw = nn.Sequential(
                *upsampling(width, settings, doublings - 2),
                activation(),
                nn.Conv2d(width, 4 * 16, 3, padding=1),
                nn.PixelShuffle(2),
                activation(),
                nn.ConvTranspose2d(16, channels, 4, stride=2, padding=1),
            )
        else:
            self.draw = upsampling(channels, settings, doublings)

    def forward(self, codes: Tensor) -> Tensor:
        """Decode `(batch, inputs)` to logits `(batch, channels, size, size)`."""
        logits: Tensor = self.draw(self.trunk(codes))
        return logits


class PlacedPatchDecoder(nn.Module):
    """A decoder of a patch and its position in the image (an addition for dSprites)."""

    def __init__(self, channels: int, inputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        hidden, self.size, self.patch = settings.hidden, size, size // 2
        self.translation = perceptron(inputs, hidden, 2)
        self.draw = nn.Sequential(
            *perceptron(inputs, hidden, hidden, channels * self.patch**2),
            nn.Unflatten(1, (channels, self.patch, self.patch)),
        )
        self.background = nn.Parameter(torch.tensor(-4.0))

    def forward(self, codes: Tensor) -> Tensor:
        """Decode `(batch, inputs)` to logits `(batch, channels, size, size)`."""
        patch = self.draw(codes).float() - self.background
        rows, columns = placement_matrices(self.place(codes), self.patch, self.size)
        with torch.autocast(codes.device.type, enabled=False):
            placed: Tensor = rows @ patch @ columns.mT
        return placed + self.background

    def place(self, codes: Tensor) -> Tensor:
        """Return the position of the patch's centre, `(batch, 2)` as (x, y) in pixels."""
        # bfloat16 has a precision of a quarter of a pixel.
        with torch.autocast(codes.device.type, enabled=False):
            place: Tensor = (self.translation(codes.float()) + 1) * (self.size / 2)
        return place


def build_palette(inputs: int, hidden: int, colours: int, channels: int) -> nn.Sequential:
    """Build a perceptron from codes to the logits of colours, `(batch, colours, channels)`."""
    layers = perceptron(inputs, hidden, colours * channels)
    return nn.Sequential(*layers, nn.Unflatten(1, (colours, channels)))


class PaletteDecoder(nn.Module):
    """A decoder of a few colours and their masks (an addition for Shapes3D).

    A room has few surfaces, each of nearly one colour. A transposed CNN draws the masks, and a
    perceptron computes the colours from the codes, independently of the geometry.
    """

    colours = 8
    # Distance of intensities from 0 and 1, where the logit is infinite.
    margin = 1e-3

    def __init__(self, channels: int, inputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        self.size = size
        self.palette = build_palette(inputs, settings.hidden, self.colours, channels)
        self.masks = ConvolutionalDecoder(self.colours, inputs, settings, size)

    def forward(self, codes: Tensor) -> Tensor:
        """Decode `(batch, inputs)` to logits `(batch, channels, size, size)`."""
        # contiguous(): a softmax over a short innermost dimension is slow.
        masks = self.masks(codes).float().contiguous().softmax(dim=1)
        palette = self.palette(codes).float().sigmoid()
        # In bfloat16, 1 - margin is rounded to 1.
        with torch.autocast(codes.device.type, enabled=False):
            images = palette.mT @ masks.flatten(2)
        logits: Tensor = images.clamp(self.margin, 1 - self.margin).logit()
        return logits.reshape(len(codes), -1, self.size, self.size)


class ScaledPatchDecoder(nn.Module):
    """A decoder of a patch, its place and size, and a coarse background (an addition).

    Perceptrons draw patch and background, whose logits are summed.
    """

    coarse = 8

    def __init__(self, channels: int, inputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        hidden, maps = settings.hidden, self.maps(channels)
        self.size, self.patch = size, size * 3 // 4
        self.placement = Placement(inputs)
        self.background = nn.Sequential(
            *perceptron(inputs, hidden, channels * self.coarse**2),
            nn.Unflatten(1, (channels, self.coarse, self.coarse)),
        )
        centre, zoom = torch.full((1, 2), (size - 1) / 2), torch.tensor([size / self.coarse])
        enlarge = placement_matrices(centre, self.coarse, size, zoom)[0][0, 0]
        self.enlarge: Tensor
        self.register_buffer("enlarge", enlarge / enlarge.sum(1, keepdim=True), persistent=False)
        self.draw = nn.Sequential(
            *perceptron(inputs, hidden, hidden, maps * self.patch**2),
            nn.Unflatten(1, (maps, self.patch, self.patch)),
        )

    def maps(self, channels: int) -> int:
        """Return the number of maps of a patch."""
        return channels

    def forward(self, codes: Tensor) -> Tensor:
        """Decode `(batch, inputs)` to logits `(batch, channels, size, size)`."""
        return self.place(self.draw(codes).float(), codes) + self.behind(codes)

    def place(self, patch: Tensor, codes: Tensor) -> Tensor:
        """Move and scale patches as the codes say; return `(batch, maps, size, size)`."""
        with torch.autocast(codes.device.type, enabled=False):
            place, scale = self.placement(codes.float(), self.size)
            rows, columns = placement_matrices(place, self.patch, self.size, scale)
            # A patch that shrinks has several pixels for one of the image.
            denser = scale.clamp(max=1).square()[:, None, None, None]
            placed: Tensor = rows @ patch @ columns.mT * denser
        return placed

    def behind(self, codes: Tensor) -> Tensor:
        """Return the logits of the background, `(batch, channels, size, size)`."""
        background = self.background(codes).float()
        with torch.autocast(codes.device.type, enabled=False):
            enlarged: Tensor = self.enlarge @ background @ self.enlarge.mT
        return enlarged


class PalettePatchDecoder(ScaledPatchDecoder):
    """A scaled patch of a few colours and their masks (an addition).

    Masks and colours are drawn apart, as in `PaletteDecoder`, so that a shape is learned once for
    all colours. The background is seen where no mask is.
    """

    colours = 4
    # Distance of intensities from 0 and 1, where the logit is infinite. A clamp would have no
    # gradient on black.
    margin = 5e-3

    def __init__(self, channels: int, inputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__(channels, inputs, settings, size)
        self.palette = build_palette(inputs, settings.hidden, self.colours, channels)

    def maps(self, channels: int) -> int:
        """Return the number of masks; the last one is transparent."""
        return self.colours + 1

    def forward(self, codes: Tensor) -> Tensor:
        """Decode `(batch, inputs)` to logits `(batch, channels, size, size)`."""
        masks = self.draw(codes).float().softmax(1)[:, : self.colours]
        placed, behind = self.place(masks, codes), self.behind(codes).sigmoid()
        colours = self.palette(codes).float().sigmoid()
        with torch.autocast(codes.device.type, enabled=False):
            # The density is exact on average only.
            placed = placed / placed.sum(1, keepdim=True).clamp(min=1)
            drawn = (colours.mT @ placed.flatten(2)).view_as(behind)
            images = drawn + (1 - placed.sum(1, keepdim=True)) * behind
            logits: Tensor = (self.margin + (1 - 2 * self.margin) * images).logit()
        return logits


def build_decoder(
    channels: int, inputs: int, settings: ModelSettings, size: int = IMAGE_SIZE
) -> nn.Module:
    """Build the decoder that `settings.decoder` names."""
    decoders = {
        "convolutional": ConvolutionalDecoder,
        "placed_patch": PlacedPatchDecoder,
        "palette": PaletteDecoder,
        "scaled_patch": ScaledPatchDecoder,
        "palette_patch": PalettePatchDecoder,
    }
    return decoders[settings.decoder](channels, inputs, settings, size)
