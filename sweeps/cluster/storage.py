"""Where checkpoints are stored: a folder that every node sees, or an object store."""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weakdis_core.errors import UserError

# Both take long to load, and reading flags needs neither.
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
        """Whether the root is an address rather than a folder."""
        return "://" in self.root

    def opened(self) -> tuple[FileSystem, str]:
        """Return the file system and the root's path in it.

        Raises:
            UserError: There is no such file system, or it cannot be reached.
        """
        from pyarrow.fs import LocalFileSystem

        if not self.remote:
            return LocalFileSystem(), str(Path(self.root).absolute())
        with self._explain_errors():
            return _open(self.root)

    def check(self) -> None:
        """Check that files can be written to the storage.

        Raises:
            UserError: They cannot.
        """
        system, path = self.opened()
        # A name of its own: two sweeps may start at once.
        probe = f"{path}/.writable-{uuid.uuid4().hex}"
        with self._explain_errors():
            system.create_dir(path)
            with system.open_output_stream(probe):
                pass
            system.delete_file(probe)

    def holds(self, name: str) -> bool:
        """Check whether the storage has a folder of a sweep.

        Raises:
            UserError: The storage cannot be reached.
        """
        from pyarrow.fs import FileType

        system, root = self.opened()
        with self._explain_errors():
            return bool(system.get_file_info(f"{root}/{name}").type != FileType.NotFound)

    def checkpoint(self, path: str) -> Checkpoint:
        """Return the checkpoint at a path within this storage, as `path_within` returns it."""
        from ray.tune import Checkpoint

        system, root = self.opened()
        return Checkpoint(f"{root}/{path}", system)

    def delete(self, path: str) -> None:
        """Delete a checkpoint, if it exists and can be deleted."""
        system, root = self.opened()
        with contextlib.suppress(OSError):
            system.delete_dir(f"{root}/{path}")

    def upload(self, folder: str, files: Iterable[Path]) -> None:
        """Copy files into a folder, in order, unless they are there; each appears complete.

        Raises:
            UserError: The storage cannot be written.
        """
        from pyarrow.fs import copy_files

        system, root = self.opened()
        with self._explain_errors():
            system.create_dir(f"{root}/{folder}")
            for file in files:
                path = f"{root}/{folder}/{file.name}"
                if system.get_file_info(path).size == file.stat().st_size:
                    continue
                # An object appears when it is complete; a file needs another name until then.
                written = path if self.remote else f"{root}/.partial-{uuid.uuid4().hex}"
                copy_files(str(file), written, destination_filesystem=system)
                if written != path:
                    system.move(written, path)

    def fetch(self, path: str, folder: Path) -> Path:
        """Return a checkpoint's folder on this machine; one elsewhere is copied under `folder`."""
        checkpoint = self.checkpoint(path)
        if not self.remote:
            return Path(checkpoint.path)
        own = folder / _FETCHED / Path(path).parent.name / Path(path).name
        checkpoint.to_directory(own)
        return own

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            # The messages of pyarrow repeat the path and more.
            number = error.errno if isinstance(error, OSError) else None
            reason = os.strerror(number) if number else str(error).splitlines()[0]
            where = self.root if self.remote else str(Path(self.root).absolute())
            raise UserError(f"storage: {where} cannot be written ({reason})") from None


def path_within(path: str) -> str:
    """Return the path of a checkpoint within its storage, which may be moved."""
    return "/".join(Path(path).parts[-_PARTS:])


@functools.cache
def _open(address: str) -> tuple[FileSystem, str]:
    # A client of an object store takes a moment to create.
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(address)
    return system, str(path)


def list_session_checkpoints(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Return all checkpoints of a trial's session, given one of them, the newest first."""
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
