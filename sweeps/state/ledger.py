"""What became of every trial: the one account that tracking, console and results read.

The study keeps it (`sweeps/state/trial_store.py`), so that a resumed sweep goes on with it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sweeps.names import METRICS, RUNG_METRICS, Objective
from sweeps.trial import Listener, Outcome, TrialRecord, highest, outcome_of

CHECKPOINTS_KEPT = 2
"""Of each trial: the last, and the one before it for where the last cannot be read."""

STARTS = 4
"""Of a trial in a session: one whose process died is tried again, three times."""


class Stop(Protocol):
    """What ends trials before their end; `sweeps.budget.Budget` is one.

    Attributes:
        disk_error: Why a trial could not write its checkpoint.
    """

    disk_error: str

    @property
    def ran_out(self) -> bool:
        """Whether the time is over, and the user has not stopped the sweep."""


class Ledger(Listener):
    """Keeps a record of each trial.

    Args:
        objective: What the sweep optimises.
        steps: Training steps of a trial, for records of earlier versions, which lack them.
        budget: Tells why trials are cut short: their time is over, or something stopped them.
        records: What earlier sessions of the sweep left, by trial id.
        checkpoints: Checkpoints kept of a trial while it trains.
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
        self._checkpoints = checkpoints
        self.records: dict[str, TrialRecord] = dict(records or {})
        self._rung_metric = RUNG_METRICS[objective]
        self._budget = budget
        self._deaths: Counter[str] = Counter()
        # By the trial's id of Tune, which is another whenever it is suggested.
        self._started: set[str] = set()
        self._died: dict[str, str] = {}
        for record in self.records.values():
            record.steps = record.steps or steps
        for record in self.running():
            record.started = time.monotonic() - record.seconds

    def has_started(self, tune_id: str) -> bool:
        """Whether a trial of Tune's has started in this session."""
        return tune_id in self._started

    def starts_again(self, tune_id: str) -> bool:
        """Whether a trial of Tune's that has failed is to be suggested again.

        If the process of an earlier trial dies as this trial takes it over, Tune handles the death
        twice in one step: it has the trial wait for another process, then marks it failed.
        """
        trial_id = self._died.get(tune_id)
        return trial_id is not None and self._deaths[trial_id] < STARTS

    def count_death(self, tune_id: str, trial_id: str) -> None:
        """Count a process of a trial that died; Tune has the trial wait for another one."""
        self._died[tune_id] = trial_id
        self._deaths[trial_id] += 1

    def open_record(self, tune_id: str, given: Mapping[str, Any]) -> TrialRecord:
        """Open a trial's record; a trial that goes on keeps its own.

        Args:
            tune_id: Tune's id of the trial.
            given: What the searcher suggested: its number, id, values and settings.
        """
        trial_id = given["trial_id"]
        record = self.records.get(trial_id)
        if record is None:
            record = TrialRecord(given["number"], trial_id, dict(given["values"]))
            self.records[trial_id] = record
        else:
            # Killed after it had reported an error, it may end well now.
            record.error = ""
            if tune_id not in self._started:
                record.outcome = "running"
                record.started = time.monotonic() - record.seconds
        record.config = given["config"]
        record.steps = int(record.config["training"]["steps"])
        self._started.add(tune_id)
        return record

    def step_started(self) -> None:
        """Forget deaths: Tune handles one death twice in one step only."""
        self._died.clear()

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        """Note a report's step, metrics and score."""
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
        score = result.get(self.metric)
        if score is not None or record.score is None:
            record.metrics = numbers(result)
        if score is not None:
            record.score = float(score)
        rung = result.get(self._rung_metric)
        if rung is not None and all(step < record.step for step, _ in record.rungs):
            record.rungs.append((record.step, float(rung)))
        record.test |= numbers(result, ("test",))

    def checkpoint_saved(self, record: TrialRecord, path: str) -> None:
        """Note where the last checkpoints lie."""
        if path not in record.checkpoints:
            record.checkpoints = [*record.checkpoints, path][-self._checkpoints :]

    def trial_ended(self, record: TrialRecord) -> None:
        """Note how a trial ended, and why it failed."""
        outcome = outcome_of(record)
        if outcome == "failed" and not record.error:
            record.error = f"{self.metric} is {record.score} at the last step"
        self._end(record, outcome)

    def session_ended(self) -> None:
        """Close the records of trials that were still running."""
        self.cut_short()

    def cut_short(self) -> None:
        """End the records of trials still running: the time is over, or the user stopped them."""
        # An error that ends the sweep is none of the trials': they can go on.
        outcome: Outcome = "out_of_time" if self._budget.ran_out else "interrupted"
        for record in self.running():
            self._end(record, outcome)

    def mend(self) -> None:
        """Note that MLflow may not know how trials ended: the machine that told it is gone."""
        for record in self.ended():
            record.mended = True

    def running(self) -> list[TrialRecord]:
        """Trials that have not ended."""
        return [record for record in self.records.values() if record.outcome == "running"]

    def ended(self) -> list[TrialRecord]:
        """Trials that have ended, whatever way."""
        return [record for record in self.records.values() if record.outcome != "running"]

    def complete(self) -> list[TrialRecord]:
        """Trials that reached their last step with a score."""
        return [record for record in self.records.values() if record.outcome == "complete"]

    def best(self) -> TrialRecord | None:
        """The complete trial with the best score; it never gets worse as the sweep goes on."""
        return highest(self.complete())

    def best_of_any(self) -> TrialRecord | None:
        """The best complete trial or, where there is none, the best of those cut short."""
        cut = (record for record in self.ended() if record.outcome != "failed")
        return self.best() or highest(record for record in cut if record.checkpoint is not None)

    def _end(self, record: TrialRecord, outcome: Outcome) -> None:
        record.outcome = outcome
        record.seconds = time.monotonic() - record.started


def numbers(
    result: Mapping[str, Any], groups: Sequence[str] = ("train", "val")
) -> dict[str, float]:
    """The metrics of a report by group, `train/...` and `val/...`: finite ones only."""
    return {
        name: float(value)
        for name, value in result.items()
        if name.partition("/")[0] in groups and math.isfinite(value)
    }
