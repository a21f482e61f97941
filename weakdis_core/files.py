"""Writing small files so that a reader sees the old content or the new, never half of it."""

import os
import tempfile
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


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
