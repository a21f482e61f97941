"""Fidelity of changed pictures, an addition to the paper's evaluation.

Relation accuracies measure whether a picture after a relation shows the right factor values. These
scores compare it with the data set's image of these values and with the original's nuisance.
"""

import math
from typing import Any

import numpy as np
import torch
from matplotlib.colors import rgb_to_hsv
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.data.plan import Plan
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.source import plan
from weakdis_core.data.variant import IMAGE_SIZE, OWN, IndexArray, Variant
from weakdis_core.evaluation.accuracies import SMALLEST_ERROR
from weakdis_core.models.autoencoder import Autoencoder
from weakdis_core.scores.counts import CHANGED, FIDELITY
from weakdis_core.seeding import torch_generator
from weakdis_core.training.trainer import Trainer

FloatArray = NDArray[np.floating[Any]]

HUE_AXES = {
    "floor_hue": (slice(58, 64), slice(0, 64)),
    "wall_hue": (slice(24, 34), slice(0, 6)),
}
"""Rows and columns of an image that always show the floor, or a wall."""

HUES = 10
"""Hues of the grid, evenly around the circle."""


@torch.no_grad()
def fidelity_scores(trainer: Trainer, prepared: Prepared, images: int = 1000) -> dict[str, float]:
    """Compare at most `images` test images after a random relation with the true images.

    Returns:
        Means by name. `manipulation_psnr`: dB to the nearest true image, in which only the affected
        factor differs from the original. `swap_psnr`: dB of a perfect relational learner, which
        takes the affected partition from the true image's code. `manipulation_psnr_aligned`: dB
        after moving the sprite to its place in the true image, and `manipulation_shift`: the
        distance in pixels; NaN without a sprite. `nuisance_kept`: share of images whose floor and
        walls keep their hue; NaN where hues are no nuisance. `fidelity_images`: number of images.
        Own pictures have no true images: all are NaN, of 0 images.
    """
    if prepared.source == OWN:
        # Without a renderer there is no true image of other values.
        return dict.fromkeys(FIDELITY, math.nan) | {CHANGED: 0.0}
    variant, model = trainer.variant, trainer.networks.autoencoder
    rows = trainer.images_of("test", images)
    generator = torch_generator(trainer.config.seed, "fidelity", trainer.device)
    relations = variant.relation_table(str(trainer.device))
    relation = relations.sample(len(rows), generator)
    affected = relations.factor[relation]
    source = plan(trainer.config.data, trainer.config.runtime.data_dir)
    codes = model.encode(trainer.bank.batch(rows)).means
    pictures = _decode(model, trainer.networks.relational(codes, relation))
    indices = prepared.indices[rows.cpu().numpy()]
    target = relations.apply(trainer.bank.values[rows], relation).cpu().numpy()
    changed = affected.cpu().numpy()
    there = nearest_indices(pictures, indices, changed, target, source, prepared.scale)
    targets = (source.images_at(there) / prepared.scale).astype(np.float32)
    each = torch.arange(len(rows), device=trainer.device)
    read = model.encode(torch.as_tensor(targets, device=trainer.device)).means
    codes[each, affected] = read[each, affected]
    swapped = _decode(model, codes)
    scores = {
        "manipulation_psnr": float(psnr(pictures, targets).mean()),
        "swap_psnr": float(psnr(swapped, targets).mean()),
        "manipulation_psnr_aligned": math.nan,
        "manipulation_shift": math.nan,
        "nuisance_kept": nuisance_kept(pictures, indices, variant),
        CHANGED: float(len(rows)),
    }
    if pictures.shape[1] == 1:
        moved, shift = align(pictures, targets)
        scores["manipulation_psnr_aligned"] = float(psnr(moved, targets).mean())
        scores["manipulation_shift"] = float(shift.mean())
    return scores


def psnr(pictures: FloatArray, images: FloatArray) -> FloatArray:
    """Return the peak signal-to-noise ratio of pictures in [0, 1], `(n,)` in dB; at most 120."""
    error = np.square(pictures - images).mean((1, 2, 3))
    return np.asarray(-10 * np.log10(error.clip(min=SMALLEST_ERROR)))


def nearest_indices(
    pictures: FloatArray,
    indices: IndexArray,
    affected: IndexArray,
    target: IndexArray,
    source: Plan,
    scale: float,
) -> IndexArray:
    """Find for each picture the nearest image that shows the right factor values.

    A factor value may stand for several grid indices; all of them are tried.

    Args:
        pictures: `(n, channels, 64, 64)` in [0, 1].
        indices: `(n, axes)` grid indices of the originals.
        affected: `(n,)` factor that was changed.
        target: `(n, factors)` right factor values.
        source: Source of the images.
        scale: `images / scale` lies in [0, 1].

    Returns:
        Grid indices `(n, axes)`, which differ from the originals' in the affected factor only.
    """
    variant = source.variant
    best = np.full(len(pictures), -np.inf)
    found = indices.copy()
    for position, factor in enumerate(variant.factors):
        axis = variant.grid.axis(factor.axis)
        for value, members in enumerate(factor.bins):
            chosen = np.flatnonzero((affected == position) & (target[:, position] == value))
            for member in members if len(chosen) else ():
                there = indices[chosen]
                there[:, axis] = member
                near = psnr(pictures[chosen], source.images_at(there) / scale)
                better = near > best[chosen]
                best[chosen[better]] = near[better]
                found[chosen[better], axis] = member
    return found


def align(pictures: FloatArray, images: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Move the sprite of each picture to its place in an image.

    Args:
        pictures: `(n, 1, 64, 64)` in [0, 1], a sprite on black.
        images: Same shape, with the sprite in the right place.

    Returns:
        The moved pictures, interpolated bicubically, and the distances `(n,)` in pixels.
    """
    drawn = torch.as_tensor(pictures, dtype=torch.float32)
    move = centroid(torch.as_tensor(images, dtype=torch.float32)) - centroid(drawn)
    # The transformation maps pixels to their origin, in units of half a picture.
    affine = torch.eye(2).expand(len(drawn), 2, 2)
    affine = torch.cat([affine, -move.unsqueeze(-1) * 2 / IMAGE_SIZE], dim=-1)
    grid = F.affine_grid(affine, list(drawn.shape), align_corners=False)
    moved = F.grid_sample(drawn, grid, mode="bicubic", align_corners=False).clamp(0, 1)
    return moved.numpy(), move.norm(dim=-1).numpy()


def centroid(images: Tensor) -> Tensor:
    """Return the centre of each image's squared brightness, `(batch, 2)` as (x, y) in pixels.

    The square reduces the weight of a decoded image's faint background.
    """
    mass = images.sum(1).square()
    ramp = torch.arange(IMAGE_SIZE, dtype=images.dtype, device=images.device)
    total = mass.sum((1, 2)).clamp(min=1e-6)
    x = (mass.sum(1) * ramp).sum(-1) / total
    y = (mass.sum(2) * ramp).sum(-1) / total
    return torch.stack([x, y], dim=-1)


def nuisance_kept(pictures: FloatArray, indices: IndexArray, variant: Variant) -> float:
    """Return the share of pictures whose floor and walls have the original's hue.

    Args:
        pictures: `(n, 3, 64, 64)` in [0, 1].
        indices: `(n, axes)` grid indices of the originals.
        variant: The variant, which declares the nuisance.

    Returns:
        In [0, 1]; NaN if no hue is nuisance.
    """
    axes = [nuisance.axis for nuisance in variant.nuisance if nuisance.axis in HUE_AXES]
    if not axes:
        return float("nan")
    kept = np.ones(len(pictures), dtype=bool)
    for axis in axes:
        rows, columns = HUE_AXES[axis]
        hue = rgb_to_hsv(pictures[:, :, rows, columns].mean((2, 3)))[:, 0]
        turns = hue - indices[:, variant.grid.axis(axis)] / HUES
        # The original's hue is the nearest on the circle.
        kept &= np.abs((turns + 0.5) % 1 - 0.5) < 0.5 / HUES
    return float(kept.mean())


def _decode(model: Autoencoder, codes: Tensor) -> FloatArray:
    drawn: FloatArray = model.decode(codes).sigmoid().cpu().numpy()
    return drawn
