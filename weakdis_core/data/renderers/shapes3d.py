"""A deterministic renderer of Shapes3D (Burgess and Kim, 2018).

The data set is 480,000 RGB 64x64 pictures of a body in a room: 10 floor hues x 10 wall hues x
10 body hues x 8 scales x 4 shapes x 15 orientations. Each of the 480 geometries (scale, shape,
orientation) is ray cast once into layers, which the hues then weight. On the 53 frames of the
animation published with the data set, the mean absolute error is 1.8 of 255. The rest is a faint
pattern on floor and walls, which the renderer does not draw.
"""

import colorsys
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from weakdis_core.data import arrays
from weakdis_core.data.renderers import shapes3d_scene
from weakdis_core.data.renderers.shapes3d_scene import LEVELS, SIZE, SKY

GRID = (10, 10, 10, 8, 4, 15)
LAYOUT = arrays.Layout("images", GRID, (SIZE, SIZE, 3))
"""Layout of the official file."""

# Levels of the channels of each hue h/10 at full saturation and value, `(10, 3)`.
_HUE_LEVELS: NDArray[np.int64] = np.rint(
    np.array([colorsys.hsv_to_rgb(hue / 10, 1, 1) for hue in range(10)]) * (LEVELS - 1)
).astype(np.int64)

# Colour of the sky, measured in the published animation.
_SKY = np.array([153, 226, 249])

# Layers are int16 in units of 1/64 grey level, which is exact enough and fast to add. All 480 take
# 83 MB. Brightness (up to 1.2 x 255, because of the sharpening) does not overflow the type.
_UNITS = 64
_CHUNK = 64


def render(
    indices: NDArray[np.int64], progress: Callable[[int], None] | None = None
) -> NDArray[np.uint8]:
    """Draw pictures.

    Args:
        indices: Grid indices `(n, 6)`, in the order of the grid.
        progress: Function that receives the number of newly finished images.

    Returns:
        RGB images `(n, 3, 64, 64)`, 0 .. 255.

    Raises:
        ValueError: An index is outside the grid.
    """
    indices = arrays.checked_indices(indices, GRID)
    images = np.empty((len(indices), 3, SIZE * SIZE), np.uint8)
    geometry = np.ravel_multi_index(tuple(indices[:, 3:].T), GRID[3:])
    order = np.argsort(geometry, kind="stable")
    # Threads cost these small products more than they save, many times more beside other programs.
    with threadpool_limits(1, "blas"):
        for same in np.split(order, np.flatnonzero(np.diff(geometry[order])) + 1):
            for start in range(0, len(same), _CHUNK):
                places = same[start : start + _CHUNK]
                scale, shape, orientation = indices[places[0], 3:].tolist()
                hued, sky = _tables(scale, shape, orientation)
                levels = _HUE_LEVELS[indices[places, :3]]
                brightness = sky + hued[0, levels[:, 0]]
                brightness += hued[1, levels[:, 1]]
                brightness += hued[2, levels[:, 2]]
                images[places] = np.clip(brightness // _UNITS, 0, 255)
                if progress is not None:
                    progress(len(places))
    return images.reshape(-1, 3, SIZE, SIZE)


@lru_cache(maxsize=480)
def _tables(
    scale: int, shape: int, orientation: int
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Compute the layers of one geometry in units of 1/64 grey level.

    Returns:
        Layers of floor, wall and body at each level of a channel, `(3, 6, 4096)`, and of the sky in
        each channel, `(3, 4096)`, plus one half so that the integer division rounds to nearest.
    """
    layers = shapes3d_scene.layers(scale, shape, orientation).reshape(4, LEVELS, SIZE * SIZE)
    hued = np.rint(layers[:SKY] * (255 * _UNITS)).astype(np.int16)
    sky = np.rint(_SKY[:, None] * layers[SKY, 0] * _UNITS + _UNITS / 2).astype(np.int16)
    return hued, sky
