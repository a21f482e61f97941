"""The official dSprites and Shapes3D files: find, download and verify them."""

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
        name: File name.
        family: The data set.
        url: Address of the file.
        algorithm: `sha256`, or `git`: the id of the file as a git blob, which is the SHA-1 of a
            header with the size and of the bytes.
        digest: The hash, hexadecimal.
        size: Size in bytes, if published.
    """

    name: str
    family: str
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
    """Return the folder of downloads and prepared data: `WEAKDIS_CACHE` or `~/.cache/weakdis`."""
    chosen = os.environ.get("WEAKDIS_CACHE")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("weakdis"))


def search_folders(data_dir: Path | None = None) -> dict[str, Path]:
    """Return the folders to search for official files, by the name of their setting."""
    folders = {
        "data_dir": data_dir,
        "WEAKDIS_DATA": os.environ.get("WEAKDIS_DATA"),
        "cache": cache_root() / "official",
    }
    return {name: Path(folder).expanduser() for name, folder in folders.items() if folder}


def find(family: str, data_dir: Path | None = None) -> Path | None:
    """Return the first file in `search_folders` with an official name, not verified, or None.

    Raises:
        UserError: `data_dir` or `WEAKDIS_DATA` is not a folder, or a folder cannot be searched.
    """
    for origin, folder in search_folders(data_dir).items():
        try:
            if origin != "cache" and not folder.is_dir():
                raise UserError(f"{origin}: {folder} is not a folder; expected one with {family}")
            for file in files_of(family):
                if (folder / file.name).is_file():
                    return folder / file.name
        except PermissionError as error:
            raise UserError(f"{origin}: {folder} cannot be searched ({error.strerror})") from error
    return None


def verify(path: Path) -> None:
    """Check that the content of a file is that of the official file of this name.

    A note in the cache with the file's path, size and modification time saves hashing it again.

    Raises:
        UserError: The file is missing or unreadable, or has another name, size or content.
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
        with suppress(OSError):  # Without a readable cache, hash the file again.
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
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def download(family: str, target: Path) -> Path:
    """Download and verify the official file of a family, unless `target` has it already.

    Returns:
        Path of the file in the folder `target`.

    Raises:
        UserError: There is no connection, disk space or permission, or the content is wrong.
    """
    file = files_of(family)[0]
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
    # The errors of requests are OSErrors; pooch raises ValueError for a wrong hash.
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{target / file.name}: download of {file.url} failed: {reason}") from error
    verify(Path(fetched))
    return Path(fetched)


def files_of(family: str) -> list[OfficialFile]:
    """Return the official files of a family; the first is the one to download."""
    return [file for file in FILES if file.family == family]


def _digest(path: Path, algorithm: Literal["sha256", "git"], size: int) -> str:
    with path.open("rb") as file:
        if algorithm == "sha256":
            return hashlib.file_digest(file, "sha256").hexdigest()
        blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: blob).hexdigest()
