"""Random changes of pictures that keep their labels, as a description declares them."""

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.seeding import noise_like

SHIFT = 1 / 16
"""Largest shift, as a share of the picture's side: 4 of 64 pixels."""

ZOOM = 0.1
"""Largest change of size."""

NOISE = 0.05
"""Standard deviation of the noise."""


def transform(images: Tensor, names: Collection[str], generator: torch.Generator) -> Tensor:
    """Change images `(n, channels, size, size)` in [0, 1] at random, each in its own way.

    Parts that come into view have the colour of the border. Without names, images stay as they are
    and nothing is drawn.
    """
    if {"shift", "zoom", "flip"}.intersection(names):
        images = _move(images, names, generator)
    if "noise" in names:
        images = (images + NOISE * noise_like(images, generator)).clamp(0, 1)
    return images


def _move(images: Tensor, names: Collection[str], generator: torch.Generator) -> Tensor:
    n, device = len(images), images.device
    draws = 2 * torch.rand(n, 4, generator=generator, device=device) - 1
    # The matrix maps places of the result to places of the image, both from -1 to 1.
    scale = 1 + ZOOM * draws[:, 0] if "zoom" in names else torch.ones(n, device=device)
    mirrored = torch.where(draws[:, 1] < 0, -scale, scale) if "flip" in names else scale
    shift = 2 * SHIFT * draws[:, 2:] if "shift" in names else torch.zeros(n, 2, device=device)
    if "zoom" not in names:
        # Whole pixels, so that edges stay sharp.
        shift = (shift * images.shape[-1] / 2).round() * 2 / images.shape[-1]
    matrix = torch.zeros(n, 2, 3, device=device)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, :, 2] = mirrored, scale, shift
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)
