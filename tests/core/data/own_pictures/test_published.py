"""Descriptions of published data sets, on small files in their published layouts."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from tests.core.data.own_pictures.own_bars import data, opened


def write_matrix(path: Path, values: Any) -> None:
    """Write a binary matrix of SmallNORB's format, in which at least three sizes are written."""
    magic = {"u1": 0x1E3D4C55, "i4": 0x1E3D4C54}[values.dtype.str[1:]]
    sizes = [*values.shape, 1, 1][: max(3, values.ndim)]
    path.write_bytes(np.array([magic, values.ndim, *sizes], "<i4").tobytes() + values.tobytes())


def published_norb(home: Path) -> tuple[str, list[list[int]]]:
    values = np.stack(np.unravel_index(np.arange(270), (5, 9, 6)), axis=1)
    azimuths = np.arange(270) % 18
    pixels = np.zeros((270, 2, 96, 96), np.uint8)
    pixels[:, 0] = np.arange(270)[:, None, None] % 200 + 20
    info = np.stack([np.full(270, 4), values[:, 1], 2 * azimuths, values[:, 2]], axis=1)
    write_matrix(home / "norb-dat.mat", pixels)
    write_matrix(home / "norb-cat.mat", values[:, 0].astype("<i4"))
    write_matrix(home / "norb-info.mat", info.astype("<i4"))
    expected = np.column_stack([values[:, :2], azimuths, values[:, 2]])
    return "norb-dat.mat", expected.tolist()


def published_cars(home: Path) -> tuple[str, list[list[int]]]:
    (home / "cars").mkdir()
    for car in range(183):
        own = 4 * np.arange(24)[:, None] + np.arange(4)
        views = np.broadcast_to(own.astype(np.uint8), (8, 8, 3, 24, 4))
        savemat(home / "cars" / f"car_{car:03}_mesh.mat", {"im": views})
    values = np.stack(np.unravel_index(np.arange(183 * 96), (183, 4, 24)), axis=1)
    return "cars", values[:, 1:].tolist()


def published_mpi3d(home: Path) -> tuple[str, list[list[int]]]:
    # The published layout with tiny pictures: all 1,036,800 of them.
    n = math.prod((6, 6, 2, 3, 3, 40, 40))
    pixels = np.zeros((n, 4, 4, 3), np.uint8)
    pixels[:, 0, 0] = np.arange(n)[:, None] >> (0, 8, 16) & 255
    np.savez_compressed(home / "toy.npz", images=pixels)
    return "toy.npz:images", []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("like", "make"),
    [("smallnorb", published_norb), ("cars3d", published_cars), ("mpi3d", published_mpi3d)],
)
def test_published_data_sets_have_descriptions(
    home: Path, like: str, make: Callable[[Path], tuple[str, list[list[int]]]]
) -> None:
    images, expected = make(home)
    data("add", "published", "--like", like, "--images", images)
    prepared = opened("published")
    assert prepared.variant.relations
    if expected:
        assert prepared.factors.tolist() == expected
    else:
        assert prepared.factors.shape == (50_000, 5)
        assert {tuple(each) for each in np.unique(prepared.factors, axis=0).tolist()} == set(
            itertools.product(*map(range, (6, 6, 2, 3, 3)))
        )
    if like == "cars3d":
        views = 4 * prepared.factors[:, 1] + prepared.factors[:, 0]
        np.testing.assert_array_equal(prepared.images[:, 0, 32, 32], views)
    if like == "smallnorb":
        assert prepared.images[:, 0, 32, 32].tolist() == [row % 200 + 20 for row in range(270)]
