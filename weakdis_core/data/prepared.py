"""The cache of prepared variants: images, factors and hashes as memory maps.

Trials open it in milliseconds and share its pages. A process prepares a variant under a lock, in a
separate folder that it renames at the end, so readers never open an incomplete one.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib import format as npy
from numpy.typing import NDArray

from weakdis_core.config.description import Description
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.plan import FORMAT, Plan, PreparedSource
from weakdis_core.data.source import plan
from weakdis_core.data.variant import IndexArray, Variant
from weakdis_core.data.variants import build_variant, get_variant
from weakdis_core.errors import UserError

_CHUNK_BYTES = 64 * 2**20
_ARRAYS = ("images", "factors", "indices", "digests")
_OPTIONAL = ("groups", "given_split")
_PARTIAL = ".partial"
_SCALES = {"dsprites": 1.0}
_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Fetch = Callable[[Path], bool]


@dataclass(frozen=True, eq=False)
class Prepared:
    """The opened images of a prepared variant.

    Attributes:
        variant: The variant.
        source: Source of the images.
        path: The folder in the cache.
        images: `(images, channels, size, size)`, in pages that processes share.
        factors: Factor values, `(images, factors)`; -1 where one is unknown.
        indices: Indices in the variant's grid, with nuisance, `(images, axes)`.
        digests: 64-bit hash of each image, `(images,)`.
        scale: `images / scale` is in [0, 1].
        digest: Hash of everything that the content depends on, and the end of the folder's name.
        groups: Group of each image, `(images,)`; groups never straddle splits.
        given_split: 0, 1 or 2 for images that the labels put into train, validation or test, else
            -1, `(images,)`.
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
    groups: IndexArray | None = None
    given_split: IndexArray | None = None


def prepare(
    settings: DataSettings,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    fetch: Fetch | None = None,
) -> Prepared:
    """Open a prepared variant, and prepare it first if necessary.

    It is safe to call from several processes, and to kill.

    Args:
        settings: Variant, source, number of images and data seed.
        data_dir: Folder of the official files, searched first.
        progress: Function that receives the number of finished images and of all images.
        fetch: Function that fills the new folder with files prepared elsewhere, if there are any.

    Raises:
        UserError: The official file is missing or damaged, or the cache cannot be written.
    """
    wanted = plan(settings, data_dir)
    if (prepared := _open_if_complete(wanted.path)) is not None:
        return prepared
    root = wanted.path.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _lock(wanted.path):
            # Another process may have prepared it meanwhile.
            if (prepared := _open_if_complete(wanted.path)) is not None:
                return prepared
            _remove_leftovers(wanted.path)
            _write_folder(wanted, settings.description, progress, fetch)
    except OSError as error:
        raise UserError(
            f"{root}: prepared data of {wanted.variant.name} cannot be written "
            f"({error.strerror or error}); it needs {wanted.n_bytes / 2**20:.0f} MiB. "
            "WEAKDIS_CACHE names another folder"
        ) from None
    return open_prepared(wanted.path)


def open_prepared(path: Path) -> Prepared:
    """Open a prepared variant as memory maps, without reading the images.

    Raises:
        UserError: The folder is missing or its files are damaged.
    """
    try:
        meta = json.loads((path / "meta.json").read_text())
        name = path.name.removesuffix(_PARTIAL)
        if meta["format"] != FORMAT or not name.endswith(meta["digest"]):
            raise ValueError("meta.json belongs to other data")
        names = (*_ARRAYS, *(name for name in _OPTIONAL if name in meta["sizes"]))
        arrays = {name: _open_array(path, name, meta["sizes"][name]) for name in names}
        variant = _variant(meta)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a complete prepared variant ({error})") from None
    scale = _SCALES.get(variant.family, 255.0)
    return Prepared(variant, meta["source"], path, **arrays, scale=scale, digest=meta["digest"])


def _variant(meta: dict[str, Any]) -> Variant:
    # Folders of earlier versions have no description.
    if meta.get("description") is None:
        return get_variant(meta["variant"])
    return build_variant(Description.model_validate(meta["description"]))


def _lock(path: Path, timeout: float = -1) -> FileLock:
    return FileLock(path.with_name(f"{path.name}.lock"), timeout=timeout)


def _remove_leftovers(path: Path) -> None:
    # The caller holds the lock of `path`; running processes hold those of other variants.
    for partial in path.parent.glob(f"*{_PARTIAL}"):
        if partial.stem == path.name:
            shutil.rmtree(partial)
            continue
        with suppress(Timeout), _lock(partial.with_suffix(""), timeout=0):
            shutil.rmtree(partial, ignore_errors=True)


def _open_if_complete(path: Path) -> Prepared | None:
    try:
        return open_prepared(path) if path.exists() else None
    except UserError as error:
        _log.warning("%s; it is made again", error)
        return None


def _open_array(path: Path, name: str, size: int) -> NDArray[Any]:
    file = path / f"{name}.npy"
    if (found := file.stat().st_size) != size:
        raise ValueError(f"{file.name} has {found} bytes, expected {size}")
    # Mode c (copy on write) avoids torch's warning about read-only arrays.
    return np.asarray(np.load(file, mmap_mode="c"))


def _write_folder(
    wanted: Plan, description: Description | None, progress: Progress | None, fetch: Fetch | None
) -> None:
    partial = wanted.path.with_name(f"{wanted.path.name}{_PARTIAL}")
    try:
        partial.mkdir()
        if fetch is None or not fetch(partial):
            wanted.check()
            _write_files(wanted, description, partial, progress)
        # Remove a damaged folder; processes that have it open keep their pages.
        shutil.rmtree(wanted.path, ignore_errors=True)
        partial.rename(wanted.path)
    finally:
        # After an error, for example a full disk, free the space.
        shutil.rmtree(partial, ignore_errors=True)


def _write_files(
    wanted: Plan, description: Description | None, folder: Path, progress: Progress | None
) -> None:
    indices = wanted.indices()
    digests = _write_images(wanted, indices, folder / "images.npy", progress)
    tables = {"factors": wanted.variant.values(indices), "indices": indices, "digests": digests}
    tables |= wanted.tables(indices)
    for name, table in tables.items():
        with _open_synced(folder / f"{name}.npy") as file:
            np.save(file, table)
    meta = {
        "format": FORMAT,
        "variant": wanted.variant.name,
        "source": wanted.source,
        "digest": wanted.digest,
        "sizes": {name: (folder / f"{name}.npy").stat().st_size for name in ("images", *tables)},
    }
    if description is not None:
        meta["description"] = description.model_dump(mode="json")
    with _open_synced(folder / "meta.json") as file:
        file.write(json.dumps(meta, indent=1).encode())


def _write_images(
    wanted: Plan, indices: IndexArray, path: Path, progress: Progress | None
) -> NDArray[np.uint64]:
    """Render or read images in chunks into a .npy file; return their digests."""
    # Not into a memory map: on a full disk that would kill the process (SIGBUS).
    size = wanted.variant.size
    shape = (len(indices), wanted.variant.channels, size, size)
    rows = max(1, _CHUNK_BYTES // int(np.prod(shape[1:])))
    digests = np.empty(len(indices), dtype=np.uint64)
    done = 0

    def advance(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, len(indices))

    with _open_synced(path) as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(indices), rows):
            images = wanted.images_at(indices[start : start + rows], advance)
            file.write(np.ascontiguousarray(images).data)
            digests[start : start + rows] = _digests(images)
    return digests


def _digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    hashes = (hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


@contextmanager
def _open_synced(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing, and flush it to disk at the end, before the folder is renamed."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
