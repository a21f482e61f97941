"""Where checkpoints lie: a folder that every node sees, or an object store."""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weakdis_core.errors import UserError

# Both take long to load, and flags are read before.
if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from ray.tune import Checkpoint

_FETCHED = "fetched"
# Sweep, session, trial, checkpoint.
_PARTS = 4


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
