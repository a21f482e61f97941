"""Errors of disks and databases, turned into messages that a user can act on."""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps.cluster.addresses import without_password
from weakdis_core.errors import UserError

_KEPT = "what has ended is kept; go on with --resume"
_FORBIDDEN = (errno.EACCES, errno.EPERM)
# Messages of the system and of SQLite, and what a user does about them.
_CURES = {
    os.strerror(errno.ENOSPC): "make room",
    os.strerror(errno.EDQUOT): "make room",
    "disk is full": "make room",
    os.strerror(errno.EIO): "check the disk",
    "disk I/O error": "check the disk",
    **{os.strerror(number): "make it writable" for number in (errno.EROFS, *_FORBIDDEN)},
    "readonly database": "make it writable",
    "unable to open database": "make it writable",
}


@contextmanager
def explain_storage_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the disk that holds `folder`, or of the study's database, into UserErrors.

    Raises:
        UserError: The disk is full or cannot be written, or the database does not answer.
    """
    try:
        yield
    except Exception as error:
        reason = disk_error(error, folder)
        if reason is not None:
            raise UserError(cannot_be_written(str(folder), reason)) from None
        reason = database_error(error)
        if reason is not None:
            message = f"optuna_storage: the database does not answer any more ({reason}); {_KEPT}"
            raise UserError(without_password(message)) from None
        raise


def cannot_be_written(place: str, reason: str) -> str:
    """Return the message about a disk that failed, or filled up, while a sweep ran."""
    cure = next((_CURES[fault] for fault in _CURES if fault in reason), "make room")
    return f"storage: {place} cannot be written any more ({reason}); {cure}: {_KEPT}"


def disk_error(error: BaseException | None, folder: Path | None = None) -> str | None:
    """Return the fault of a sweep's disk that an error, or one of its causes, is about.

    Args:
        error: The error.
        folder: The sweep's folder, if this process writes to it.
    """
    for each in causes(error):
        if isinstance(each, OSError) and each.errno and _is_of_disk(each, folder):
            where = f": {each.filename}" if each.filename else ""
            return os.strerror(each.errno) + where
        if isinstance(each, sqlite3.OperationalError) and any(s in str(each) for s in _CURES):
            return str(each)
    return None


def _is_of_disk(error: OSError, folder: Path | None) -> bool:
    """Check that an error is about files of a sweep, not about a device or files of the user."""
    if os.strerror(error.errno or 0) not in _CURES:
        return False
    forbidden = error.errno in _FORBIDDEN
    if isinstance(error.filename, str):
        file = Path(error.filename).absolute()
        # Checkpoints are written to a temporary folder first.
        temporary = not forbidden and file.is_relative_to(tempfile.gettempdir())
        return temporary or (folder is not None and file.is_relative_to(folder))
    # Sockets and signals may be forbidden too; pyarrow names its files only in the message.
    return not forbidden or "Detail: [errno" in str(error)


def database_error(error: BaseException) -> str | None:
    """Return the fault of the study's database that an error, or one of its causes, is about."""
    # Trials, which import this module, do without it.
    from sqlalchemy.exc import InterfaceError, OperationalError

    for each in causes(error):
        if isinstance(each, (InterfaceError, OperationalError)):
            # The driver's message, without the statement and its values.
            return str(each.orig).strip().splitlines()[0]
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
