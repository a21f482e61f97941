"""A renderer of dSprites (Matthey et al., 2017).

The data set is 737,280 binary 64x64 pictures of one sprite: 3 shapes x 6 scales x 40 orientations
x 32 x 32 positions. The renderer samples exact geometry at pixel centres without anti-aliasing, as
the official pictures do. On the 320 frames of the animation published with the data set, the mean
IoU is 0.9997 for squares and 0.999 for ellipses and hearts.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from weakdis_core.data import arrays

GRID = (3, 6, 40, 32, 32)
SIZE = 64
"""Height and width of a picture in pixels."""

LAYOUT = arrays.Layout("imgs", GRID, (SIZE, SIZE), highest=1)
"""Layout of the official files."""

# Positions of the sprite's centre in pixels (pixel j has its centre at j). The published animation
# shows all 32.
_FIRST_CENTRE = 15.5
_CENTRE_STEP = 32 / 31

# Scales 0.5, 0.6 .. 1 and orientations linspace(0, 2 pi, 40): the official `latents_values`.
_SMALLEST = 0.5
_SCALE_STEP = 0.1
_TURN_STEP = 2 * np.pi / 39

# Lengths in pixels at scale 1, fitted to the published animation by maximising the mean IoU.
_SQUARE_HALF_SIDE = 9.6
_ELLIPSE_SEMI_AXES = (12.76, 7.22)

# Radius of the heart in pixels at scale 1, every 6 degrees from -90 (the notch, up) over 0 (right)
# to 90 (the tip, down); the left half mirrors it. Fitted to the boundary of the 192 hearts of the
# published animation (smoothed logistic regression on cubic spline values). A fit to half of the
# frames has an IoU of 0.999 on the other half.
_HEART_RADII = (
    5.05, 6.90, 8.31, 9.38, 10.18, 10.73, 11.07, 11.22, 11.25, 11.15, 10.87, 10.54, 10.00, 9.38,
    8.75, 8.11, 7.56, 7.09, 6.70, 6.40, 6.17, 6.01, 5.93, 5.92, 5.95, 6.08, 6.30, 6.61, 7.16, 7.88,
    9.61,
)  # fmt: skip
_HEART_STEPS_PER_DEGREE = 50
_HEART_SQUARED_RADII: NDArray[np.float64] = (
    CubicSpline(np.linspace(-90, 90, len(_HEART_RADII)), _HEART_RADII)(
        np.linspace(-90, 90, 180 * _HEART_STEPS_PER_DEGREE + 1)
    )
    ** 2
)

# This window, which starts 13 px before the centre's pixel, covers every sprite: a square's corner,
# the farthest point, is 13.58 px from the centre.
_WINDOW = 28
_WINDOW_START = 13
_CHUNK = 256


def render(
    indices: NDArray[np.int64], progress: Callable[[int], None] | None = None
) -> NDArray[np.uint8]:
    """Draw pictures.

    Args:
        indices: Grid indices `(n, 5)`, in the order of the grid.
        progress: Function that receives the number of newly finished images.

    Returns:
        Images `(n, 1, 64, 64)`, 0 (background) or 1 (sprite).

    Raises:
        ValueError: An index is outside the grid.
    """
    indices = arrays.checked_indices(indices, GRID)
    images = np.zeros((len(indices), 1, SIZE, SIZE), np.uint8)
    for start in range(0, len(indices), _CHUNK):
        part = slice(start, start + _CHUNK)
        _draw(indices[part], images[part, 0])
        if progress is not None:
            progress(len(indices[part]))
    return images


def _draw(indices: NDArray[np.int64], canvas: NDArray[np.uint8]) -> None:
    """Draw the sprites `(n, 5)` onto the empty `canvas` `(n, 64, 64)`."""
    scale = _SMALLEST + _SCALE_STEP * indices[:, 1]
    turn = _TURN_STEP * indices[:, 2]
    centre = _FIRST_CENTRE + _CENTRE_STEP * indices[:, 3:]
    corner = np.floor(centre).astype(np.int64) - _WINDOW_START
    columns, rows = (corner[:, axis, None] + np.arange(_WINDOW) for axis in (0, 1))

    # Pixel centres in the sprite's frame. y points down, so a positive turn is anticlockwise.
    right = (columns - centre[:, :1]) / scale[:, None]
    down = (rows - centre[:, 1:]) / scale[:, None]
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    x = (right * cos)[:, None, :] - (down * sin)[:, :, None]
    y = (right * sin)[:, None, :] + (down * cos)[:, :, None]

    inside = np.empty(x.shape, np.bool_)
    for shape, test in enumerate((_in_square, _in_ellipse, _in_heart)):
        chosen = indices[:, 0] == shape
        inside[chosen] = test(x[chosen], y[chosen])
    canvas[np.arange(len(indices))[:, None, None], rows[:, :, None], columns[:, None, :]] = inside


def _in_square(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(np.abs(x), np.abs(y)) <= _SQUARE_HALF_SIDE


def _in_ellipse(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    across, along = _ELLIPSE_SEMI_AXES
    return (x / across) ** 2 + (y / along) ** 2 <= 1


def _in_heart(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    degrees = np.degrees(np.arctan2(y, np.abs(x)))
    step = np.rint((degrees + 90) * _HEART_STEPS_PER_DEGREE).astype(np.intp)
    inside: NDArray[np.bool_] = x * x + y * y <= _HEART_SQUARED_RADII[step]
    return inside
