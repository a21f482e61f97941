"""Networks of residual blocks (He et al., 2016), an addition for pictures that nobody chose.

The encoder looks through a window that follows the object in place and size, and the decoder draws
a patch and places it on a background. An object that moves or grows therefore looks the same to the
blocks. In a scene that fills the image, window and patch cover all of it. Images are 32, 64 or 128
pixels high and wide.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.settings import ModelSettings
from weakdis_core.models.layers import LEAK, activation, perceptron
from weakdis_core.models.window import ContrastLocaliser, Placement, placement_matrices

_GROUPS = 8
_COARSE = 8
# Distance of intensities from 0 and 1, where the logit is infinite.
_MARGIN = 1e-3


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
    """A residual CNN of a window around the object, with a coarse view of the whole image.

    The coarse view keeps the colours that normalisation removes. Place and size of the window also
    reach the code through one linear layer, because they are learned slowly beside the many inputs
    of the perceptron.
    """

    narrow = 16

    def __init__(self, channels: int, outputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        first, second, last = widths(settings)
        self.size, self.window = size, size * 3 // 4
        self.localiser = ContrastLocaliser(channels, size)
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, first, 3, padding=1),
            ResidualBlock(first, first),
            ResidualBlock(first, second, stride=2),
            ResidualBlock(second, last, stride=2),
            nn.GroupNorm(_GROUPS, last),
            activation(),
        )
        self.reduce = nn.Conv2d(last, self.narrow, 1)
        self.place = nn.Linear(3, outputs)
        read = 2 * last + self.narrow * (self.window // 8) ** 2 + channels * _COARSE**2 + 3
        self.head = perceptron(read, settings.hidden, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Encode `(batch, channels, size, size)` in [0, 1] to `(batch, outputs)`."""
        place, scale, border = self.localiser(images, self.window)
        # bfloat16 has a precision of a quarter of a pixel.
        with torch.autocast(images.device.type, enabled=False):
            rows, columns = placement_matrices(place, self.window, self.size, scale)
            shrunk = scale.clamp(min=1).square()[:, None, None, None]
            view = rows.mT @ (images - border) @ columns / shrunk + border
            where = torch.cat([4 * place / self.size - 2, 2 * scale.log().unsqueeze(1)], dim=1)
            direct = self.place(where)
        maps = self.features(view.contiguous(memory_format=torch.channels_last))
        coarse = F.avg_pool2d(4 * (images - 0.5), self.size // _COARSE).flatten(1)
        seen = [maps.amax((2, 3)), maps.mean((2, 3)), self.reduce(maps).flatten(1)]
        outputs: Tensor = self.head(torch.cat([*seen, coarse, where], dim=1)).float() + direct
        return outputs


class ResidualDecoder(nn.Module):
    """A decoder of a patch, its place and size, and a coarse background.

    Residual blocks draw the patch, with an opacity for each pixel. They have no normalisation,
    which removes colours (as in super-resolution: Lim et al., 2017).
    """

    def __init__(self, channels: int, inputs: int, settings: ModelSettings, size: int) -> None:
        super().__init__()
        first, second, last = widths(settings)
        self.size, self.patch = size, size * 3 // 4
        side = self.patch // 8
        self.placement = Placement(inputs)
        self.background = nn.Sequential(
            *perceptron(inputs, settings.hidden, channels * _COARSE**2),
            nn.Unflatten(1, (channels, _COARSE, _COARSE)),
        )
        centre, zoom = torch.full((1, 2), (size - 1) / 2), torch.tensor([size / _COARSE])
        enlarge = placement_matrices(centre, _COARSE, size, zoom)[0][0, 0]
        self.enlarge: Tensor
        self.register_buffer("enlarge", enlarge / enlarge.sum(1, keepdim=True), persistent=False)
        self.draw = nn.Sequential(
            *perceptron(inputs, settings.hidden, last * side**2),
            nn.Unflatten(1, (last, side, side)),
            nn.Upsample(scale_factor=2),
            ResidualBlock(last, second, normalised=False),
            nn.Upsample(scale_factor=2),
            ResidualBlock(second, first, normalised=False),
            activation(),
            nn.Conv2d(first, 4 * (channels + 1), 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Decode `(batch, inputs)` to logits `(batch, channels, size, size)`."""
        patch, background = self.draw(codes).float().sigmoid(), self.background(codes).float()
        with torch.autocast(codes.device.type, enabled=False):
            place, scale = self.placement(codes.float(), self.size)
            rows, columns = placement_matrices(place, self.patch, self.size, scale)
            opacity = patch[:, -1:]
            drawn = torch.cat([patch[:, :-1] * opacity, opacity], dim=1)
            thin = scale.clamp(max=1).square()[:, None, None, None]
            drawn = rows @ drawn @ columns.mT * thin
            behind = (self.enlarge @ background @ self.enlarge.mT).sigmoid()
            images = drawn[:, :-1] + (1 - drawn[:, -1:]) * behind
            logits: Tensor = images.clamp(_MARGIN, 1 - _MARGIN).logit()
        return logits


def widths(settings: ModelSettings) -> tuple[int, int, int]:
    """Return the channels of the three stages: 48, 64 and 96 for 32 `model.channels`."""
    each = settings.channels
    return tuple(_GROUPS * max(1, round(each * share / _GROUPS)) for share in (1.5, 2.0, 3.0))  # type: ignore[return-value]
