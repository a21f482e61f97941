"""The records of all trials of a stage, which tracking, console and results read.

The study stores them (`sweeps/state/trial_store.py`), so that a resumed sweep continues them.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sweeps.flags import Objective
from sweeps.names import METRICS, RUNG_METRICS
from sweeps.trial import Listener, Outcome, TrialRecord, highest, outcome_of

CHECKPOINTS_KEPT = 2
"""Checkpoints kept of a trial: the last, and one to fall back on if the last cannot be read."""

STARTS = 4
"""Most processes of a trial in a session: Tune retries a trial whose process died three times."""


class Stop(Protocol):
    """The part of `sweeps.budget.Budget` that the records need.

    Attributes:
        disk_error: Why a trial could not write its checkpoint.
    """

    disk_error: str

    @property
    def ran_out(self) -> bool:
        """Whether the time is over, and the user has not stopped the sweep."""


class Trials(Listener):
    """Keeps the record of each trial.

    Args:
        objective: The objective of the sweep.
        steps: Training steps of a trial, for records of earlier versions, which lack them.
        budget: Decides whether a trial that is cut short ran out of time or was interrupted.
        records: Records of earlier sessions, by trial id.
        checkpoints: Number of checkpoints to keep of a trial while it trains.
    """

    def __init__(
        self,
        objective: Objective,
        steps: int,
        budget: Stop,
        records: Mapping[str, TrialRecord] | None = None,
        checkpoints: int = CHECKPOINTS_KEPT,
    ) -> None:
        self.metric = METRICS[objective]
        self.records: dict[str, TrialRecord] = dict(records or {})
        self._checkpoints = checkpoints
        self._rung_metric = RUNG_METRICS[objective]
        self._budget = budget
        self._deaths: Counter[str] = Counter()
        # By Tune's id of the trial, which changes whenever the trial is suggested again.
        self._started: set[str] = set()
        self._died: dict[str, str] = {}
        for record in self.records.values():
            record.steps = record.steps or steps
        for record in self.running():
            record.started = time.monotonic() - record.seconds

    def has_started(self, tune_id: str) -> bool:
        """Check whether a trial of Tune has started in this session."""
        return tune_id in self._started

    def starts_again(self, tune_id: str) -> bool:
        """Check whether to suggest a failed trial of Tune again.

        If a reused process dies while it takes over a trial, Tune handles the death twice in one
        step: it reschedules the trial, then marks it failed.
        """
        trial_id = self._died.get(tune_id)
        return trial_id is not None and self._deaths[trial_id] < STARTS

    def count_death(self, tune_id: str, trial_id: str) -> None:
        """Count the death of a trial's process, after which Tune reschedules the trial."""
        self._died[tune_id] = trial_id
        self._deaths[trial_id] += 1

    def open_record(self, tune_id: str, given: Mapping[str, Any]) -> TrialRecord:
        """Create the record of a trial that starts, or reopen that of a trial that continues.

        Args:
            tune_id: Tune's id of the trial.
            given: The searcher's suggestion: the trial's number, id, values and settings.
        """
        trial_id = given["trial_id"]
        record = self.records.get(trial_id)
        if record is None:
            record = TrialRecord(given["number"], trial_id, dict(given["values"]))
            self.records[trial_id] = record
        else:
            # A trial that was killed after it reported an error may end well now.
            record.error = ""
            if tune_id not in self._started:
                record.outcome = "running"
                record.started = time.monotonic() - record.seconds
        record.config = given["config"]
        record.steps = int(record.config["training"]["steps"])
        self._started.add(tune_id)
        return record

    def step_started(self) -> None:
        """Forget deaths: Tune handles a death twice only within one step."""
        self._died.clear()

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        """Store a report's step, metrics and score in the record."""
        record.seconds = time.monotonic() - record.started
        host = result.get("hostname")
        if host is not None and host not in record.hosts[-1:]:
            record.hosts.append(str(host))
        record.note = str(result.get("note", record.note))
        if "disk" in result:
            self._budget.disk_error = str(result["disk"])
            return
        if "error" in result:
            record.error = str(result["error"])
            return
        record.step = int(result["step"])
        record.stage = str(result.get("stage", "training"))
        record.device = str(result.get("device", record.device))
        if result.get("seconds"):
            record.rate = record.step / float(result["seconds"])
        score = result.get(self.metric)
        if score is not None or record.score is None:
            record.metrics = finite_metrics(result)
        if score is not None:
            record.score = float(score)
        rung = result.get(self._rung_metric)
        if rung is not None and all(step < record.step for step, _ in record.rungs):
            record.rungs.append((record.step, float(rung)))
        record.test |= finite_metrics(result, ("test",))

    def checkpoint_saved(self, record: TrialRecord, path: str) -> None:
        """Store the path of a new checkpoint in the record."""
        if path not in record.checkpoints:
            record.checkpoints = [*record.checkpoints, path][-self._checkpoints :]

    def trial_ended(self, record: TrialRecord) -> None:
        """Store a trial's outcome in the record, and a reason if it failed without an error."""
        outcome = outcome_of(record)
        if outcome == "failed" and not record.error:
            record.error = f"{self.metric} is {record.score} at the last step"
        self._end(record, outcome)

    def session_ended(self) -> None:
        """End the records of trials that are still running."""
        self.cut_short()

    def cut_short(self) -> None:
        """End the records of running trials, which the time, the user or an error stopped."""
        # Trials that an error of the sweep stopped continue when it is resumed.
        outcome: Outcome = "out_of_time" if self._budget.ran_out else "interrupted"
        for record in self.running():
            self._end(record, outcome)

    def mend(self) -> None:
        """Mark all ends for sending again: the outbox of the lost machine is lost as well."""
        for record in self.ended():
            record.mended = True

    def running(self) -> list[TrialRecord]:
        """Return the trials that have not ended."""
        return [record for record in self.records.values() if record.outcome == "running"]

    def ended(self) -> list[TrialRecord]:
        """Return the trials that have ended, with any outcome."""
        return [record for record in self.records.values() if record.outcome != "running"]

    def complete(self) -> list[TrialRecord]:
        """Return the trials that reached their last step with a score."""
        return [record for record in self.records.values() if record.outcome == "complete"]

    def best(self) -> TrialRecord | None:
        """Return the complete trial with the best score."""
        return highest(self.complete())

    def best_of_any(self) -> TrialRecord | None:
        """Return the best complete trial, or else the best with a checkpoint that did not fail."""
        cut = (record for record in self.ended() if record.outcome != "failed")
        return self.best() or highest(record for record in cut if record.checkpoint is not None)

    def _end(self, record: TrialRecord, outcome: Outcome) -> None:
        record.outcome = outcome
        record.seconds = time.monotonic() - record.started


def shown_attributes(outcome: Outcome, record: TrialRecord | None) -> dict[str, Any]:
    """Return what Optuna's dashboard shows of an ended trial beside its value and settings."""
    scores = {} if record is None else record.metrics | record.test
    names = ("val/relation_accuracy_pixels", "test/relation_accuracy_pixels")
    found = {name: scores[name] for name in names if name in scores}
    return {"outcome": outcome.replace("_", " ")} | found


def finite_metrics(
    result: Mapping[str, Any], groups: Sequence[str] = ("train", "val")
) -> dict[str, float]:
    """Return the finite metrics of a report whose names begin with `GROUP/`."""
    return {
        name: float(value)
        for name, value in result.items()
        if name.partition("/")[0] in groups and math.isfinite(value)
    }
