"""How good a changed picture is: beside the true picture it should be, and in what must stay.

An addition to the paper's evaluation. Relation accuracies say whether a picture after a relation
shows the right factor values; these scores say how close it is to the image that the data set has
for them, and whether the nuisance of the original is still there.
"""

from typing import Any

import numpy as np
import torch
from matplotlib.colors import rgb_to_hsv
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.data.prepared import Prepared
from weakdis_core.data.source import IMAGE_SIZE, Plan, plan
from weakdis_core.data.variants import IndexArray, Variant
from weakdis_core.evaluation.accuracies import SMALLEST_ERROR
from weakdis_core.models.autoencoder import ModularAutoencoder
from weakdis_core.seeding import torch_generator
from weakdis_core.training.trainer import Trainer

FloatArray = NDArray[np.floating[Any]]

HUE_AXES = {
    "floor_hue": (slice(58, 64), slice(0, 64)),
    "wall_hue": (slice(24, 34), slice(0, 6)),
}
"""Rows and columns of an image where nothing but the floor, or a wall, is ever seen."""

HUES = 10
"""Hues of the grid, evenly around the circle."""


def fidelity_scores(trainer: Trainer, prepared: Prepared, images: int = 1000) -> dict[str, float]:
    """Scores of test images, so many at most, after one random relation each.

    Returns:
        `manipulation_psnr`, mean dB to the nearest true image: the affected factor has its new
        value and all else is the original's. `swap_psnr`, the same with the affected partition
        taken from the encoder's code of that true image: what a relational learner without fault
        would reach with this autoencoder. `manipulation_shift`, mean distance in pixels of the
        sprite's centroid from the true image's, and `manipulation_psnr_aligned`, dB with the
        sprite moved there: NaN where pictures are not of a sprite alone. `nuisance_kept`, the share
        of images whose floor and walls keep their hue, where hues are nuisance of the variant; NaN
        elsewhere.
    """
    variant, model = trainer.variant, trainer.networks.autoencoder
    rows = trainer.images_of("test", images)
    generator = torch_generator(trainer.config.seed, "fidelity", trainer.device)
    true = trainer.bank.values[rows]
    relations = variant.relation_table(str(trainer.device))
    relation = relations.sample(len(rows), generator)
    affected = relations.factor[relation]
    source = plan(trainer.config.data, trainer.config.runtime.data_dir)
    with torch.no_grad():
        codes = model.encode(trainer.bank.batch(rows)).means
        pictures = _drawn(model, trainer.networks.relational(codes, relation))
        indices = prepared.indices[rows.cpu().numpy()]
        target = relations.apply(true, relation).cpu().numpy()
        changed = affected.cpu().numpy()
        there = nearest_indices(pictures, indices, changed, target, source, prepared.scale)
        targets = (source.images_at(there) / prepared.scale).astype(np.float32)
        each = torch.arange(len(rows), device=trainer.device)
        read = model.encode(torch.as_tensor(targets, device=trainer.device)).means
        codes[each, affected] = read[each, affected]
        swapped = _drawn(model, codes)
    return {
        "manipulation_psnr": float(psnr(pictures, targets).mean()),
        "swap_psnr": float(psnr(swapped, targets).mean()),
        **_sprite_scores(pictures, targets),
        "nuisance_kept": nuisance_kept(pictures, indices, variant),
    }


def psnr(pictures: FloatArray, images: FloatArray) -> FloatArray:
    """Peak signal-to-noise ratio of pictures in [0, 1], `(n,)` in dB; 120 of exact ones."""
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
    """Which image that shows what it should is nearest to each picture.

    A factor value may stand for several grid indices (a third of the positions): any will do.

    Args:
        pictures: `(n, channels, 64, 64)` in [0, 1].
        indices: Grid indices of the images they were made from, `(n, axes)`.
        affected: Factor that was changed in each, `(n,)`.
        target: Factor values that each should show, `(n, factors)`.
        source: Where images come from.
        scale: `images / scale` lies in [0, 1].

    Returns:
        Grid indices `(n, axes)`: the originals' but for the affected factor.
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
    """Move the sprite of each picture to where the image has it.

    Args:
        pictures: `(n, 1, 64, 64)` in [0, 1], a sprite on black.
        images: What they should show, the same shape.

    Returns:
        The moved pictures (a bicubic interpolation, which softens them a little), and how far each
        was moved, `(n,)` in pixels.
    """
    drawn = torch.as_tensor(pictures, dtype=torch.float32)
    move = centroid(torch.as_tensor(images, dtype=torch.float32)) - centroid(drawn)
    # Where each pixel comes from, in units of half a picture.
    affine = torch.eye(2).expand(len(drawn), 2, 2)
    affine = torch.cat([affine, -move.unsqueeze(-1) * 2 / IMAGE_SIZE], dim=-1)
    grid = F.affine_grid(affine, list(drawn.shape), align_corners=False)
    moved = F.grid_sample(drawn, grid, mode="bicubic", align_corners=False).clamp(0, 1)
    return moved.numpy(), move.norm(dim=-1).numpy()


def centroid(images: Tensor) -> Tensor:
    """Centre of brightness of each image, in pixels, `(batch, 2)` as (x, y).

    Brightness is squared, so that the faint background of a decoded image hardly counts.
    """
    mass = images.sum(1).square()
    ramp = torch.arange(IMAGE_SIZE, dtype=images.dtype, device=images.device)
    total = mass.sum((1, 2)).clamp(min=1e-6)
    x = (mass.sum(1) * ramp).sum(-1) / total
    y = (mass.sum(2) * ramp).sum(-1) / total
    return torch.stack([x, y], dim=-1)


def nuisance_kept(pictures: FloatArray, indices: IndexArray, variant: Variant) -> float:
    """Share of pictures whose floor and walls have the hue of the image they were made from.

    Args:
        pictures: `(n, 3, 64, 64)` in [0, 1].
        indices: Grid indices of the originals, `(n, axes)`.
        variant: Says which hues are nuisance.

    Returns:
        In [0, 1]; NaN where no hue is nuisance.
    """
    axes = [nuisance.axis for nuisance in variant.nuisance if nuisance.axis in HUE_AXES]
    if not axes:
        return float("nan")
    kept = np.ones(len(pictures), dtype=bool)
    for axis in axes:
        rows, columns = HUE_AXES[axis]
        hue = rgb_to_hsv(pictures[:, :, rows, columns].mean((2, 3)))[:, 0]
        turns = hue - indices[:, variant.grid.axis(axis)] / HUES
        # The nearest hue of the circle is the original's.
        kept &= np.abs((turns + 0.5) % 1 - 0.5) < 0.5 / HUES
    return float(kept.mean())


def _sprite_scores(pictures: FloatArray, images: FloatArray) -> dict[str, float]:
    """Where the sprite is, and how sharp it is there; NaN where pictures are in colour."""
    psnr_aligned = shift = float("nan")
    if pictures.shape[1] == 1:
        moved, by = align(pictures, images)
        psnr_aligned, shift = float(psnr(moved, images).mean()), float(by.mean())
    return {"manipulation_psnr_aligned": psnr_aligned, "manipulation_shift": shift}


def _drawn(model: ModularAutoencoder, codes: Tensor) -> FloatArray:
    drawn: FloatArray = model.decode(codes).sigmoid().cpu().numpy()
    return drawn
