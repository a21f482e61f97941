"""A ray caster for the room of Shapes3D, with one layer for the contribution of each surface.

A body stands in a room open at the top. A camera on a circle around it looks horizontally. Lengths
are in units of the circle's radius, x to the right, y up, z away from the camera at orientation 0.
Shading is that of fixed-function OpenGL: ambient light, a directional headlight and a spotlight
above that throws a shadow on the floor.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weakdis_core.data.renderers.shapes3d_bodies import Array, Body, Hit, body_of

SIZE = 64
"""Height and width of a picture in pixels."""

LEVELS = 6
"""Number of levels of a hue's channels: 0, 1/5 .. 1."""

FLOOR, WALL, BODY, SKY = range(4)
"""Surfaces, in the order of the layers."""

# Constants, fitted by least squares to the 53 frames (25 geometries) of the published animation,
# reduced to 64x64. The mean absolute error is 1.76 of 255.
_FOCAL = 1.0706  # focal length in picture widths
_EYE_HEIGHT = 0.3059
_LARGEST_ORIENTATION = 30.0  # degrees, as published
_WALL_X = 1.4181  # the walls left and right, at -x and x
_WALL_Z = 1.4280  # the wall behind
_WALL_HEIGHT = 0.8117

_AMBIENT = 0.3622
_HEADLIGHT = 0.5776
_SPOTLIGHT = 0.9574
_SPOT_PLACE = np.array([-0.5854, 3.0833, 0.1320])
_SPOT_AXIS = np.array([0.0027, 1.0, -0.0260])  # from the floor to the light
_SPOT_EXPONENT = 11.22
# The body has a highlight wherever the spotlight reaches it, at any angle (shininess 0). The ramp
# approximates the shading between the vertices of the official mesh.
_HIGHLIGHT = 0.1452
_HIGHLIGHT_RAMP = (-0.02, 0.07)

_SAMPLES = 4  # rays per pixel and axis
_REACH = 2  # radius of the cubic filter in pixels


def layers(scale: int, shape: int, orientation: int) -> NDArray[np.float32]:
    """Compute the contribution of each surface to a picture of one geometry.

    Args:
        scale: Grid index 0 .. 7.
        shape: Grid index: 0 cube, 1 cylinder, 2 ball, 3 capsule.
        orientation: Grid index 0 .. 14.

    Returns:
        Brightness that each surface adds to a channel at each level of its hue, `(4, 6, 64, 64)`.
        1 is full; sharpening gives values slightly below 0 and above 1. The sky has no hue: all its
        levels are its share of each pixel.
    """
    picture = _room(orientation).copy()
    body = body_of(shape, scale)
    rows, columns = _window(orientation, body)
    picture[:, :, rows, columns] = _cast(orientation, rows, columns, body)
    return picture


@lru_cache(maxsize=15)
def _room(orientation: int) -> NDArray[np.float32]:
    """Cast the empty room."""
    return _cast(orientation, slice(0, SIZE), slice(0, SIZE), None)


def _window(orientation: int, body: Body) -> tuple[slice, slice]:
    """Return the rows and columns that the body or its shadow may change."""
    whole = np.linspace(0.5, SIZE - 0.5, SIZE)
    surface, lit, *_ = _trace(orientation, whole, whole, body)
    changed = ((surface == BODY) | ~lit).reshape(SIZE, SIZE)
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(changed.any(axis))
        margin = _REACH + 1  # one more pixel, because these rays are coarse
        spans.append(slice(max(0, found[0] - margin), min(SIZE, found[-1] + 1 + margin)))
    return spans[0], spans[1]


def _cast(orientation: int, rows: slice, columns: slice, body: Body | None) -> NDArray[np.float32]:
    """Cast a window of the picture; return its layers `(4, 6, rows, columns)`."""
    down, reduce_rows = _samples(rows)
    right, reduce_columns = _samples(columns)
    surface, lit, points, normals, ahead = _trace(orientation, down, right, body)
    diffuse, highlight = _shade(surface, lit, points, normals, ahead)
    level = np.arange(LEVELS, dtype=np.float32)[:, None] / (LEVELS - 1)
    seen = np.minimum(1, diffuse * level + highlight)
    fine = np.stack([seen * (surface == each) for each in range(4)])
    fine = fine.reshape(4, LEVELS, len(down), len(right))
    reduced: NDArray[np.float32] = reduce_rows @ fine @ reduce_columns.T
    return reduced


def _samples(span: slice) -> tuple[Array, NDArray[np.float32]]:
    """Return ray positions for a span of pixels and weights `(pixels, rays)` of their reduction."""
    # The official pictures show the light and dark seams of a cubic (Catmull-Rom) reduction.
    first, last = max(0, span.start - _REACH), min(SIZE, span.stop + _REACH)
    place: Array = first + (np.arange((last - first) * _SAMPLES) + 0.5) / _SAMPLES
    x = np.abs(place - (np.arange(span.start, span.stop)[:, None] + 0.5))
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return place, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _trace(
    orientation: int, down: Array, right: Array, body: Body | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_], Array, Array, Array]:
    """Trace one ray for each position, in pixels, of the picture.

    Returns:
        Surfaces `(n,)`, whether the spotlight reaches them `(n,)`, points `(n, 3)`, normals
        `(n, 3)` and the direction of the camera `(3,)`.
    """
    turn = np.radians(_LARGEST_ORIENTATION * (orientation / 7 - 1))
    sin, cos = np.sin(turn), np.cos(turn)
    eye = np.array([sin, _EYE_HEIGHT, -cos])
    ahead = np.array([-sin, 0, cos])
    u, v = np.meshgrid(right / SIZE - 0.5, 0.5 - down / SIZE)
    sideways = np.array([cos, 0, sin])
    rays = u[..., None] * sideways + v[..., None] * np.array([0, 1, 0]) + _FOCAL * ahead
    rays = rays.reshape(-1, 3)

    distances, normals = _room_hit(eye, rays)
    surface = np.where(normals[:, 1] > 0, FLOOR, WALL)
    if body is not None:
        body_distances, body_normals = body(eye, rays)
        front = body_distances < distances
        distances = np.where(front, body_distances, distances)
        normals = np.where(front[:, None], body_normals, normals)
        surface[front] = BODY
    points = eye + distances[:, None] * rays
    surface[(surface == WALL) & (points[:, 1] > _WALL_HEIGHT)] = SKY
    lit = np.ones(len(rays), np.bool_)
    if body is not None:
        floor = np.flatnonzero(surface == FLOOR)
        shadow, _ = body(points[floor], _SPOT_PLACE - points[floor])
        lit[floor] = np.isinf(shadow)
    return surface, lit, points, normals, ahead


def _shade(
    surface: NDArray[np.int64],
    lit: NDArray[np.bool_],
    points: Array,
    normals: Array,
    ahead: Array,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factor on the hue and the white light added, `(n,)` each; 0 and 1 for the sky."""
    to_spot = _unit(_SPOT_PLACE - points)
    spot = lit * np.maximum(0, to_spot @ _unit(_SPOT_AXIS)) ** _SPOT_EXPONENT
    facing_spot = np.einsum("ij,ij->i", normals, to_spot)
    diffuse = (
        _AMBIENT
        + _HEADLIGHT * np.maximum(0, -(normals @ ahead))
        + _SPOTLIGHT * spot * np.maximum(0, facing_spot)
    )
    low, high = _HIGHLIGHT_RAMP
    ramp = np.clip((facing_spot - low) / (high - low), 0, 1)
    highlight = np.where(surface == BODY, _HIGHLIGHT * spot * ramp, 0)
    sky = surface == SKY
    return (
        np.where(sky, 0, diffuse).astype(np.float32),
        np.where(sky, 1, highlight).astype(np.float32),
    )


def _unit(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths


def _room_hit(eye: Array, rays: Array) -> Hit:
    """Intersect rays with floor and walls, which have no upper end."""
    x, y, z = rays.T
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(y < 0, -eye[1] / y, np.inf)
        side = np.where(x != 0, (np.sign(x) * _WALL_X - eye[0]) / x, np.inf)
        back = np.where(z > 0, (_WALL_Z - eye[2]) / z, np.inf)
    distances = np.stack([side, floor, back])
    axis = distances.argmin(0)
    normals = np.zeros_like(rays)
    normals[np.arange(len(rays)), axis] = np.choose(axis, [-np.sign(x), 1.0, -1.0])
    return distances.min(0), normals
