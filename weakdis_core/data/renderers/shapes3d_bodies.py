"""The four bodies of Shapes3D and their intersections with rays.

A body stands at the origin of the floor, with y up. A ray has a start outside the body and a
direction; distances are in units of the direction's length.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Hit = tuple[Array, Array]
"""Distances `(n,)`, infinite for a miss, and normals `(n, 3)`."""
Body = Callable[[Array, Array], Hit]
"""Function of starts `(n, 3)` or `(3,)` and directions `(n, 3)` that returns the hits."""

# Lengths at the smallest scale, in radii of the camera's circle, fitted as in shapes3d_scene. The
# scales are 1, 1 + 2/21 .. 5/3 times that (0.75 .. 1.25).
_CUBE_SIDE = 0.2101
_CYLINDER_RADIUS, _CYLINDER_HEIGHT = 0.1092, 0.2246
_BALL_RADIUS = 0.1276
_GAP = 0.0054  # between floor and body: official bodies do not quite touch their shadows
_CAPSULE_RADIUS, _CAPSULE_HEIGHT = 0.0979, 0.3886


def body_of(shape: int, scale: int) -> Body:
    """Return the body of a shape and a scale, both grid indices.

    Args:
        shape: 0 cube, 1 cylinder, 2 ball, 3 capsule.
        scale: 0 .. 7.
    """
    size = (0.75 + 0.5 * scale / 7) / 0.75
    hit = (_cube, _cylinder, _ball, _capsule)[shape]
    return lambda start, along: hit(start - np.array([0, size * _GAP, 0]), along, size)


def _cube(start: Array, along: Array, size: float) -> Hit:
    side = size * _CUBE_SIDE
    half = side / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (np.array([-half, 0, -half]) - start) / along
        other = (np.array([half, side, half]) - start) / along
    enter, leave = np.minimum(one, other), np.maximum(one, other)
    axis = enter.argmax(1)
    rays = np.arange(len(along))
    distances = enter[rays, axis]
    missed = (distances > leave.min(1)) | (distances < 0)
    normals = np.zeros_like(along)
    normals[rays, axis] = -np.sign(along[rays, axis])
    return np.where(missed, np.inf, distances), normals


def _cylinder(start: Array, along: Array, size: float) -> Hit:
    radius, height = size * _CYLINDER_RADIUS, size * _CYLINDER_HEIGHT
    tube = _tube_hit(start, along, radius, 0, height)
    return _nearest(tube, _disc_hit(start, along, radius, height))


def _ball(start: Array, along: Array, size: float) -> Hit:
    return _sphere_hit(start, along, size * _BALL_RADIUS, size * _BALL_RADIUS)


def _capsule(start: Array, along: Array, size: float) -> Hit:
    radius, top = size * _CAPSULE_RADIUS, size * (_CAPSULE_HEIGHT - _CAPSULE_RADIUS)
    ends = [_sphere_hit(start, along, radius, middle) for middle in (radius, top)]
    return _nearest(_tube_hit(start, along, radius, radius, top), *ends)


def _nearest(*hits: Hit) -> Hit:
    distances, normals = (np.stack(parts) for parts in zip(*hits, strict=True))
    first = distances.argmin(0)
    rays = np.arange(len(first))
    return distances[first, rays], normals[first, rays]


def _sphere_hit(start: Array, along: Array, radius: float, middle: float) -> Hit:
    offset = start - np.array([0, middle, 0])
    distances = _first_root(
        (along * along).sum(1), (offset * along).sum(-1), (offset * offset).sum(-1) - radius**2
    )
    return distances, (offset + _finite(distances) * along) / radius


def _tube_hit(start: Array, along: Array, radius: float, low: float, high: float) -> Hit:
    flat = np.array([1, 0, 1])
    offset, across = start * flat, along * flat
    distances = _first_root(
        (across * across).sum(1), (offset * across).sum(-1), (offset * offset).sum(-1) - radius**2
    )
    points = start + _finite(distances) * along
    inside = (points[:, 1] >= low) & (points[:, 1] <= high)
    return np.where(inside, distances, np.inf), points * flat / radius


def _disc_hit(start: Array, along: Array, radius: float, height: float) -> Hit:
    with np.errstate(divide="ignore"):
        distances = (height - start[..., 1]) / along[:, 1]
    points = start + _finite(distances) * along
    inside = (points[:, 0] ** 2 + points[:, 2] ** 2 <= radius**2) & (distances > 0)
    return np.where(inside, distances, np.inf), np.broadcast_to([0.0, 1.0, 0.0], along.shape)


def _first_root(a: Array, b: Array, c: Array) -> Array:
    """Return the smallest root of a t^2 + 2 b t + c if it is positive, else infinity."""
    inner = b * b - a * c
    roots = (-b - np.sqrt(np.maximum(inner, 0))) / a
    return np.where((inner > 0) & (roots > 0), roots, np.inf)


def _finite(distances: Array) -> Array:
    """Return distances as a column, with 0 for a miss, whose point is not used."""
    return np.where(np.isfinite(distances), distances, 0)[:, None]
