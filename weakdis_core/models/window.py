"""Windows and patches: where an object is, how large it is, and the pixels at this place.

Everything here is differentiable, and deterministic on a GPU too: products of matrices instead of
`grid_sample`, whose gradient is not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.models.layers import activation, perceptron


def placement_matrices(
    place: Tensor, patch: int, size: int, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return matrices that move and scale a square patch by linear interpolation.

    Rows and columns move independently: `rows @ patch @ columns.mT` draws the patch on black, and
    `rows.mT @ image @ columns` cuts the window at its position out of an image. With a scale other
    than 1, the sums of a row (where the patch shrinks) or of a column (where it grows) are not 1,
    but the ratio of the densities of the two grids.

    Args:
        place: Centre of the patch, `(batch, 2)` as (x, y) in pixels.
        patch: Side of the patch in its own pixels.
        size: Side of the image in pixels.
        scale: Image pixels of a patch pixel, `(batch,)`; by default 1.

    Returns:
        `rows` and `columns`, each `(batch, 1, size, patch)`.
    """
    each = torch.ones(1, device=place.device) if scale is None else scale
    each = each[:, None, None, None]
    taps = torch.arange(patch, device=place.device) - (patch - 1) / 2
    pixels = torch.arange(size, device=place.device)
    offsets = pixels[:, None] - each * taps
    x, y = (
        F.relu(1 - (offsets - at[:, None, None, None]).abs() / each.clamp(min=1))
        for at in place.unbind(1)
    )
    return y, x


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
        self.initialise()
        steps = torch.arange(0, size, self.stride) + (self.stride - 1) / 2
        self.steps: Tensor
        self.register_buffer("steps", steps, persistent=False)

    def initialise(self) -> None:
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


class ContrastLocaliser(nn.Module):
    """Finds the place and the size of what stands out from the colour of the border.

    Its attention starts at the pixels that differ from the median colour of the border. A small CNN
    corrects it, which any loss on the window trains.

    Args:
        channels: Channels of the images.
        size: Their height and width in pixels.
    """

    width = 16
    contrast = 0.2
    """Distance of colours at which a pixel has half the attention."""
    extent = 3.2
    """Side of the window, in standard deviations of the attention. A square has 2.4."""
    least, largest = 0.1, 4 / 3
    """Range of the scale."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv2d(channels + 1, self.width, 5, padding=2),
            activation(),
            nn.Conv2d(self.width, self.width, 5, padding=2),
            activation(),
            nn.Conv2d(self.width, 1, 5, padding=2),
        )
        self.steps: Tensor
        self.register_buffer("steps", 2 * torch.arange(size // 2) + 0.5, persistent=False)
        self.initialise()

    def initialise(self) -> None:
        """Start without a correction."""
        for parameter in self.attention[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, window: int) -> tuple[Tensor, Tensor, Tensor]:
        """Locate the object of each image.

        Args:
            images: `(batch, channels, size, size)` in [0, 1].
            window: Side of the window in its own pixels.

        Returns:
            Centre `(batch, 2)` as (x, y) in pixels, scale `(batch,)` in image pixels of a window
            pixel, and colour of the border `(batch, channels, 1, 1)`.
        """
        with torch.autocast(images.device.type, enabled=False):
            border = border_colour(images)
            low = F.avg_pool2d(images, 4, stride=2, padding=1, count_include_pad=False)
            distance = (low - border).square().sum(1, keepdim=True)
            # Steep, so that noise on a large background does not outweigh a small object.
            differs = distance.square() / (distance.square() + self.contrast**4) + 1e-5
            logits = differs.log() + self.attention(torch.cat([low - 0.5, differs], dim=1))
            attention = logits.flatten(1).softmax(1).unflatten(1, (len(self.steps), -1))
            across, down = attention.sum(1), attention.sum(2)
            place = torch.stack([across @ self.steps, down @ self.steps], dim=1)
            square = (across + down) @ self.steps.square()
            spread = (square - place.square().sum(1)).clamp(min=1).sqrt()
            scale = (self.extent / window * spread).clamp(self.least, self.largest)
        return place, scale, border


class Placement(nn.Module):
    """Place and size of a patch from codes: a linear layer, and a perceptron that corrects it.

    Args:
        inputs: Size of the codes.
    """

    hidden = 64
    smallest, largest = 0.1, 3.0
    """Range of the scale. Early in training a large patch draws the background, too."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 3)
        self.correction = perceptron(inputs, self.hidden, 3)
        self.initialise()

    def initialise(self) -> None:
        """Start near the centre of the image, so that the patch is inside."""
        last = self.correction[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(0.1)
            nn.init.normal_(self.linear.weight, std=0.3 / self.linear.in_features**0.5)
            nn.init.zeros_(self.linear.bias)

    def forward(self, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return the centre `(batch, 2)` in pixels of an image of this size, and the scale."""
        placed = self.linear(codes) + self.correction(codes)
        # A clamp would have no gradient outside the range.
        share = placed[:, 2].sigmoid()
        scale = self.smallest + (self.largest - self.smallest) * share
        return (placed[:, :2] + 1) * (size / 2), scale


@torch.no_grad()
def border_colour(images: Tensor) -> Tensor:
    """Return the median colour of the outer two pixels of images, `(batch, channels, 1, 1)`."""
    rows, columns = images[:, :, [0, 1, -2, -1]], images[..., [0, 1, -2, -1]]
    border = torch.cat([rows.flatten(2), columns.flatten(2)], dim=2)
    # The median itself is not deterministic on a GPU.
    middle = border.shape[2] // 2
    return border.sort(dim=2).values[..., middle, None, None]
