"""Files of published data sets in formats of their own: Cars3D and SmallNORB."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat

from weakdis_core.data.own_pictures.picture_source import Advance, PictureSource
from weakdis_core.data.picture_files import to_pixels
from weakdis_core.errors import UserError

NORB_DATA, NORB_LABELS, NORB_INFO = "-dat.mat", "-cat.mat", "-info.mat"
"""Ends of the names of SmallNORB's files."""

NORB_COLUMNS = ("category", "instance", "elevation", "azimuth", "lighting")
"""Labels of SmallNORB, the first in the file -cat.mat, the others in -info.mat."""

# Numbers at the beginning of SmallNORB's files.
_TYPES: dict[int, np.dtype[np.integer[Any]]] = {
    0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4"),
}  # fmt: skip


class CarPictures(PictureSource):
    """Cars3D: a MATLAB file for each car, `im` of `(128, 128, 3, azimuths, elevations)`.

    Pictures are in the order of files, elevations and azimuths.
    """

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.views = self._load(0).shape[:2]

    @property
    def count(self) -> int:
        """Number of views of all cars."""
        return len(self.files) * math.prod(self.views)

    def read(
        self, rows: NDArray[np.int64], channels: int, size: int, advance: Advance | None = None
    ) -> NDArray[np.uint8]:
        """Read views, and resize them."""
        images = np.empty((len(rows), channels, size, size), np.uint8)
        cars, elevations, azimuths = np.unravel_index(rows, (len(self.files), *self.views))
        for car in np.unique(cars).tolist():
            views = self._load(car)
            places = np.flatnonzero(cars == car)
            for place in places.tolist():
                view = Image.fromarray(views[elevations[place], azimuths[place]])
                images[place] = to_pixels(view, channels, size)
            if advance is not None:
                advance(len(places))
        return images

    def _load(self, car: int) -> NDArray[np.uint8]:
        """Return the views of a car, `(elevations, azimuths, height, width, 3)`."""
        path = self.files[car]
        try:
            found = np.asarray(loadmat(path)["im"])
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise UserError(
                f"images: {path} cannot be read as a file of Cars3D ({error})"
            ) from None
        if found.ndim != 5 or found.dtype != np.uint8:
            raise UserError(
                f"images: {path} is not allowed: im has shape {found.shape} of {found.dtype}, "
                "expected (height, width, 3, azimuths, elevations) of uint8"
            )
        return found.transpose(4, 3, 0, 1, 2)


class NorbPictures(PictureSource):
    """SmallNORB: a binary matrix `(pictures, 2 cameras, 96, 96)`, of which the left is used."""

    def __init__(self, path: Path) -> None:
        self.files = [path]
        self.pixels = read_matrix(path)
        if self.pixels.ndim != 4:
            raise UserError(f"images: {path} is not allowed: it has shape {self.pixels.shape}")

    @property
    def count(self) -> int:
        """Number of pictures."""
        return len(self.pixels)

    def read(
        self, rows: NDArray[np.int64], channels: int, size: int, advance: Advance | None = None
    ) -> NDArray[np.uint8]:
        """Read pictures of the left camera, and resize them."""
        images = np.empty((len(rows), channels, size, size), np.uint8)
        for place, row in enumerate(rows.tolist()):
            images[place] = to_pixels(Image.fromarray(self.pixels[row, 0]), channels, size)
        if advance is not None:
            advance(len(rows))
        return images


def read_norb_labels(path: Path) -> dict[str, list[str]]:
    """Return the labels of SmallNORB's pictures by column, from its files -cat.mat and -info.mat.

    Raises:
        UserError: One of the files is missing or damaged.
    """
    info = path.with_name(path.name.removesuffix(NORB_LABELS) + NORB_INFO)
    table = np.column_stack([read_matrix(path), read_matrix(info)])
    return {name: list(map(str, each)) for name, each in zip(NORB_COLUMNS, table.T, strict=True)}


def read_matrix(path: Path) -> NDArray[np.integer[Any]]:
    """Open a binary matrix of SmallNORB as a memory map.

    Raises:
        UserError: The file is missing, or no such matrix.
    """
    try:
        head = np.fromfile(path, "<i4", 2)
        dtype, n = _TYPES[int(head[0])], int(head[1])
        shape = tuple(np.fromfile(path, "<i4", n, offset=8).tolist())
        # At least three sizes are written.
        return np.memmap(path, dtype, mode="r", offset=8 + 4 * max(3, n), shape=shape)
    except (OSError, ValueError, KeyError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "no binary matrix of SmallNORB"
        raise UserError(f"{path}: cannot be read ({reason})") from None
