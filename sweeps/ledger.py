"""What became of every trial: the one account that tracking, console and results read.

The study keeps it (`sweeps/records.py`), so that a resumed sweep goes on with it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from sweeps.budget import Budget
from sweeps.halving import RUNG_METRICS
from sweeps.record import Outcome, Record, highest
from sweeps.settings import Objective
from sweeps.space import METRICS
from sweeps.storage import path_within

CHECKPOINTS_KEPT = 2
"""Of each trial: the last, and the one before it for where the last cannot be read."""

STARTS = 4
"""Of a trial in a session: one whose process died is tried again, three times."""


class Ledger(Callback):
    """Keeps a record of each trial. Must come before the callbacks that read it.

    Args:
        objective: What the sweep optimises.
        steps: Training steps of a full trial.
        budget: Tells why trials are cut short: their time is over, or something stopped them.
        records: What earlier sessions of the sweep left, by trial id.
    """

    def __init__(
        self,
        objective: Objective,
        steps: int,
        budget: Budget,
        records: Mapping[str, Record] | None = None,
    ) -> None:
        self.metric = METRICS[objective]
        self.steps = steps
        self.disk_error = ""
        self.records: dict[str, Record] = dict(records or {})
        self._rung_metric = RUNG_METRICS[objective]
        self._budget = budget
        self._deaths: Counter[str] = Counter()
        # By the trial's id of Tune, which is another whenever it is suggested.
        self._started: set[str] = set()
        self._died: dict[str, str] = {}
        for record in self.running():
            record.started = time.monotonic() - record.seconds

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; a resumed sweep reads the records from its study.
        return {}

    def of(self, trial: Trial) -> Record | None:
        """The record of a trial of Tune's; None of one that never started."""
        return self.records.get(trial.config["trial_id"])

    def has_started(self, tune_id: str) -> bool:
        """Whether a trial of Tune's has started in this session."""
        return tune_id in self._started

    def starts_again(self, tune_id: str) -> bool:
        """Whether a trial of Tune's that has failed is to be suggested again.

        Where it was to have the process of an earlier trial, and that has died meanwhile, Tune
        hears of the death twice: it has the trial wait for another process, and then gives it up.
        """
        trial_id = self._died.get(tune_id)
        return trial_id is not None and self._deaths[trial_id] < STARTS

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Forget deaths: what Tune hears twice it hears in one step."""
        self._died.clear()

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Count a process that died: Tune has its trial wait for another one."""
        self._died[trial.trial_id] = trial.config["trial_id"]
        self._deaths[trial.config["trial_id"]] += 1

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Open a trial's record; a trial that goes on keeps its own."""
        record = self.of(trial)
        if record is None:
            number, trial_id = trial.config["number"], trial.config["trial_id"]
            self.records[trial_id] = Record(number, trial_id, dict(trial.config["values"]))
        else:
            # Killed after it had told of an error, it may end well now.
            record.error = ""
            if trial.trial_id not in self._started:
                record.outcome = "running"
                record.started = time.monotonic() - record.seconds
        self._started.add(trial.trial_id)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Note a report's step, metrics and score."""
        record = self.records[trial.config["trial_id"]]
        record.seconds = time.monotonic() - record.started
        host = result.get("hostname")
        if host is not None and host not in record.hosts[-1:]:
            record.hosts.append(str(host))
        record.note = str(result.get("note", record.note))
        if "disk" in result:
            self.disk_error = str(result["disk"])
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

    def on_checkpoint(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        checkpoint: Checkpoint,
        **info: Any,
    ) -> None:
        """Note where the last checkpoints lie."""
        record, path = self.records[trial.config["trial_id"]], path_within(checkpoint.path)
        if path not in record.checkpoints:
            record.checkpoints = [*record.checkpoints, path][-CHECKPOINTS_KEPT:]

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Note how a trial ended that raised no error."""
        record = self.of(trial)
        if record is None:
            return
        if record.error:
            self._end(record, "failed")
        elif record.step < self.steps:
            self._end(record, "pruned")
        elif record.score is not None and math.isfinite(record.score):
            self._end(record, "complete")
        else:
            record.error = f"{self.metric} is {record.score} at the last step"
            self._end(record, "failed")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Note why a trial failed, unless it starts again."""
        if self.starts_again(trial.trial_id):
            return
        self.on_trial_start(iteration, trials, trial)
        record = self.records[trial.config["trial_id"]]
        record.error = reason_of(trial)
        self._end(record, "failed")

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
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

    def running(self) -> list[Record]:
        """Trials that have not ended."""
        return [record for record in self.records.values() if record.outcome == "running"]

    def ended(self) -> list[Record]:
        """Trials that have ended, whatever way."""
        return [record for record in self.records.values() if record.outcome != "running"]

    def complete(self) -> list[Record]:
        """Trials that reached their last step with a score."""
        return [record for record in self.records.values() if record.outcome == "complete"]

    def best(self) -> Record | None:
        """The complete trial with the best score; it never gets worse as the sweep goes on."""
        return highest(self.complete())

    def best_of_any(self) -> Record | None:
        """The best complete trial or, where there is none, the best of those cut short."""
        cut = (record for record in self.ended() if record.outcome != "failed")
        return self.best() or highest(record for record in cut if record.checkpoint is not None)

    def _end(self, record: Record, outcome: Outcome) -> None:
        record.outcome = outcome
        record.seconds = time.monotonic() - record.started


def numbers(result: dict[str, Any], groups: Sequence[str] = ("train", "val")) -> dict[str, float]:
    """The metrics of a report by group, `train/...` and `val/...`: finite ones only."""
    return {
        name: float(value)
        for name, value in result.items()
        if name.partition("/")[0] in groups and math.isfinite(value)
    }


def reason_of(trial: Trial) -> str:
    """The last line of a failed trial's error: what happened, without the traceback."""
    # `Trial.get_error` looks in the storage, where the file arrives later.
    file = trial.error_file
    text = Path(file).read_text() if file and Path(file).is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the trial's process died"
