"""The pictures of an own data set: a folder of files, or an array of an NPZ or HDF5 file."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakdis_core.data import arrays
from weakdis_core.data.own_pictures.picture_source import Advance, PictureSource
from weakdis_core.data.own_pictures.published_files import NORB_DATA, CarPictures, NorbPictures
from weakdis_core.data.picture_files import NO_VIDEO, read_pixels, to_pixels
from weakdis_core.errors import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
ARRAYS = (".npz", ".h5", ".hdf5")


class PictureFolder(PictureSource):
    """PNG, JPEG, GIF and WebP files in a folder and the folders below it, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        every = sorted(each for each in folder.rglob("*") if not each.name.startswith("."))
        for each in every:
            _refuse_video(each)
        self.files = [each for each in every if each.suffix.lower() in PICTURES]
        if not self.files:
            known = ", ".join(PICTURES)
            raise UserError(f"images: {folder} is not allowed: it has no pictures ({known})")

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self.files)

    @cached_property
    def names(self) -> list[str]:
        """Paths of the files relative to the folder, with `/`."""
        return [each.relative_to(self.folder).as_posix() for each in self.files]

    def read(
        self, rows: NDArray[np.int64], channels: int, size: int, advance: Advance | None = None
    ) -> NDArray[np.uint8]:
        """Read files and resize them."""
        images = np.empty((len(rows), channels, size, size), np.uint8)
        for place, row in enumerate(rows.tolist()):
            content = self.files[row].read_bytes()
            images[place] = read_pixels(content, channels, str(self.files[row]), size)
            if advance is not None:
                advance(1)
        return images


class PictureArray(PictureSource):
    """An array `(n, height, width)`, `(n, height, width, channels)` or `(n, channels, ...)`."""

    def __init__(self, path: Path, array: str | None) -> None:
        names = arrays.array_names(path)
        if array is None and len(names) > 1:
            raise UserError(
                f"images: {path} holds {', '.join(names)}: name one as {path.name}:{names[0]}"
            )
        self.files = [path]
        self.layout = arrays.layout_of(path, array or "".join(names))
        *_, last = shape = self.layout.picture
        self.channels_first = len(shape) == 3 and last not in (1, 3, 4) and shape[0] in (1, 3)
        if len(shape) not in (2, 3) or not (self.channels_first or len(shape) == 2 or last <= 4):
            raise UserError(
                f"images: {path} is not allowed: {self.layout.array} has shape "
                f"{self.layout.shape}; (n, height, width) or (n, height, width, 3) is needed"
            )
        self.binary = self._is_binary()

    @property
    def count(self) -> int:
        """Length of the array."""
        return math.prod(self.layout.grid)

    def read(
        self, rows: NDArray[np.int64], channels: int, size: int, advance: Advance | None = None
    ) -> NDArray[np.uint8]:
        """Read rows of the array, convert them to uint8, and resize them."""
        images = np.empty((len(rows), channels, size, size), np.uint8)
        for places, found in arrays.rows_of(self.files[0], self.layout, rows):
            pixels = self._eight_bits(found)
            if self.channels_first:
                pixels = pixels.transpose(0, 2, 3, 1)
            for place, each in zip(places.tolist(), pixels, strict=True):
                images[place] = _converted(each, channels, size)
            if advance is not None:
                advance(len(places))
        return images

    def _is_binary(self) -> bool:
        """Return whether pixels are 0 and 1, as in dSprites, judged by the first pictures."""
        rows = np.arange(min(self.count, 100))
        return all(
            block.dtype.kind == "b" or (block.dtype.kind in "iu" and block.max(initial=0) <= 1)
            for _, block in arrays.rows_of(self.files[0], self.layout, rows)
        )

    def _eight_bits(self, pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
        kind, highest = pixels.dtype.kind, 1
        if kind != "f" and not self.binary:
            highest = 65535 if pixels.dtype.itemsize > 1 else 255
        if not (pixels.min() >= 0 and pixels.max() <= highest):
            raise UserError(
                f"images: {self.files[0]} is not allowed: {self.layout.array} holds values from "
                f"{pixels.min()} to {pixels.max()}, expected 0 to {highest}"
            )
        if highest == 255:
            return pixels.astype(np.uint8)
        return np.asarray(np.rint(pixels.astype(np.float32) * (255 / highest)).astype(np.uint8))


def open_pictures(address: str) -> PictureSource:
    """Open the pictures that a description names.

    Raises:
        UserError: There is no such folder, file or array, or it holds no pictures.
    """
    path, array = split_address(address)
    if path.is_dir():
        cars = sorted(path.glob("*.mat"))
        return CarPictures(cars) if cars else PictureFolder(path)
    if not path.exists():
        raise UserError(f"images: {path} is not allowed: there is no such file or folder")
    _refuse_video(path)
    if path.name.endswith(NORB_DATA):
        return NorbPictures(path)
    return PictureArray(path, array)


def split_address(address: str) -> tuple[Path, str | None]:
    """Split `FILE.npz:ARRAY` into the file and the array; other addresses have no array."""
    file, colon, array = address.rpartition(":")
    if colon and Path(file).suffix.lower() in ARRAYS:
        return Path(file), array
    return Path(address), None


def is_grey(source: PictureSource, samples: int = 20) -> bool:
    """Return whether evenly spaced samples of the pictures have no colours."""
    rows = np.linspace(0, source.count - 1, min(samples, source.count)).astype(np.int64)
    images = source.read(rows, 3, 32)
    return bool((images == images[:, :1]).all())


def _refuse_video(path: Path) -> None:
    if path.suffix.lower() in VIDEOS:
        raise UserError(f"images: {path} is not allowed: {NO_VIDEO}")


def _converted(pixels: NDArray[np.uint8], channels: int, size: int) -> NDArray[np.uint8]:
    height, width, *found = pixels.shape
    if (height, width) == (size, size) and (found or [1])[0] == channels:
        return pixels.reshape(size, size, channels).transpose(2, 0, 1)
    image = Image.fromarray(pixels[..., 0] if found == [1] else pixels)
    return to_pixels(image, channels, size)
