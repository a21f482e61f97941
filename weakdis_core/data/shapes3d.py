"""Shapes3D: draws its pictures and reads the official file."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

GRID: tuple[int, ...] = (10, 10, 10, 8, 4, 15)

_FOCAL = 0.891
_HEIGHT = 0.3582
_ROOM = 1.4622
_WALL = 0.9589
_LIGHT = np.array([-0.192, 1.0, 0.004]) / np.linalg.norm([-0.192, 1.0, 0.004])
_SKY = np.array([153, 226, 249], np.float64)
_HUES = np.array([colorsys.hsv_to_rgb(h / 10, 1, 1) for h in range(10)]) * 255


def render(
    indices: NDArray[np.int64], progress: Callable[[int], None] | None = None
) -> NDArray[np.uint8]:
    """Draws images (n, 3, 64, 64) uint8 of grid indices (n, 6)."""
    indices = np.asarray(indices)
    images = np.empty((len(indices), 3, 64 * 64), np.uint8)
    key = np.ravel_multi_index(tuple(indices[:, 3:].T), GRID[3:])
    order = np.argsort(key, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(key) else []
    for group in groups:
        maps = _geometry(*(int(v) for v in indices[group[0], 3:]))
        for start in range(0, len(group), 64):
            rows = group[start : start + 64]
            colours = np.empty((len(rows), 3, 4), np.float32)
            for k in range(3):
                colours[:, :, k] = _HUES[indices[rows, k]]
            colours[:, :, 3] = _SKY
            images[rows] = np.rint(colours @ maps).astype(np.uint8)
            if progress:
                progress(len(rows))
    return images.reshape(-1, 3, 64, 64)


@lru_cache(maxsize=480)
def _geometry(scale: int, shape: int, orientation: int) -> NDArray[np.float32]:
    """Weights (4, 4096) of floor, wall, object and sky colour at each pixel."""
    s = (0.75 + scale * 0.5 / 7) / 0.75
    a = np.radians(-30 + 60 * orientation / 14)
    eye = np.array([np.sin(a), _HEIGHT, -np.cos(a)])
    u = (np.arange(128) + 0.5) / 128 - 0.5
    uu, vv = np.meshgrid(u, -u)
    right = np.array([np.cos(a), 0, np.sin(a)])
    forward = np.array([-np.sin(a), 0, np.cos(a)])
    d = uu[..., None] * right + vv[..., None] * np.array([0, 1.0, 0]) + _FOCAL * forward
    d = d.reshape(-1, 3) / np.linalg.norm(d.reshape(-1, 3), axis=1, keepdims=True)
    o = np.broadcast_to(eye, d.shape)

    t_obj, normal = _hit(shape, s, o, d)
    with np.errstate(divide="ignore", invalid="ignore"):
        t_floor = np.where(d[:, 1] < 0, -_HEIGHT / d[:, 1], np.inf)
        t_back = np.where(d[:, 2] > 0, (_ROOM - o[:, 2]) / d[:, 2], np.inf)
        t_side = np.where(d[:, 0] != 0, (np.sign(d[:, 0]) * _ROOM - o[:, 0]) / d[:, 0], np.inf)
    t_wall = np.minimum(t_back, t_side)
    wall_y = _HEIGHT + t_wall * d[:, 1]
    maps = np.zeros((4, len(d)))
    is_obj = t_obj < np.minimum(t_floor, t_wall)
    is_floor = ~is_obj & (t_floor < t_wall)
    is_wall = ~is_obj & ~is_floor & (wall_y <= _WALL)
    maps[3] = ~(is_obj | is_floor | is_wall)
    side = np.where(d[:, 0] > 0, 0.70, 0.80)
    maps[1] = np.where(is_wall, np.where(t_side < t_back, side, 1.0), 0)
    maps[2] = np.where(is_obj, np.minimum(1, 0.64 + 0.40 * np.maximum(0, normal @ _LIGHT)), 0)
    f = np.flatnonzero(is_floor)
    p = o[f] + t_floor[f, None] * d[f]
    t_shadow, _ = _hit(shape, s, p, np.broadcast_to(_LIGHT, p.shape))
    maps[0, f] = np.where(np.isfinite(t_shadow), 0.33, 1.0)
    maps = maps.reshape(4, 64, 2, 64, 2).mean((2, 4)).reshape(4, -1)
    return maps.astype(np.float32)


def _sphere(o, d, cy, r):
    q = o - np.array([0, cy, 0])
    b = (q * d).sum(1)
    disc = b * b - (q * q).sum(1) + r * r
    t = np.where(disc > 0, -b - np.sqrt(np.maximum(disc, 0)), np.inf)
    t = np.where(t > 1e-9, t, np.inf)
    return t, (q + np.where(np.isfinite(t), t, 0)[:, None] * d) / r


def _tube(o, d, y0, y1, r):
    a = d[:, 0] ** 2 + d[:, 2] ** 2
    b = o[:, 0] * d[:, 0] + o[:, 2] * d[:, 2]
    disc = b * b - a * (o[:, 0] ** 2 + o[:, 2] ** 2 - r * r)
    t = np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)
    t = np.where(t > 1e-9, t, np.inf)
    p = o + np.where(np.isfinite(t), t, 0)[:, None] * d
    t = np.where((p[:, 1] >= y0) & (p[:, 1] <= y1), t, np.inf)
    return t, p * np.array([1, 0, 1]) / r


def _hit(shape, s, o, d):
    if shape == 0:
        h = 0.2484 * s / 2
        lo, hi = np.array([-h, 0, -h]), np.array([h, 2 * h, h])
        with np.errstate(divide="ignore", invalid="ignore"):
            t0, t1 = (lo - o) / d, (hi - o) / d
        near, far = np.minimum(t0, t1), np.maximum(t0, t1)
        t = near.max(1)
        t = np.where((t <= far.min(1)) & (far.min(1) > 1e-9), t, np.inf)
        n = np.zeros_like(d)
        k = near.argmax(1)
        n[np.arange(len(d)), k] = -np.sign(d[np.arange(len(d)), k])
        return t, n
    if shape == 2:
        r = 0.1522 * s
        return _sphere(o, d, r, r)
    if shape == 1:
        r, h = 0.1318 * s, 0.2615 * s
        t, n = _tube(o, d, 0, h, r)
        with np.errstate(divide="ignore", invalid="ignore"):
            tc = (h - o[:, 1]) / d[:, 1]
        p = o + np.where(np.isfinite(tc), tc, 0)[:, None] * d
        cap = (p[:, 0] ** 2 + p[:, 2] ** 2 <= r * r) & (tc > 1e-9) & (tc < t)
        return np.where(cap, tc, t), np.where(cap[:, None], np.array([0, 1.0, 0]), n)
    r, h = 0.1151 * s, 0.4652 * s
    t, n = _tube(o, d, r, h - r, r)
    for cy in (r, h - r):
        ts, ns = _sphere(o, d, cy, r)
        n = np.where((ts < t)[:, None], ns, n)
        t = np.minimum(t, ts)
    return t, n
