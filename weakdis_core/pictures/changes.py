"""Pictures of test images that relations, components and swapped partitions change."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from weakdis_core.data.picture_files import Images
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.grid import GridRow, write_rows
from weakdis_core.pictures.manipulation import manipulate, swap
from weakdis_core.training.trainer import Trainer

Rows = tuple[list[GridRow], list[str]]
"""Rows of images, and the names of the columns."""

# Images or pairs, at most: in pictures with one row each, and in those with several rows each.
_SINGLE, _SEVERAL = 8, 2
# Pictures in a file by their channels, at most; colours need more space.
_PICTURES = {1: 200, 3: 64}
# Test images among which to find pairs.
_CANDIDATES = 200
# The hyphen marks the line break.
_RECONSTRUCTION = "recon-struction"


def write_manipulation(columns: dict[str, Images], head: Head, path: Path) -> None:
    """Write a PNG of the columns of `manipulate`, with a row for each image.

    Raises:
        UserError: The file cannot be written.
    """
    write_rows(*_manipulation_rows(columns), head, path)


def relation_rows(trainer: Trainer) -> Rows:
    """Return test images, their reconstructions, and the images after each relation."""
    variant = trainer.variant
    images = _images(trainer, _SINGLE, 2 + len(variant.relations))
    return _manipulation_rows(manipulate(trainer.model, images, variant.relation_names))


def repeated_rows(trainer: Trainer) -> Rows:
    """Return test images after each relation once, twice and so on, until it wraps around."""
    variant = trainer.variant
    sizes = dict(zip(variant.factor_names, variant.n_values, strict=True))
    times = {relation.name: sizes[relation.factor] for relation in variant.relations}
    images = _images(trainer, _SEVERAL, 2 + sum(times.values()))
    model = trainer.model
    result = {}
    for name, n in times.items():
        codes = [model.encode(images)]
        for _ in range(n):
            codes.append(model.change_codes(codes[-1], None, name))
        result[name] = model.decode(np.stack(codes[1:], axis=1))
    rows: list[GridRow] = []
    for n, shown in enumerate(zip(*manipulate(model, images, ()).values(), strict=True)):
        for name, after in result.items():
            first = name == variant.relation_names[0]
            row = [*(shown if first else (None, None)), *after[n]]
            drift = np.sqrt(np.square(after[n, -1] - shown[1]).mean())
            framed, apart = 1 + times[name], first and n > 0
            rows.append(GridRow(row, _words(name), framed, f"{drift:.3f}", apart))
    return rows, ["image", _RECONSTRUCTION, *map(str, range(1, max(times.values()) + 1))]


def traversal_rows(trainer: Trainer) -> Rows:
    """Return test images with each factor's partition at the mean of each of its components."""
    variant = trainer.variant
    images = _images(trainer, _SEVERAL, 2 + sum(variant.n_values))
    values = trainer.bank.values[trainer.images_of("test", len(images))].tolist()
    model, sizes = trainer.model, zip(variant.factor_names, variant.n_values, strict=True)
    traversals = [model.interpolate(images, name, steps=n) for name, n in sizes]
    rows: list[GridRow] = []
    for n, shown in enumerate(zip(*manipulate(model, images, ()).values(), strict=True)):
        for place, factor in enumerate(variant.factors):
            row = [*((None, None) if place else shown), *traversals[place][n]]
            own, apart = values[n][place], not place and n > 0
            framed = None if own == UNKNOWN else 2 + own
            names = ["", "", *factor.value_names]
            rows.append(GridRow(row, _words(factor.name), framed, apart=apart, names=names))
    return rows, ["image", _RECONSTRUCTION, *[""] * max(variant.n_values)]


def swap_rows(trainer: Trainer) -> Rows:
    """Return pairs of test images, and the first image with each partition of the second."""
    index = trainer.images_of("test", _CANDIDATES)
    count = _count_fitting(trainer, _SINGLE, 3 + trainer.networks.autoencoder.partitions)
    first, second = partners(trainer.bank.values[index].cpu().numpy(), count)
    images = trainer.bank.batch(index[first])
    others = trainer.bank.batch(index[second])
    model = trainer.model
    swapped, reconstructions = swap(model, images, others), model.decode(model.encode(images))
    pairs: list[Images] = [images.cpu().numpy(), others.cpu().numpy(), reconstructions]
    rows = [GridRow([*shown, *after]) for *shown, after in zip(*pairs, swapped, strict=True)]
    return rows, ["A", "B", f"{_RECONSTRUCTION} of A", *map(_words, partition_names(trainer))]


def partition_names(trainer: Trainer) -> list[str]:
    """Return the names of a modular model's partitions."""
    names = list(trainer.variant.factor_names)
    nuisance = trainer.config.model.nuisance_partitions
    return [*names, *(f"nuisance {n + 1}" if nuisance > 1 else "nuisance" for n in range(nuisance))]


def partners(values: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the first images with later ones that differ from them in most factors.

    Args:
        values: `(images, factors)` factor values.
        n: Largest number of pairs.

    Returns:
        Positions of the first and of the second images, `(pairs,)`, without repetition.
    """
    first = np.arange(min(n, len(values) // 2))
    free = np.arange(len(first), len(values))
    second = np.empty_like(first)
    for position in first:
        differences = (values[free] != values[position]).sum(1)
        best = int(differences.argmax())
        second[position] = free[best]
        free = np.delete(free, best)
    return first, second


def _manipulation_rows(columns: dict[str, Images]) -> Rows:
    rows = [GridRow(images) for images in zip(*columns.values(), strict=True)]
    return rows, ["image", _RECONSTRUCTION, *map(_words, list(columns)[2:])]


def _images(trainer: Trainer, wanted: int, pictures: int) -> Tensor:
    """Return the first test images, at most `wanted`, that fit with `pictures` each."""
    return trainer.bank.batch(trainer.images_of("test", _count_fitting(trainer, wanted, pictures)))


def _count_fitting(trainer: Trainer, wanted: int, pictures: int) -> int:
    """Return how many images fit if each needs so many pictures; at least one."""
    return max(1, min(wanted, _PICTURES[trainer.variant.channels] // pictures))


def _words(name: str) -> str:
    return name.replace("_", " ")
