"""An encoder of residual blocks (He et al., 2016), an addition for pictures of any kind.

It looks through a window that follows the object in place and size, so that an object that moves or
grows looks the same to the blocks. The window of a scene covers all of it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.settings import ModelSettings
from weakdis_core.models.layers import activation, perceptron
from weakdis_core.models.window import ContrastLocaliser, placement_matrices

_GROUPS = 8
_COARSE = 8


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after group normalisation, beside a shortcut.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(_GROUPS, inputs),
            activation(),
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
            nn.GroupNorm(_GROUPS, outputs),
            activation(),
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
            where = torch.cat([4 * place / self.size - 2, 4 * scale.log().unsqueeze(1)], dim=1)
            direct = self.place(where)
        maps = self.features(view.contiguous(memory_format=torch.channels_last))
        coarse = F.avg_pool2d(4 * (images - 0.5), self.size // _COARSE).flatten(1)
        seen = [maps.amax((2, 3)), maps.mean((2, 3)), self.reduce(maps).flatten(1)]
        outputs: Tensor = self.head(torch.cat([*seen, coarse, where], dim=1)).float() + direct
        return outputs


def widths(settings: ModelSettings) -> tuple[int, int, int]:
    """Return the channels of the three stages: 48, 64 and 96 for 32 `model.channels`."""
    each = settings.channels
    return tuple(_GROUPS * max(1, round(each * share / _GROUPS)) for share in (1.5, 2.0, 3.0))  # type: ignore[return-value]
