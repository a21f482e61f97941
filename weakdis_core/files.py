"""Atomic writes, and temporary folders that are removed even after their process was killed."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weakdis_core.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, and create its folder.

    Raises:
        UserError: The folder cannot be written or is full.
    """
    write_bytes(path, text.encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears under its name once it is complete; the caller fills it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as temporary:
        unfinished = Path(temporary) / path.name
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, and create its folder.

    Raises:
        UserError: The folder cannot be written or is full.
    """
    # `with_name` refuses a path without a name, such as `.`.
    temporary = path.parent / f"{path.name}{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Create a temporary folder, and remove the folders of killed processes with this prefix.

    Each process locks its folder, and the system releases the lock when the process ends. Process
    ids would not work: containers may share the folder of temporary files but not the ids.

    Yields:
        The folder, which is removed at the end.
    """
    # Windows lacks it, and only sweeps need it.
    import fcntl

    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        # Skip folders of other users, folders in use, and folders that have just been removed.
        with suppress(OSError), _opened(left) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    unlocked = Path(tempfile.mkdtemp())
    with _opened(unlocked) as lock:
        # On a file system without locks, no other process can lock it and remove it either.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        folder = unlocked.rename(unlocked.with_name(f"{prefix}{unlocked.name}"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
