"""Image manipulation with a trained model: relations, traversals and swaps of partitions.

Images are `(n, channels, 64, 64)` in [0, 1]. `traverse` and `swap` need a modular model.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakdis_core.checkpoint import read_checkpoint, saved_config
from weakdis_core.config.config import Config
from weakdis_core.data.variants import Variant, get_variant
from weakdis_core.models.networks import Networks
from weakdis_core.priors.prior import Prior

Images = NDArray[np.float32]
"""`(..., channels, 64, 64)` in [0, 1]."""


@dataclass(frozen=True)
class Manipulation:
    """Images before and after relations, each `(n, channels, 64, 64)` in [0, 1].

    Attributes:
        images: Original images.
        reconstructions: Decoded codes of the images.
        after: Decoded codes after each relation, by its name.
    """

    images: Images
    reconstructions: Images
    after: dict[str, Images]


def load_networks(path: Path) -> tuple[Config, Networks]:
    """Load the settings and the trained networks of a checkpoint onto the CPU.

    Raises:
        UserError: The file cannot be read.
    """
    state = read_checkpoint(path)
    config = saved_config(state, path)
    networks = Networks(get_variant(config.data.variant), config, torch.device("cpu"))
    networks.load_state_dict(state["networks"])
    return config, networks


def manipulate(
    networks: Networks, variant: Variant, images: Tensor, relations: tuple[str, ...]
) -> Manipulation:
    """Apply each relation to the images once.

    Raises:
        UserError: A relation is not one of the variant's.
    """
    repeated = repeat(networks, variant, images, dict.fromkeys(relations, 1))
    return replace(repeated, after={name: once[:, 0] for name, once in repeated.after.items()})


@torch.no_grad()
def repeat(
    networks: Networks, variant: Variant, images: Tensor, times: dict[str, int]
) -> Manipulation:
    """Apply each relation, by name, the given number of times.

    Returns:
        Manipulation with `after` of shape `(n, times, channels, 64, 64)`, once to `times` times.

    Raises:
        UserError: A relation is not one of the variant's.
    """
    model, learner = networks.autoencoder, networks.relational
    codes = model.encode(images).means
    after = {}
    for name, n in times.items():
        index = torch.full((len(images),), variant.relation(name), device=images.device)
        moved, pictures = codes, []
        for _ in range(n):
            moved = learner(moved, index)
            pictures.append(_to_images(model.decode(moved)))
        after[name] = np.stack(pictures, axis=1)
    return Manipulation(images.cpu().numpy(), _to_images(model.decode(codes)), after)


@torch.no_grad()
def traverse(
    networks: Networks, prior: Prior, images: Tensor, n_values: tuple[int, ...]
) -> list[Images]:
    """Replace the code of one partition by the mean of each component of its prior.

    Returns:
        Decoded images of each factor, `(n, values, channels, 64, 64)`.
    """
    model = networks.autoencoder
    codes = model.encode(images).means
    traversals = []
    for factor, n in enumerate(n_values):
        changed = codes.unsqueeze(1).repeat(1, n, 1, 1)
        changed[:, :, factor] = prior.means[factor, :n]
        traversals.append(_to_images(model.decode(changed.flatten(0, 1)).unflatten(0, (-1, n))))
    return traversals


@torch.no_grad()
def swap(networks: Networks, first: Tensor, second: Tensor) -> Images:
    """Replace one partition at a time of the first images' codes by that of the second images.

    Returns:
        Decoded images, `(n, partitions, channels, 64, 64)`.
    """
    model = networks.autoencoder
    own, other = model.encode(first).means, model.encode(second).means
    n = model.partitions
    alone = torch.eye(n, dtype=torch.bool, device=own.device).unsqueeze(-1)
    changed = torch.where(alone, other.unsqueeze(1), own.unsqueeze(1))
    return _to_images(model.decode(changed.flatten(0, 1)).unflatten(0, (-1, n)))


def _to_images(logits: Tensor) -> Images:
    images: Images = logits.sigmoid().cpu().numpy()
    return images
