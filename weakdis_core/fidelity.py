"""How good a changed picture is: beside the true picture it should be, and in what must stay.

An addition to the paper's evaluation. Relation accuracies say whether a picture after a relation
shows the right factor values; these scores say how close it is to the image that the data set has
for them, and whether the nuisance of the original is still there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.colors import rgb_to_hsv
from numpy.typing import NDArray

from weakdis_core.data.factors import IndexArray
from weakdis_core.data.plan import Plan, plan
from weakdis_core.data.store import Prepared, images_at
from weakdis_core.data.variants import Variant
from weakdis_core.seeding import torch_generator
from weakdis_core.trainer import Trainer

FloatArray = NDArray[np.floating[Any]]

HUE_AXES = {
    "floor_hue": (slice(58, 64), slice(0, 64)),
    "wall_hue": (slice(24, 34), slice(0, 6)),
}
"""Rows and columns of an image where nothing but the floor, or a wall, is ever seen."""

_EXACT = 1e-12
HUES = 10
"""Hues of the grid, evenly around the circle."""


def fidelity_scores(trainer: Trainer, prepared: Prepared, images: int = 1000) -> dict[str, float]:
    """Scores of test images after one random relation each.

    Args:
        trainer: A trained model.
        prepared: The images it was trained on.
        images: Test images at most.

    Returns:
        `manipulation_psnr`, mean dB to the nearest true image: the affected factor has its new
        value and all else is the original's. `nuisance_kept`, the share of images whose floor and
        walls keep their hue, where hues are nuisance of the variant; NaN elsewhere.
    """
    variant = trainer.variant
    rows = trainer.images_of("test", images)
    generator = torch_generator(trainer.config.seed, "fidelity", trainer.device)
    true = trainer.bank.values[rows]
    relations = trainer.variant.relation_table(str(trainer.device))
    relation = relations.sample(len(rows), generator)
    with torch.no_grad():
        codes = trainer.networks.autoencoder.encode(trainer.bank.batch(rows)).means
        moved = trainer.networks.relational(codes, relation)
        pictures = trainer.networks.autoencoder.decode(moved).sigmoid().cpu().numpy()
    target = relations.apply(true, relation).cpu().numpy()
    indices = prepared.indices[rows.cpu().numpy()]
    affected = relations.factor[relation].cpu().numpy()
    source = plan(trainer.config.data, trainer.config.runtime.data_dir)
    nearest = nearest_psnr(pictures, indices, affected, target, source, prepared.scale)
    return {
        "manipulation_psnr": float(nearest.mean()),
        "nuisance_kept": nuisance_kept(pictures, indices, variant),
    }


def nearest_psnr(
    pictures: FloatArray,
    indices: IndexArray,
    affected: IndexArray,
    target: IndexArray,
    source: Plan,
    scale: float,
) -> FloatArray:
    """PSNR of each picture to the nearest image that shows what it should.

    A factor value may stand for several grid indices (a third of the positions): any will do.

    Args:
        pictures: `(n, channels, 64, 64)` in [0, 1].
        indices: Grid indices of the images they were made from, `(n, axes)`.
        affected: Factor that was changed in each, `(n,)`.
        target: Factor values that each should show, `(n, factors)`.
        source: Where images come from.
        scale: `images / scale` lies in [0, 1].

    Returns:
        Decibels, `(n,)`; 120 of an exact picture.
    """
    variant = source.variant
    errors = np.full(len(pictures), np.inf)
    for position, factor in enumerate(variant.factors):
        axis = variant.grid.axis(factor.axis)
        for value, members in enumerate(factor.bins):
            chosen = np.flatnonzero((affected == position) & (target[:, position] == value))
            for member in members if len(chosen) else ():
                there = indices[chosen]
                there[:, axis] = member
                images = images_at(source, there) / scale
                error = np.square(pictures[chosen] - images).mean((1, 2, 3))
                errors[chosen] = np.minimum(errors[chosen], error)
    return np.asarray(-10 * np.log10(errors.clip(min=_EXACT)))


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
