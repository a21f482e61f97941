"""The records of a sweep's trials, kept by its Optuna study: they survive any crash.

The study is the authority on which trials have ended: it is told first, in one transaction. What
it cannot hold of a trial (reports, checkpoints, the reason of a failure) lies beside it, among the
study's user attributes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from optuna.study import Study
from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.budget import Budget
from sweeps.ledger import Ledger, Outcome, Record
from sweeps.storage import Storage

_PREFIX = "trial "
_SECONDS = "seconds"
_OUTCOMES: dict[TrialState, Outcome] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Records:
    """Records by the number of their trial in the study.

    Args:
        study: The study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def save(self, record: Record, seconds: float) -> None:
        """Store a record in place of what is known of its trial.

        Args:
            record: The record.
            seconds: How long trials have been running, in all sessions.
        """
        content = dataclasses.asdict(record)
        del content["started"], content["mended"]
        self._study.set_user_attr(f"{_PREFIX}{record.trial_id}", content)
        self._study.set_user_attr(_SECONDS, seconds)

    @property
    def seconds(self) -> float:
        """How long trials have been running, in all sessions so far."""
        return float(self._study.user_attrs.get(_SECONDS, 0.0))

    def load(self) -> dict[str, Record]:
        """All records by trial id, in the order the trials started.

        A process that was killed after it had told the study of an end left a record that knows
        nothing of it: that is put right here.
        """
        states = {trial.number: trial.state for trial in self._study.get_trials(deepcopy=False)}
        records = [
            _record(content)
            for name, content in self._study.user_attrs.items()
            if name.startswith(_PREFIX)
        ]
        for record in records:
            state = states[record.number - 1]
            if state.is_finished() and record.outcome in ("running", "interrupted"):
                record.outcome, record.mended = _OUTCOMES[state], True
                if record.outcome == "failed" and not record.error:
                    record.error = "the sweep was killed as the trial ended"
        return {record.trial_id: record for record in sorted(records, key=lambda r: r.number)}


def _record(content: dict[str, Any]) -> Record:
    rungs = [(int(step), float(value)) for step, value in content["rungs"]]
    return Record(**content | {"rungs": rungs})


class Keeper(Callback):
    """Stores a trial's record after whatever happened to it. Must be the last of the callbacks.

    Args:
        records: Where to.
        ledger: The records.
        budget: The time that the sweep has taken, which is kept too.
        storage: Where checkpoints lie: those that no record names any more are deleted. (Tune
            would delete them too, but then it writes all that it knows at every checkpoint.)
    """

    def __init__(self, records: Records, ledger: Ledger, budget: Budget, storage: Storage) -> None:
        self._records = records
        self._ledger = ledger
        self._budget = budget
        self._storage = storage
        self._named = {key: record.checkpoints for key, record in ledger.records.items()}

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; a resumed sweep makes its own.
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Start the clock, and store that it runs."""
        self._budget.start()
        self._save(trial)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Store a report."""
        self._save(trial)

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any
    ) -> None:
        """Store where the last checkpoints lie, and delete what came before them."""
        self._save(trial)
        record = self._ledger.of(trial)
        if record is not None:
            for path in set(self._named.get(record.trial_id, ())) - set(record.checkpoints):
                self._storage.delete(path)
            self._named[record.trial_id] = record.checkpoints

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Store how it ended."""
        self._save(trial)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Store why it failed."""
        self._save(trial)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Store the ends of trials that were cut short; the others are stored already."""
        for trial in trials:
            record = self._ledger.of(trial)
            if record is not None and record.outcome in ("out_of_time", "interrupted"):
                self._save(trial)

    def _save(self, trial: Trial) -> None:
        record = self._ledger.of(trial)
        if record is not None:
            self._records.save(record, self._budget.spent)
