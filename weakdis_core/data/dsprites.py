"""dSprites: draws its pictures and reads the official files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

GRID: tuple[int, ...] = (3, 6, 40, 32, 32)

_WINDOW = 28
_CHUNK = 256
_DEG = np.array([-90, -75, -59, -44, -29, -13, -2, 13, 29, 44, 59, 75, 82, 90], float)
_RAD = np.array([5.65, 9.0, 10.85, 11.2, 10.85, 9.6, 8.4, 7.05, 6.2, 5.9, 6.2, 6.8, 7.6, 8.4])


def render(
    indices: NDArray[np.int64], progress: Callable[[int], None] | None = None
) -> NDArray[np.uint8]:
    """Draws images (n, 1, 64, 64) uint8, 0 or 1, of grid indices (n, 5)."""
    indices = np.asarray(indices)
    images = np.zeros((len(indices), 1, 64, 64), np.uint8)
    for start in range(0, len(indices), _CHUNK):
        part = indices[start : start + _CHUNK]
        _draw(part, images[start : start + _CHUNK, 0])
        if progress:
            progress(len(part))
    return images


def _draw(part: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
    centre = 15.5 + part[:, 3:] * (32 / 31)
    corner = np.floor(centre).astype(np.int64) - 13
    scale = 0.5 + 0.1 * part[:, 1]
    angle = 2 * np.pi * part[:, 2] / 39
    grid = np.arange(_WINDOW)
    dx = (corner[:, :1] + grid - centre[:, :1]) / scale[:, None]
    dy = (corner[:, 1:] + grid - centre[:, 1:]) / scale[:, None]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x = (dx * cos)[:, None, :] - (dy * sin)[:, :, None]
    y = (dx * sin)[:, None, :] + (dy * cos)[:, :, None]
    mask = np.empty(x.shape, bool)
    for shape, inside in enumerate((_square, _ellipse, _heart)):
        rows = np.flatnonzero(part[:, 0] == shape)
        mask[rows] = inside(x[rows], y[rows])
    n = np.arange(len(part))[:, None, None]
    rows_y = (corner[:, 1:] + grid)[:, :, None]
    cols_x = (corner[:, :1] + grid)[:, None, :]
    out[n, rows_y, cols_x] = mask


def _square(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(np.abs(x), np.abs(y)) <= 9.6


def _ellipse(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (x / 12.65) ** 2 + (y / 7.25) ** 2 <= 1


def _heart(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    phi = np.degrees(np.arctan2(y, np.abs(x)))
    return x * x + y * y <= np.interp(phi, _DEG, _RAD) ** 2
