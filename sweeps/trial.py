"""The state of a trial, and the interface of listeners to its events."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from statistics import fmean
from typing import Any, Literal

from optuna.study import Study
from optuna.trial import FrozenTrial

Stage = Literal["search", "confirm", "study"]

Outcome = Literal["running", "complete", "pruned", "failed", "out_of_time", "interrupted"]

WORDS: dict[Stage, str] = {"search": "trial", "confirm": "confirm run", "study": "run"}
"""The word for a trial of each stage."""

FIRST = "first number"
"""User attribute of a study: the number of its first trial; earlier versions lack it."""

VALUES = "values"
"""User attribute of a trial whose settings are given, not drawn: the values that identify it."""


@dataclass
class TrialRecord:
    """The state of a trial.

    Attributes:
        number: Its number in the study; studies that an earlier version began count from 1.
        trial_id: Its name in MLflow and on disk, the same in every session of the sweep.
        values: The settings searched, by dotted name; of a given run, the values that identify it.
        outcome: How it ended; `complete` means that it reached its last step with a score.
        step: Training step of the last report.
        steps: Training steps of the whole trial; 0 if an earlier version stored the record.
        stage: Stage of training at the last report.
        metrics: Numbers of the last report that has the objective, else of the last report.
        score: The objective at the last report that has it.
        rungs: Step and value of each report that early stopping uses.
        test: Scores on test, `test/...`; only of given runs.
        rate: Mean training steps in a second, with evaluations.
        device: Name of the device that it trains on.
        seconds: Seconds so far, in all sessions.
        checkpoints: Paths of its last checkpoints within the storage, the newest last.
        hosts: Names of the machines that it ran on, in order.
        error: Why it failed, in one line.
        note: A remark, such as which checkpoint could not be read.
        mended: Whether its session was killed before it sent the end of the trial to MLflow.
        started: When it started, on the clock of this session, minus its earlier seconds.
        config: All its settings, nested; empty if it has not run in this session.
    """

    number: int
    trial_id: str
    values: dict[str, Any]
    outcome: Outcome = "running"
    step: int = 0
    steps: int = 0
    stage: str = "starting"
    metrics: dict[str, float] = field(default_factory=dict)
    score: float | None = None
    rungs: list[tuple[int, float]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0
    device: str = ""
    seconds: float = 0.0
    checkpoints: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    error: str = ""
    note: str = ""
    mended: bool = False
    started: float = field(default_factory=time.monotonic)
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> str | None:
        """Path of the last checkpoint within the storage."""
        return self.checkpoints[-1] if self.checkpoints else None


def outcome_of(record: TrialRecord | None, error: bool = False) -> Outcome:
    """Decide the outcome of a trial that Tune ended.

    Nothing else decides it: the searcher stores this outcome in the study, and the trial's record
    takes the same one. `Trials.cut_short` decides the outcome of trials that the time or the user
    cuts short.

    Args:
        record: The trial at its end; None if it never started. A trial with fewer than its steps
            was stopped early. One with scores on test is complete, whatever its objective.
        error: Whether the trial's process raised an error or died.
    """
    if record is None or error or record.error:
        return "failed"
    if record.step < record.steps:
        return "pruned"
    scored = record.score is not None and math.isfinite(record.score)
    return "complete" if scored or record.test else "failed"


def highest(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the trial with the best score; None if none has a score."""
    scored = (record for record in records if record.score is not None)
    return max(scored, key=attrgetter("score"), default=None)


def seconds_of_a_trial(records: Iterable[TrialRecord]) -> float:
    """Return the mean seconds of the complete trials; 0 if there are none."""
    return fmean([each.seconds for each in records if each.outcome == "complete"] or [0.0])


@lru_cache(maxsize=8)
def first_number(study: Study) -> int:
    """Return the number of a study's first trial: 0, or 1 if an earlier version began it."""
    return int(study.user_attrs.get(FIRST, 1))


def trial_id_of(study: Study, number: int, stage: Stage = "search") -> str:
    """Return the name in MLflow and on disk of a trial, given its number in Optuna's study."""
    prefix = {"search": "", "confirm": "confirm-", "study": "run-"}[stage]
    return f"{prefix}{number + first_number(study):05d}"


def values_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the values that identify a trial: its drawn settings, or those of a given run."""
    # Optuna 5.0 stores the values of an enqueued trial there until they are drawn.
    fixed = trial.system_attrs.get("fixed_params", {})
    return dict(trial.user_attrs.get(VALUES, fixed | trial.params))


class Listener:
    """Receives the events of `sweeps.search.tune_events.TuneEvents`; by default it ignores them."""

    def session_started(self) -> None:
        """Receive the start of the session, before any trial starts."""

    def step_started(self) -> None:
        """Receive the start of a step of Tune's loop, which handles at most one event."""

    def trial_started(self, record: TrialRecord) -> None:
        """Receive a trial that starts, or continues in another process."""

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        """Receive a report of a trial, with the entries that Tune adds."""

    def checkpoint_saved(self, record: TrialRecord, path: str) -> None:
        """Receive the path within the storage of a checkpoint that a trial has saved."""

    def trial_ended(self, record: TrialRecord) -> None:
        """Receive a trial that completed, failed or was stopped early."""

    def session_ended(self) -> None:
        """Receive the end of the session, which cuts running trials short."""
