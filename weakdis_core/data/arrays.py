"""Reading images from arrays of HDF5 and NPZ files, in bounded memory and without unpickling."""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from weakdis_core.errors import UserError


@dataclass(frozen=True)
class Layout:
    """The expected array of pictures in a file.

    Attributes:
        array: Name of the array.
        grid: Sizes of the axes of the grid. Pictures are in grid order, the last axis fastest.
        picture: Shape of a picture: height, width and, if it has several, channels.
        highest: Largest allowed value of a pixel.
        dtype: Type of the pixels.
    """

    array: str
    grid: tuple[int, ...]
    picture: tuple[int, ...]
    highest: int = 255
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return (math.prod(self.grid), *self.picture)

    @property
    def row_bytes(self) -> int:
        """Size of a picture in bytes."""
        return math.prod(self.picture) * self.dtype.itemsize


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
    for places, found in rows_of(path, layout, rows):
        if found.max() > layout.highest:
            raise UserError(
                f"{path}: {layout.array} holds the value {found.max()}, "
                f"expected at most {layout.highest}"
            )
        found = found.reshape(-1, height, width, channels)
        images[places] = found.transpose(0, 3, 1, 2)
        if progress is not None:
            progress(len(found))
    return images


def rows_of(
    path: Path, layout: Layout, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Read rows of an array in any order, one block of the file at a time.

    Yields:
        Places in `rows` and the pictures of these, `(n, *picture)` as the file has them.

    Raises:
        UserError: The file cannot be read, or does not have this layout.
    """
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    for first, block in _blocks(path, layout, rows):
        low, high = np.searchsorted(ordered, (first, first + len(block)))
        if low < high:
            yield order[low:high], block[ordered[low:high] - first]


def layout_of(path: Path, array: str) -> Layout:
    """Return the layout of an array in an HDF5 or NPZ file; its rows are the only axis of the grid.

    Raises:
        UserError: The file cannot be read, or has no such array of numbers.
    """
    with _explain_damage(path):
        if _is_hdf5(path):
            with h5py.File(path, "r") as file:
                found = _dataset(path, file, array)
                shape, dtype = found.shape, found.dtype
        else:
            with zipfile.ZipFile(path) as archive, _member(path, archive, array) as stream:
                shape, _, dtype = _npy_header(path, array, stream)
    if not shape or dtype.kind not in "biuf":
        raise UserError(
            f"{path}: {array} holds {dtype} of shape {shape}, expected numbers, as many for each "
            "picture"
        )
    return Layout(array, shape[:1], shape[1:], dtype=dtype)


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in an HDF5 or NPZ file.

    Raises:
        UserError: The file cannot be read.
    """
    with _explain_damage(path):
        if _is_hdf5(path):
            with h5py.File(path, "r") as file:
                return [name for name, each in file.items() if isinstance(each, h5py.Dataset)]
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]


def load_array(path: Path, array: str) -> NDArray[Any]:
    """Return a whole array of an HDF5 or NPZ file.

    Raises:
        UserError: The file cannot be read, or has no such array.
    """
    with _explain_damage(path):
        if _is_hdf5(path):
            with h5py.File(path, "r") as file:
                return np.asarray(_dataset(path, file, array)[()])
        try:
            with zipfile.ZipFile(path) as archive, _member(path, archive, array) as stream:
                return np.asarray(npy.read_array(stream, allow_pickle=False))
        except ValueError as error:
            raise UserError(f"{path}: {array} cannot be read ({error})") from error


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    # h5py and zipfile report damage by these errors; OSError also covers a missing file.
    try:
        yield
    except (OSError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({reason}); expected a data file") from error


def _is_hdf5(path: Path) -> bool:
    """Return whether a file is HDF5, and not NPZ.

    Raises:
        UserError: It is neither.
    """
    if h5py.is_hdf5(path):
        return True
    if zipfile.is_zipfile(path):
        return False
    with path.open("rb") as file:
        raise UserError(f"{path}: begins with {file.read(8)!r}, expected an HDF5 or NPZ file")


def _dataset(path: Path, file: h5py.File, array: str) -> h5py.Dataset:
    found = file.get(array)
    if not isinstance(found, h5py.Dataset):
        raise UserError(f"{path}: holds {sorted(file)}, expected an array {array}")
    return found


def _member(path: Path, archive: zipfile.ZipFile, array: str) -> IO[bytes]:
    if f"{array}.npy" not in archive.namelist():
        raise UserError(f"{path}: holds {archive.namelist()}, expected {array}.npy")
    return archive.open(f"{array}.npy")


def _blocks(
    path: Path, layout: Layout, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read blocks of pictures that contain `rows`, as pairs of first row and pictures."""
    with _explain_damage(path):
        yield from (_hdf5_blocks if _is_hdf5(path) else _npz_blocks)(path, layout, rows)


def _hdf5_blocks(
    path: Path, layout: Layout, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[Any]]]:
    # Blocks are whole chunks, because HDF5 decompresses a chunk as a whole.
    with h5py.File(path, "r") as file:
        array = _dataset(path, file, layout.array)
        _check_layout(path, layout, array.shape, array.dtype)
        chunk = array.chunks[0] if array.chunks else 1
        fitting = _BLOCK_BYTES // layout.row_bytes
        length = max(1, fitting // chunk) * chunk
        for block in np.unique(rows // length):
            start, end = int(block) * length, (int(block) + 1) * length
            wanted = rows[(rows >= start) & (rows < end)]
            first, last = int(wanted.min()), int(wanted.max())
            yield first, array[first : last + 1]


def _npz_blocks(
    path: Path, layout: Layout, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[Any]]]:
    # A zip member is a stream, so blocks start at row 0.
    with zipfile.ZipFile(path) as archive, _member(path, archive, layout.array) as stream:
        shape, in_columns, dtype = _npy_header(path, f"{layout.array}.npy", stream)
        if in_columns:
            raise UserError(f"{path}: {layout.array} is stored by columns, expected by rows")
        _check_layout(path, layout, shape, dtype)
        length = max(1, _BLOCK_BYTES // 8 // layout.row_bytes)
        for start in range(0, int(rows.max(initial=-1)) + 1, length):
            n_bytes = min(length, shape[0] - start) * layout.row_bytes
            data = stream.read(n_bytes)
            if len(data) < n_bytes:
                raise UserError(
                    f"{path}: {layout.array} ends after {start + len(data) // layout.row_bytes:,} "
                    f"pictures, expected {shape[0]:,}; the file is truncated"
                )
            yield start, np.frombuffer(data, dtype).reshape(-1, *layout.picture)


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
    if tuple(shape) != layout.shape or dtype != layout.dtype:
        raise UserError(
            f"{path}: {layout.array} has shape {tuple(shape)} of {dtype}, "
            f"expected {layout.shape} of {layout.dtype}"
        )
