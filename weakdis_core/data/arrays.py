"""Reading images from official files, in bounded memory and without unpickling."""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from weakdis_core.errors import UserError


@dataclass(frozen=True)
class Layout:
    """The expected array of pictures in an official file, of type uint8.

    Attributes:
        array: Name of the array.
        grid: Sizes of the axes of the grid. Pictures are in grid order, the last axis fastest.
        picture: Shape of a picture: height, width and, if it has several, channels.
        highest: Largest allowed value of a pixel.
    """

    array: str
    grid: tuple[int, ...]
    picture: tuple[int, ...]
    highest: int = 255

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return (math.prod(self.grid), *self.picture)


# Bytes of pictures to decompress at a time: all of dSprites would take 3 GB of memory.
_BLOCK_BYTES = 64 * 2**20


def checked_indices(indices: ArrayLike, grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Return grid indices `(n, len(grid))`, or raise ValueError if one is invalid."""
    indices = np.asarray(indices)
    if indices.ndim != 2 or indices.shape[1] != len(grid) or indices.dtype.kind not in "iu":
        raise ValueError(
            f"indices: shape {indices.shape} of {indices.dtype}, "
            f"expected (n, {len(grid)}) of an integer type"
        )
    if (wrong := ((indices < 0) | (indices >= np.array(grid))).any(axis=1)).any():
        raise ValueError(f"indices: {indices[wrong.argmax()].tolist()} is outside the grid {grid}")
    return indices


def read(
    path: Path,
    layout: Layout,
    indices: NDArray[np.int64],
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """Read pictures from an official HDF5 or NPZ file, one block of the file at a time.

    Args:
        path: The official file. `official.verify` checks its hash.
        layout: Expected layout.
        indices: Grid indices `(n, axes)` in any order, with repetitions allowed.
        progress: Function that receives the number of newly finished images.

    Returns:
        Images `(n, channels, height, width)`, in the format of the family's renderer.

    Raises:
        UserError: The file cannot be read, or does not have this layout.
        ValueError: An index is outside the grid.
    """
    indices = checked_indices(indices, layout.grid)
    rows = np.ravel_multi_index(tuple(indices.T), layout.grid)
    height, width, channels = (*layout.picture, 1)[:3]
    images = np.empty((len(rows), channels, height, width), np.uint8)
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    for first, block in _blocks(path, layout, rows):
        low, high = np.searchsorted(ordered, (first, first + len(block)))
        if low == high:
            continue
        found = block[ordered[low:high] - first]
        if found.max() > layout.highest:
            raise UserError(
                f"{path}: {layout.array} holds the value {found.max()}, "
                f"expected at most {layout.highest}"
            )
        found = found.reshape(-1, height, width, channels)
        images[order[low:high]] = found.transpose(0, 3, 1, 2)
        if progress is not None:
            progress(len(found))
    return images


def _blocks(
    path: Path, layout: Layout, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Read blocks of pictures that contain `rows`, as pairs of first row and pictures."""
    try:
        if h5py.is_hdf5(path):
            yield from _hdf5_blocks(path, layout, rows)
        elif zipfile.is_zipfile(path):
            yield from _npz_blocks(path, layout, rows)
        else:
            with path.open("rb") as file:
                start = file.read(8)
            raise UserError(f"{path}: begins with {start!r}, expected an HDF5 or NPZ file")
    # h5py and zipfile report damage by these errors; OSError also covers a missing file.
    except (OSError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        message = f"{path}: cannot be read ({reason}); expected an official data file"
        raise UserError(message) from error


def _hdf5_blocks(
    path: Path, layout: Layout, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    # Blocks are whole chunks, because HDF5 decompresses a chunk as a whole.
    with h5py.File(path, "r") as file:
        array = file.get(layout.array)
        if not isinstance(array, h5py.Dataset):
            raise UserError(f"{path}: holds {sorted(file)}, expected an array {layout.array}")
        _check_layout(path, layout, array.shape, array.dtype)
        chunk = array.chunks[0] if array.chunks else 1
        fitting = _BLOCK_BYTES // math.prod(layout.picture)
        length = max(1, fitting // chunk) * chunk
        for block in np.unique(rows // length):
            start, end = int(block) * length, (int(block) + 1) * length
            wanted = rows[(rows >= start) & (rows < end)]
            first, last = int(wanted.min()), int(wanted.max())
            yield first, array[first : last + 1]


def _npz_blocks(
    path: Path, layout: Layout, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    # A zip member is a stream, so blocks start at row 0.
    with zipfile.ZipFile(path) as archive:
        member = f"{layout.array}.npy"
        if member not in archive.namelist():
            raise UserError(f"{path}: holds {archive.namelist()}, expected {member}")
        with archive.open(member) as stream:
            shape, in_columns, dtype = _npy_header(path, member, stream)
            if in_columns:
                raise UserError(f"{path}: {layout.array} is stored by columns, expected by rows")
            _check_layout(path, layout, shape, dtype)
            row_bytes = math.prod(layout.picture)
            length = max(1, _BLOCK_BYTES // 8 // row_bytes)
            for start in range(0, int(rows.max(initial=-1)) + 1, length):
                n_bytes = min(length, shape[0] - start) * row_bytes
                data = stream.read(n_bytes)
                if len(data) < n_bytes:
                    raise UserError(
                        f"{path}: {layout.array} ends after {start + len(data) // row_bytes:,} "
                        f"pictures, expected {shape[0]:,}; the file is truncated"
                    )
                yield start, np.frombuffer(data, np.uint8).reshape(-1, *layout.picture)


def _npy_header(
    path: Path, member: str, stream: IO[bytes]
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read shape, column order and type from the header of a `.npy` member."""
    try:
        version = npy.read_magic(stream)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        return reader(stream)
    except ValueError as error:
        raise UserError(f"{path}: {member} has no NumPy header ({error})") from error


def _check_layout(path: Path, layout: Layout, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if tuple(shape) != layout.shape or dtype != np.uint8:
        raise UserError(
            f"{path}: {layout.array} has shape {tuple(shape)} of {dtype}, "
            f"expected {layout.shape} of uint8"
        )
