"""Files that are written whole or not at all, and temporary folders that outlive no process."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weakdis_core.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, making its folder.

    Raises:
        UserError: The folder cannot be written or is full.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, making its folder.

    Raises:
        UserError: The folder cannot be written or is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=path.name, suffix=".tmp", delete=False
        ) as file:
            temporary = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                # A temporary file is its owner's alone; a cache may be shared.
                temporary.chmod(0o666 & ~_umask())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder, and remove those of this prefix whose process was killed.

    The process holds a lock on its folder, which goes with it. Process ids would not do: containers
    that share the place of temporary files do not share them.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        # Another user's, one in use, or gone meanwhile.
        with suppress(OSError), _opened(left) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    unlocked = Path(tempfile.mkdtemp())
    with _opened(unlocked) as lock:
        # Where the file system has no locks, nobody can lock it to remove it either.
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


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
