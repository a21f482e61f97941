"""The outbox: entries for MLflow, stored on disk until they arrive, so that none is lost.

One file holds a line of JSON for each entry, in order. A second file holds the number of entries
that MLflow has received.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.data.outbox_files import DELIVERED_FILE, OUTBOX_FILE
from weakdis_core.errors import UserError
from weakdis_core.files import write_bytes

PARENT = "sweep"
"""Key of the sweep's own run; a trial's key is its id."""

OF_REPORT = "seconds"
"""Metric that marks an entry as a training report; repeated steps of these are not sent again."""

Kind = Literal["begin", "experiment", "log", "file", "image", "model", "end"]


class Entry(BaseModel):
    """What to send to MLflow for one run.

    Attributes:
        key: The run: a trial's id, or `PARENT`.
        kind: `begin` creates or reopens the run, `experiment` sets tags of its experiment, `log`
            adds metrics, params and tags, `file` stores a file, `image` a picture of a step,
            `model` stores and registers a model, `end` sets the run's status.
        at: Time in milliseconds since 1970. MLflow keeps one point of a metric sent twice.
        step: Training step of the metrics.
        metrics: Metrics by name.
        params: Params by name.
        tags: Tags by name; tags of the version for a model.
        dataset: Fields of the `mlflow.entities.Dataset` of a run that begins.
        file: File to store, relative to the sweep's folder if it lies there; the folder that
            MLflow wrote for a model.
        folder: Folder among the run's artifacts, None for the top; the name of an image.
        model: Name in the registry of the model to store.
        status: Status of the run at its end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    kind: Kind
    at: int
    step: int = 0
    metrics: dict[str, float] = {}
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    dataset: dict[str, str] = {}
    file: str | None = None
    folder: str | None = None
    model: str | None = None
    status: Literal["FINISHED", "FAILED", "KILLED"] | None = None


class Outbox:
    """The file of entries of one sweep. One process writes to it.

    Args:
        folder: Folder of the sweep.

    Raises:
        UserError: The file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / OUTBOX_FILE
        self._delivered_path = folder / DELIVERED_FILE
        self._delivered = 0
        try:
            self.path.touch()
            self._cut_half_line()
            if not self._delivered_path.exists():
                self._delivered_path.write_text(f"{0:012d}\n")
            with contextlib.suppress(ValueError):
                self._delivered = int(self._delivered_path.read_text())
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None

    def append(self, entry: Entry) -> None:
        """Write an entry to the end of the file.

        Raises:
            OSError: The disk is full; the file is unchanged.
        """
        if entry.file is not None and Path(entry.file).is_relative_to(self._folder):
            # The folder may be moved before MLflow answers.
            inside = str(Path(entry.file).relative_to(self._folder))
            entry = entry.model_copy(update={"file": inside})
        size = self.path.stat().st_size
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(entry.model_dump_json(exclude_defaults=True) + "\n")
        except OSError:
            # Remove a half line, which the next entry would continue.
            os.truncate(self.path, size)
            raise

    def waiting(self) -> Iterator[Entry]:
        """Yield the entries that MLflow has not received, oldest first.

        Raises:
            UserError: A line is not an entry.
        """
        return (entry for _, entry in self._read(self._delivered, None))

    def begun(self) -> set[str]:
        """Return the keys of the runs whose `begin` MLflow has received."""
        received = self._read(0, self._delivered)
        return {entry.key for _, entry in received if entry.kind == "begin"}

    def repeat(self, keys: Collection[str]) -> int:
        """Make all received entries of some runs wait again, those of the parent first.

        An entry whose file is gone stays received.

        Returns:
            The number of entries of these runs whose file is gone.

        Raises:
            UserError: A line is not an entry, or the disk is full.
        """
        parent: list[bytes] = []
        trials: list[bytes] = []
        rest: list[bytes] = []
        gone = 0
        for line, entry in self._read(0, self._delivered):
            if entry.key not in keys:
                rest.append(line)
            elif entry.file is not None and not Path(entry.file).exists():
                rest.append(line)
                gone += 1
            else:
                (parent if entry.key == PARENT else trials).append(line)
        waiting = self.path.read_bytes().splitlines(keepends=True)[self._delivered :]
        # The number first: a process that is killed in between sends some entries twice.
        self._set_delivered(len(rest))
        write_bytes(self.path, b"".join([*rest, *parent, *trials, *waiting]))
        return gone

    def delivered(self) -> None:
        """Count the oldest waiting entry as received."""
        # A small write in place takes no room on a full disk.
        self._set_delivered(self._delivered + 1)

    def _set_delivered(self, number: int) -> None:
        self._delivered = number
        with self._delivered_path.open("r+") as file:
            file.write(f"{number:012d}\n")

    def _read(self, first: int, end: int | None) -> Iterator[tuple[bytes, Entry]]:
        """Yield the lines from `first` to before `end` with their entries."""
        with self.path.open("rb") as file:
            for number, line in enumerate(islice(file, first, end), first + 1):
                try:
                    entry = Entry.model_validate_json(line)
                except ValidationError:
                    where = f"{self.path}, line {number}"
                    raise UserError(f"{where}: not an entry for MLflow") from None
                path = entry.file and self._absolute_path(entry.file)
                yield line, entry.model_copy(update={"file": path})

    def _absolute_path(self, file: str) -> str:
        path = self._folder / file
        if not path.exists():
            # Earlier versions stored absolute paths, and the folder may have been moved since.
            path = self._folder / file.rpartition(f"/{self._folder.name}/")[2]
        return str(path)

    def _cut_half_line(self) -> None:
        """Remove the half line that a process leaves when it is killed while it writes."""
        with self.path.open("rb+") as file:
            content = file.read()
            end = content.rfind(b"\n") + 1
            if end < len(content):
                file.truncate(end)
                file.flush()
                os.fsync(file.fileno())
