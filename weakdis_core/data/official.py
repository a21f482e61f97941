"""Official dSprites and Shapes3D files: finding, downloading and verifying them."""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pooch

from weakdis_core.errors import UserError

Family = Literal["dsprites", "shapes3d"]


@dataclass(frozen=True)
class OfficialFile:
    """A published file.

    Attributes:
        name: File name, by which the file is found.
        family: Which data set it holds.
        url: Where it is published.
        algorithm: `sha256` of the bytes, or `git`: the id git gives them as a blob (the SHA-1 of a
            short header with the length and of the bytes).
        digest: The hash, hexadecimal.
        size: Length in bytes, where it is published.
    """

    name: str
    family: Family
    url: str
    algorithm: Literal["sha256", "git"]
    digest: str
    size: int | None = None


_DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64"
_DSPRITES_URL = "https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/"

FILES: tuple[OfficialFile, ...] = (
    OfficialFile(
        f"{_DSPRITES}.hdf5",
        "dsprites",
        f"{_DSPRITES_URL}{_DSPRITES}.hdf5",
        "sha256",
        "729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
        28_024_106,
    ),
    OfficialFile(
        f"{_DSPRITES}.npz",
        "dsprites",
        f"{_DSPRITES_URL}{_DSPRITES}.npz",
        "git",
        "d98996d3f8ee1550e06b9d4ed78d0beb478910d5",
    ),
    OfficialFile(
        "3dshapes.h5",
        "shapes3d",
        "https://storage.googleapis.com/3d-shapes/3dshapes.h5",
        "sha256",
        "0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
        267_573_662,
    ),
)


def cache_root() -> Path:
    """Folder for downloads and prepared data: `WEAKDIS_CACHE`, else `~/.cache/weakdis`."""
    chosen = os.environ.get("WEAKDIS_CACHE")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("weakdis"))


def find(family: Family, data_dir: Path | None = None) -> Path | None:
    """Look for an official file in `data_dir`, then in `WEAKDIS_DATA`, then among the downloads.

    Returns:
        The first file with an official name, not yet verified; None where there is none.

    Raises:
        UserError: A folder that was named is none, or cannot be searched.
    """
    folders: list[tuple[str, Path]] = [("cache", cache_root() / "official")]
    if named := os.environ.get("WEAKDIS_DATA"):
        folders.insert(0, ("WEAKDIS_DATA", Path(named).expanduser()))
    if data_dir is not None:
        folders.insert(0, ("data_dir", data_dir.expanduser()))
    for origin, folder in folders:
        try:
            if origin != "cache" and not folder.is_dir():
                raise UserError(f"{origin}: {folder} is not a folder; expected one with {family}")
            for file in declared(family):
                if (folder / file.name).is_file():
                    return folder / file.name
        except PermissionError as error:
            raise UserError(f"{origin}: {folder} cannot be searched ({error.strerror})") from error
    return None


def verify(path: Path) -> None:
    """Check that a file is, byte for byte, the official file of its name.

    A success is remembered in the cache for the file's path, size and modification time, so that
    the file is hashed once rather than at every run.

    Raises:
        UserError: The file is missing, unreadable, of another name, length or content.
    """
    file = next((file for file in FILES if file.name == path.name), None)
    if file is None:
        names = ", ".join(file.name for file in FILES)
        raise UserError(f"{path}: not the name of an official file; expected one of {names}")
    try:
        status = path.stat()
        if file.size is not None and status.st_size != file.size:
            raise UserError(
                f"{path}: {status.st_size:,} bytes, expected {file.size:,}; "
                "the file is truncated or another one, download it again"
            )
        seen = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {file.digest}"
        note = cache_root() / "verified" / f"{hashlib.sha256(seen.encode()).hexdigest()[:16]}.json"
        with suppress(OSError):  # A cache that cannot be read only costs hashing the file again.
            if note.exists():
                return
        found = _digest(path, file.algorithm, status.st_size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if found != file.digest:
        raise UserError(
            f"{path}: {file.algorithm} hash {found}, expected {file.digest}; "
            "the file is damaged or another one, download it again"
        )
    with suppress(OSError):  # The same holds for one that cannot be written.
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def download(family: Family, target: Path) -> Path:
    """Fetch the official file of a family into the folder `target`, with a progress bar.

    A file that is already there and right is kept; a wrong one is replaced.

    Returns:
        Path of the file, its hash verified.

    Raises:
        UserError: No connection, no room, no permission, or other content than published.
    """
    file = declared(family)[0]
    fetcher = pooch.create(
        path=target,
        base_url="",
        registry={file.name: f"{file.algorithm}:{file.digest}"},
        urls={file.name: file.url},
        retry_if_failed=2,
    )
    connection = pooch.HTTPDownloader(progressbar=True, timeout=30)
    try:
        fetched = fetcher.fetch(file.name, downloader=connection)
    # requests' errors are OSErrors; a wrong hash is pooch's ValueError.
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{target / file.name}: download of {file.url} failed: {reason}") from error
    verify(Path(fetched))
    return Path(fetched)


def declared(family: Family) -> list[OfficialFile]:
    """The official files of a family. The first is the one to download."""
    return [file for file in FILES if file.family == family]


def _digest(path: Path, algorithm: Literal["sha256", "git"], size: int) -> str:
    with path.open("rb") as file:
        if algorithm == "sha256":
            return hashlib.file_digest(file, "sha256").hexdigest()
        blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: blob).hexdigest()
