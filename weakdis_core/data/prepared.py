"""The prepared cache: a variant's images, factors and hashes as memory maps, made once.

Trials open it in milliseconds and share its pages. A preparation is written to a folder beside
its final place and renamed when complete, under a lock: readers never see half of one.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib import format as npy
from numpy.typing import NDArray

from weakdis_core.config.settings import DataSettings
from weakdis_core.data import official
from weakdis_core.data.factors import IndexArray
from weakdis_core.data.source import FORMAT, IMAGE_SIZE, Plan, PreparedSource, plan
from weakdis_core.data.variants import Variant, get_variant
from weakdis_core.errors import UserError

_CHUNK_BYTES = 64 * 2**20
_ARRAYS = ("images", "factors", "indices", "digests")
_SCALES = {"dsprites": 1.0, "shapes3d": 255.0}
_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A variant's images, opened.

    Attributes:
        variant: Its declaration.
        source: Where the images came from.
        path: Its folder in the cache.
        images: `(images, channels, 64, 64)`, pages shared with every process that opens it.
        factors: Factor values, `(images, factors)`.
        indices: Grid indices, nuisance included, `(images, axes)`.
        digests: 64-bit hash of each image's bytes, `(images,)`.
        scale: `images / scale` lies in [0, 1].
        digest: Hash of everything that shaped it; the folder's name ends with it.
    """

    variant: Variant
    source: PreparedSource
    path: Path
    images: NDArray[np.uint8]
    factors: IndexArray
    indices: IndexArray
    digests: NDArray[np.uint64]
    scale: float
    digest: str


def prepare(
    settings: DataSettings, data_dir: Path | None = None, progress: Progress | None = None
) -> Prepared:
    """Open the prepared variant, making it first if it is missing.

    Safe when several processes prepare the same images at once (one makes them, the others wait)
    and when one is killed halfway (the next cleans up after it).

    Args:
        settings: Variant, source, number of images and data seed.
        data_dir: Folder of the official files, before the usual places.
        progress: Called with the images done and the images to do.

    Raises:
        UserError: The official file is missing or damaged, or the cache cannot be written.
    """
    wanted = plan(settings, data_dir)
    if (prepared := _open_if_sound(wanted.path)) is not None:
        return prepared
    root = wanted.path.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _lock(wanted.path):
            # Another process may have made it while this one waited.
            if (prepared := _open_if_sound(wanted.path)) is not None:
                return prepared
            _remove_leftovers(wanted.path)
            _make(wanted, progress)
    except OSError as error:
        raise UserError(
            f"{root}: prepared data of {wanted.variant.name} cannot be written "
            f"({error.strerror or error}); it needs {wanted.n_bytes / 2**20:.0f} MiB. "
            "WEAKDIS_CACHE names another folder"
        ) from None
    return open_prepared(wanted.path)


def open_prepared(path: Path) -> Prepared:
    """Open a prepared variant: memory maps only, nothing is read or copied.

    Raises:
        UserError: There is none, or its files are damaged.
    """
    try:
        meta = json.loads((path / "meta.json").read_text())
        if meta["format"] != FORMAT or not path.name.endswith(meta["digest"]):
            raise ValueError("meta.json belongs to other data")
        arrays = {name: _open_array(path, name, meta["sizes"][name]) for name in _ARRAYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a complete prepared variant ({error})") from None
    variant = get_variant(meta["variant"])
    return Prepared(
        variant, meta["source"], path, **arrays, scale=_SCALES[variant.family],
        digest=meta["digest"],
    )  # fmt: skip


def _lock(path: Path, timeout: float = -1) -> FileLock:
    return FileLock(path.with_name(f"{path.name}.lock"), timeout=timeout)


def _remove_leftovers(path: Path) -> None:
    """Delete what killed preparations left behind, of this variant (lock held) and of others.

    A living preparation of another variant holds its lock and is passed over.
    """
    for partial in path.parent.glob("*.partial"):
        if partial.stem == path.name:
            shutil.rmtree(partial)
            continue
        try:
            with _lock(partial.with_suffix(""), timeout=0):
                shutil.rmtree(partial, ignore_errors=True)
        except Timeout:
            continue


def _open_if_sound(path: Path) -> Prepared | None:
    """The prepared variant, or None where it must be made (again)."""
    if not path.exists():
        return None
    try:
        return open_prepared(path)
    except UserError as error:
        _log.warning("%s; it is made again", error)
        return None


def _open_array(path: Path, name: str, size: int) -> NDArray[Any]:
    file = path / f"{name}.npy"
    if (found := file.stat().st_size) != size:
        raise ValueError(f"{file.name} has {found} bytes, expected {size}")
    # Mode c: pages are shared until written, and torch does not warn that they are read-only.
    array: NDArray[Any] = np.load(file, mmap_mode="c").view(np.ndarray)
    return array


def _make(wanted: Plan, progress: Progress | None) -> None:
    """Write a prepared variant beside its place, then move it there in one step."""
    if wanted.official_file is not None:
        official.verify(wanted.official_file)
    partial = wanted.path.with_name(f"{wanted.path.name}.partial")
    try:
        partial.mkdir()
        _write(wanted, partial, progress)
        # A damaged one may be in the way; whoever has it open keeps its pages.
        shutil.rmtree(wanted.path, ignore_errors=True)
        partial.rename(wanted.path)
    finally:
        # Full disks are freed again; after the rename there is nothing to remove.
        shutil.rmtree(partial, ignore_errors=True)


def _write(wanted: Plan, folder: Path, progress: Progress | None) -> None:
    indices = wanted.indices()
    digests = _write_images(wanted, indices, folder / "images.npy", progress)
    tables = {"factors": wanted.variant.values(indices), "indices": indices, "digests": digests}
    for name, table in tables.items():
        with (folder / f"{name}.npy").open("wb") as file:
            np.save(file, table)
            _settle(file)
    meta = {
        "format": FORMAT,
        "variant": wanted.variant.name,
        "source": wanted.source,
        "digest": wanted.digest,
        "sizes": {name: (folder / f"{name}.npy").stat().st_size for name in _ARRAYS},
    }
    with (folder / "meta.json").open("wb") as file:
        file.write(json.dumps(meta, indent=1).encode())
        _settle(file)


def _write_images(
    wanted: Plan, indices: IndexArray, path: Path, progress: Progress | None
) -> NDArray[np.uint64]:
    """Draw or read the images a chunk at a time into a .npy file; returns their digests.

    Plain writes: a store into a memory map on a full disk would kill the process (SIGBUS) where
    a write raises an error that can be explained.
    """
    shape = (len(indices), wanted.variant.channels, IMAGE_SIZE, IMAGE_SIZE)
    rows = max(1, _CHUNK_BYTES // int(np.prod(shape[1:])))
    digests = np.empty(len(indices), dtype=np.uint64)
    done = 0

    def advance(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, len(indices))

    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(indices), rows):
            images = wanted.images_at(indices[start : start + rows], advance)
            file.write(np.ascontiguousarray(images).data)
            digests[start : start + rows] = _digests(images)
        _settle(file)
    return digests


def _digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """64-bit hash of each image's bytes."""
    hashes = (hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def _settle(file: BinaryIO) -> None:
    """Force a file to disk, so that the rename cannot overtake its contents."""
    file.flush()
    os.fsync(file.fileno())
