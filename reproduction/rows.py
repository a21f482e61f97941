"""Finished models as rows of two CSV files: `runs.csv` and the scores of each in `scores.csv`."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeVar

from filelock import FileLock
from pydantic import BaseModel, Field, ValidationError

from weakdis_core.config import Config, describe
from weakdis_core.errors import UserError
from weakdis_core.files import write_text
from weakdis_core.settings import Settings
from weakdis_core.version import CODE_VERSION

RUNS_FILE, SCORES_FILE = "runs.csv", "scores.csv"


class Versions(NamedTuple):
    """What decides, beside settings and seed, whether two scores may be compared."""

    code: int
    scikit_learn: str

    @classmethod
    def here(cls) -> Versions:
        """Those of the running process."""
        return cls(CODE_VERSION, version("scikit-learn"))


class Key(NamedTuple):
    """What identifies a trained model: two with equal keys have equal scores.

    Attributes:
        config: Hash of its settings, seed and runtime apart; the data source is among them.
        seed: Its seed.
        source: Where its images came from.
        versions: Of the core's code and of scikit-learn.
    """

    config: str
    seed: int
    source: str
    versions: Versions

    @classmethod
    def of(cls, config: Config, versions: Versions | None = None) -> Key:
        """The key of a configuration whose source is resolved, under this process's versions."""
        return cls(config.hash(), config.seed, config.data.source, versions or Versions.here())

    @property
    def run(self) -> str:
        """Ten hex digits that name the run."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:10]


class Run(Settings):
    """A trained model: which, by what, at what cost. The fields are the columns of `runs.csv`."""

    run: str = Field(min_length=1)
    name: str = Field(min_length=1)
    """What it is, for a reader: `dsprites_v4 without cycle`."""
    variant: str
    model: str
    """Kind of model: modular or monolithic."""
    labels: int
    source: str
    seed: int
    config: str
    code_version: int
    scikit_learn: str
    steps: int
    cpu_seconds: float
    """CPU seconds of training, evaluations on validation included."""
    scoring_seconds: float
    """Seconds of the scores on test, on one core."""
    device: str
    machine: str
    git_commit: str
    torch: str
    numpy: str
    python: str
    finished: str
    """UTC, to the second."""

    @property
    def on_cpu(self) -> bool:
        """Whether a CPU trained it: what it took then says what another takes."""
        return self.device.startswith("cpu")

    @property
    def key(self) -> Key:
        """What it was trained from."""
        versions = Versions(self.code_version, self.scikit_learn)
        return Key(self.config, self.seed, self.source, versions)


class Score(NamedTuple):
    """One number of a trained model.

    Attributes:
        value: NaN where undefined.
        n: Images or draws behind it; None where it is not a mean over known ones.
    """

    value: float
    n: int | None = None


class _ScoreRow(Settings):
    run: str
    metric: str
    value: float
    n: int | None


Row = TypeVar("Row", bound=BaseModel)
Scores = dict[str, Score]


@dataclass(frozen=True)
class Stored:
    """What a results folder holds.

    Attributes:
        runs: Every finished run.
        scores: The scores of each by its name, by metric.
    """

    runs: tuple[Run, ...]
    scores: dict[str, Scores]


class Results:
    """The results folder. Several processes may add to it at once.

    Args:
        folder: Where the two files lie; made with the first run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Stored:
        """Everything stored so far; nothing where there is no file yet.

        Raises:
            UserError: A file is not what `add` writes.
        """
        runs = tuple(self._rows(RUNS_FILE, Run))
        scores: dict[str, Scores] = {run.run: {} for run in runs}
        for row in self._rows(SCORES_FILE, _ScoreRow):
            # A process killed between the two files leaves scores without a run.
            if row.run in scores:
                scores[row.run][row.metric] = Score(row.value, row.n)
        return Stored(runs, scores)

    def add(self, run: Run, scores: Scores) -> None:
        """Store a finished run in place of earlier ones of the same name, seed and source.

        Raises:
            UserError: The folder cannot be written, or holds files that are not ours.
        """
        with self._locked():
            stored = self.read()
            same = (run.name, run.seed, run.source)
            kept = [
                old
                for old in stored.runs
                if old.run != run.run and (old.name, old.seed, old.source) != same
            ]
            runs = sorted([*kept, run], key=_order)
            every = stored.scores | {run.run: scores}
            rows = [
                _ScoreRow(run=each.run, metric=metric, value=score.value, n=score.n)
                for each in runs
                for metric, score in sorted(every[each.run].items())
            ]
            # Scores first: a run that is listed has them.
            write_text(self.folder / SCORES_FILE, _csv(_ScoreRow, rows))
            write_text(self.folder / RUNS_FILE, _csv(Run, runs))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            lock.acquire()
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"results: {self.folder} cannot be written ({reason})") from None
        try:
            yield
        finally:
            lock.release()

    def _rows(self, name: str, model: type[Row]) -> Iterator[Row]:
        path = self.folder / name
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from None
        reader = csv.DictReader(io.StringIO(text))
        wanted = list(model.model_fields)
        if reader.fieldnames != wanted:
            raise UserError(f"{path}: the columns are not {', '.join(wanted)}")
        for row in reader:
            try:
                yield model.model_validate({column: row[column] or None for column in wanted})
            except ValidationError as error:
                raise UserError(f"{path}, line {reader.line_num}: {describe(error)}") from None


def _order(run: Run) -> tuple[str, str, str, int, str, int]:
    return (run.source, run.variant, run.model, run.labels, run.name, run.seed)


def _csv(model: type[Row], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(model.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _cell(value) for column, value in row})
    return text.getvalue()


def _cell(value: object) -> object:
    """Six digits: more would change with every machine and show as a difference."""
    return f"{value:.6g}" if isinstance(value, float) else value
