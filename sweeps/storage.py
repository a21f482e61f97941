"""Where checkpoints lie: a folder that every node sees, or an object store."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.addresses import without_password
from weakdis_core.errors import UserError

# Both take long to load, and flags are read before.
if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from ray.tune import Checkpoint

_FETCHED = "fetched"
# Sweep, session, trial, checkpoint.
_PARTS = 4
_KEPT = "what has ended is kept; go on with --resume"
_FORBIDDEN = (errno.EACCES, errno.EPERM)
# How the system and SQLite name the fault, and what a user does about it.
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


@dataclass(frozen=True)
class Storage:
    """A place for checkpoints that all nodes of a cluster reach.

    Attributes:
        root: A folder, or an address such as `s3://bucket/folder`, as pyarrow reads it.
    """

    root: str

    @property
    def remote(self) -> bool:
        """Whether it is no folder of this machine."""
        return "://" in self.root

    def opened(self) -> tuple[FileSystem, str]:
        """Its file system and the root's path within.

        Raises:
            UserError: There is no such file system, or it cannot be reached.
        """
        from pyarrow.fs import LocalFileSystem

        if not self.remote:
            return LocalFileSystem(), str(Path(self.root).absolute())
        try:
            return _opened(self.root)
        except (OSError, ValueError) as error:
            raise self._refused(error) from None

    def check(self) -> None:
        """Find out whether something can be written there.

        Raises:
            UserError: Nothing can.
        """
        system, path = self.opened()
        # Of its own name: two sweeps may start at once.
        probe = f"{path}/.writable-{uuid.uuid4().hex}"
        try:
            system.create_dir(path)
            with system.open_output_stream(probe):
                pass
            system.delete_file(probe)
        except OSError as error:
            raise self._refused(error) from None

    def holds(self, name: str) -> bool:
        """Whether something of a sweep lies there.

        Raises:
            UserError: The storage cannot be reached.
        """
        from pyarrow.fs import FileType

        system, root = self.opened()
        try:
            found = system.get_file_info(f"{root}/{name}").type
        except OSError as error:
            raise self._refused(error) from None
        return bool(found != FileType.NotFound)

    def checkpoint(self, path: str) -> Checkpoint:
        """A checkpoint by the path that a record keeps of it: `path_within` this storage."""
        from ray.tune import Checkpoint

        system, root = self.opened()
        return Checkpoint(f"{root}/{path}", system)

    def delete(self, path: str) -> None:
        """Delete a checkpoint; one that is gone, or cannot be deleted, is no reason to stop."""
        system, root = self.opened()
        with contextlib.suppress(OSError):
            system.delete_dir(f"{root}/{path}")

    def fetch(self, path: str, folder: Path) -> Path:
        """The folder of a checkpoint on this machine: itself, or a copy of it under `folder`."""
        checkpoint = self.checkpoint(path)
        if not self.remote:
            return Path(checkpoint.path)
        own = folder / _FETCHED / Path(path).parent.name / Path(path).name
        checkpoint.to_directory(own)
        return own

    def _refused(self, error: Exception) -> UserError:
        # pyarrow's own words repeat the path and more.
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else str(error).splitlines()[0]
        where = self.root if self.remote else str(Path(self.root).absolute())
        return UserError(f"storage: {where} cannot be written ({reason})")


def path_within(path: str) -> str:
    """The path of a checkpoint within its storage, wherever that lies: it may be moved."""
    return "/".join(Path(path).parts[-_PARTS:])


@functools.cache
def _opened(address: str) -> tuple[FileSystem, str]:
    # A client of an object store takes a moment to make.
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(address)
    return system, str(path)


def siblings(checkpoint: Checkpoint) -> list[Checkpoint]:
    """The checkpoints of a trial's session, the given one among them, the newest first."""
    from pyarrow.fs import FileSelector
    from ray.tune import Checkpoint

    folder = str(Path(checkpoint.path).parent)
    system = checkpoint.filesystem
    assert system is not None
    found = system.get_file_info(FileSelector(folder, allow_not_found=True))
    names = sorted((each.base_name for each in found), reverse=True)
    return [
        Checkpoint(f"{folder}/{name}", system) for name in names if name.startswith("checkpoint_")
    ]


@contextmanager
def storage_errors_explained(folder: Path) -> Iterator[None]:
    """Within it a full or read-only disk, or a database that is gone, is a clear error.

    Args:
        folder: What is written.

    Raises:
        UserError: The disk is full, or does not let itself be written, or the study's database
            does not answer.
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
    """What a user is told of a disk that filled up, or failed, under a sweep."""
    cure = next((_CURES[fault] for fault in _CURES if fault in reason), "make room")
    return f"storage: {place} cannot be written any more ({reason}); {cure}: {_KEPT}"


def disk_error(error: BaseException | None, folder: Path | None = None) -> str | None:
    """What is wrong with a sweep's disk, if that is what an error is about, or what led to it.

    Args:
        error: The error.
        folder: The sweep's folder, where this process writes to it.
    """
    for each in causes(error):
        if isinstance(each, OSError) and each.errno and _is_of_disk(each, folder):
            where = f": {each.filename}" if each.filename else ""
            return os.strerror(each.errno) + where
        if isinstance(each, sqlite3.OperationalError) and any(s in str(each) for s in _CURES):
            return str(each)
    return None


def _is_of_disk(error: OSError, folder: Path | None) -> bool:
    """Whether an error is about what a sweep writes, and not a device or a file of the user."""
    if os.strerror(error.errno or 0) not in _CURES:
        return False
    forbidden = error.errno in _FORBIDDEN
    if isinstance(error.filename, str):
        file = Path(error.filename).absolute()
        # Checkpoints are written to a temporary folder first.
        temporary = not forbidden and file.is_relative_to(tempfile.gettempdir())
        return temporary or (folder is not None and file.is_relative_to(folder))
    # Sockets and signals may be forbidden too; pyarrow names its files in the message alone.
    return not forbidden or "Detail: [errno" in str(error)


def database_error(error: BaseException) -> str | None:
    """What is wrong with the study's database, if that is what an error is about."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    for each in causes(error):
        if isinstance(each, (InterfaceError, OperationalError)):
            # The driver's own words, without the statement and its values.
            return str(each.orig).strip().splitlines()[0]
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
