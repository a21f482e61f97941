"""What is sent to MLflow, kept on disk until it arrives: a crash or a dead server loses none.

One line of JSON for each entry, in order, in a file beside the sweep. A second file holds how many
of them MLflow has.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.data.outbox_files import DELIVERED_FILE, OUTBOX_FILE
from weakdis_core.errors import UserError
from weakdis_core.files import write_bytes

PARENT = "sweep"
"""Key of the sweep's own run; a trial's key is its id."""

OF_REPORT = "seconds"
"""Marks an entry as a training report; steps that MLflow has already are not sent again."""

Kind = Literal["begin", "log", "file", "model", "end"]


class Entry(BaseModel):
    """What to send to MLflow for one run.

    Attributes:
        key: The run: a trial's id, or `PARENT`.
        kind: `begin` makes the run or takes it up again, `log` adds numbers, params and tags,
            `file` stores a file, `model` stores and registers a model, `end` sets the run's
            state.
        at: Milliseconds since 1970, when it happened: a number sent twice is then one point.
        step: Training step of the metrics.
        metrics: Numbers by name.
        params: Settings by name.
        tags: Tags by name; of a model, those of its version.
        dataset: The images of a run that begins: `mlflow.entities.Dataset` by name of its fields.
        file: A file to store, relative to the sweep's folder where it lies there; of a model, the
            folder that MLflow wrote.
        folder: Where among the run's artifacts; None for the top.
        model: Name in the registry of the model to store.
        status: State of the run at its end.
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
        try:
            self.path.touch()
            self._cut_half_line()
            if not self._delivered_path.exists():
                self._delivered_path.write_text(f"{0:012d}\n")
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None
        self._delivered = self._read_delivered()

    def append(self, entry: Entry) -> None:
        """Add an entry; it is in the operating system's hands when this returns.

        Raises:
            OSError: The disk is full; the file is as it was.
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
            # Half a line may be there, to which the next entry would be glued.
            os.truncate(self.path, size)
            raise

    def waiting(self) -> Iterator[Entry]:
        """Entries that MLflow has not received, oldest first.

        Raises:
            UserError: The file is not what `append` writes.
        """
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                if number < self._delivered:
                    continue
                yield self._parsed(line, number)

    def begun(self) -> set[str]:
        """Keys of the runs whose beginning MLflow has received."""
        return {entry.key for _, entry in self._received() if entry.kind == "begin"}

    def repeat(self, keys: Collection[str]) -> int:
        """Make all entries of some runs wait again, those of the parent first.

        The file keeps every entry. An entry whose file is gone counts as received.

        Returns:
            How many entries have lost their file.

        Raises:
            UserError: The file is not what `append` writes, or the disk is full.
        """
        again: list[tuple[bool, bytes]] = []
        rest: list[bytes] = []
        gone = 0
        for line, entry in self._received():
            lost = entry.file is not None and not Path(entry.file).exists()
            if entry.key in keys and not lost:
                again.append((entry.key != PARENT, line))
            else:
                gone += entry.key in keys
                rest.append(line)
        again.sort(key=lambda each: each[0])
        waiting = self.path.read_bytes().splitlines(keepends=True)[self._delivered :]
        # First: whoever is killed before the file is replaced sends some entries twice.
        self._set_delivered(len(rest))
        write_bytes(self.path, b"".join([*rest, *(line for _, line in again), *waiting]))
        return gone

    def delivered(self) -> None:
        """Note that MLflow has the oldest waiting entry."""
        # One small write in place, which takes no room: whoever is killed meanwhile sends one entry
        # twice at worst.
        self._set_delivered(self._delivered + 1)

    def _set_delivered(self, number: int) -> None:
        self._delivered = number
        with self._delivered_path.open("r+") as file:
            file.write(f"{number:012d}\n")

    def _received(self) -> Iterator[tuple[bytes, Entry]]:
        """The entries that MLflow has received, with their lines."""
        lines = self.path.read_bytes().splitlines(keepends=True)[: self._delivered]
        for number, line in enumerate(lines):
            yield line, self._parsed(line, number)

    def _parsed(self, line: str | bytes, number: int) -> Entry:
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            where = f"{self.path}, line {number + 1}"
            raise UserError(f"{where}: not an entry for MLflow") from None
        return entry.model_copy(update={"file": entry.file and self._located(entry.file)})

    def _located(self, file: str) -> str:
        """Where a file is now."""
        path = self._folder / file
        if not path.exists() and self._folder.name in path.parts:
            # Earlier versions stored the whole path, and the folder was moved since.
            parts = path.parts
            name = len(parts) - 1 - parts[::-1].index(self._folder.name)
            path = self._folder.joinpath(*parts[name + 1 :])
        return str(path)

    def _read_delivered(self) -> int:
        try:
            return int(self._delivered_path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _cut_half_line(self) -> None:
        """Drop what a process killed while writing left of its last line."""
        with self.path.open("rb+") as file:
            content = file.read()
            end = content.rfind(b"\n") + 1
            if end < len(content):
                file.truncate(end)
                file.flush()
                os.fsync(file.fileno())
