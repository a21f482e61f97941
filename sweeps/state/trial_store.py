"""The records of a sweep's trials, stored in its Optuna study: they survive any crash.

The state of a trial in the study decides whether it has ended, and is written first. The rest
(reports, checkpoints, the reason of a failure) is in the study's user attributes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import TrialState

from sweeps.cluster.storage import path_within
from sweeps.compat import set_user_attr, set_waiting
from sweeps.state.stage import StageRun
from sweeps.state.trials import shown_attributes
from sweeps.trial import Listener, Outcome, Stage, TrialRecord, first_number, trial_id_of, values_of

_PREFIX = "trial "
_SPENT = "spent"
_SECONDS = "seconds"
STATES: dict[Outcome, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""State in the study of a trial that has ended by itself."""
_OUTCOMES = {state: outcome for outcome, state in STATES.items()}
REFUSED = "refused"
"""User attribute of a trial that was enqueued outside the search space: the reason."""
_INSTEAD = "instead of"


class TrialStore:
    """Saves and loads the records of a study's trials, as user attributes of the study."""

    def __init__(self, study: Study, stage: Stage = "search") -> None:
        self._study = study
        self._stage = stage

    def save(self, record: TrialRecord, seconds: float) -> None:
        """Store a record, and the seconds that all sessions have spent on trials."""
        content = dataclasses.asdict(record)
        del content["started"], content["mended"], content["config"]
        self._study.set_user_attr(f"{_PREFIX}{record.trial_id}", content | {_SPENT: seconds})

    @property
    def seconds(self) -> float:
        """Seconds that all sessions have spent on trials."""
        stored = self._study.user_attrs
        records = (content for key, content in stored.items() if key.startswith(_PREFIX))
        spent = max((content.get(_SPENT, 0.0) for content in records), default=0.0)
        # Earlier versions stored it as an attribute of its own.
        return float(spent or stored.get(_SECONDS, 0.0))

    def load(self) -> dict[str, TrialRecord]:
        """Return all records by trial id, in the order in which the trials started.

        A process that was killed after it ended a trial in the study left a record without the
        end, or none if the trial had not started. Such records are completed here.
        """
        study, stored, records = self._study, self._study.user_attrs, {}
        for trial in study.get_trials(deepcopy=False):
            trial_id = trial_id_of(study, trial.number, self._stage)
            content, ended = stored.get(f"{_PREFIX}{trial_id}"), _OUTCOMES.get(trial.state)
            if content is not None:
                record = _record(content)
            elif ended is not None:
                number = trial.number + first_number(study)
                record = TrialRecord(number, trial_id, values_of(trial))
            else:
                continue
            if ended is not None and record.outcome in ("running", "interrupted"):
                record.outcome, record.mended = ended, True
                if record.outcome == "failed" and not record.error:
                    killed = "the sweep was killed as the trial ended"
                    record.error = trial.user_attrs.get(REFUSED, killed)
            records[trial_id] = record
        return records


def _record(content: dict[str, Any]) -> TrialRecord:
    rungs = [(int(step), float(value)) for step, value in content["rungs"]]
    # An earlier version stored absolute paths.
    checkpoints = [path_within(path) for path in content["checkpoints"]]
    content = {name: value for name, value in content.items() if name != _SPENT}
    return TrialRecord(**content | {"rungs": rungs, "checkpoints": checkpoints})


def count_remaining(study: Study, wanted: int) -> int:
    """Return how many of the wanted trials have not ended; refused trials do not count."""
    ended = sum(
        trial.state.is_finished() and REFUSED not in trial.user_attrs
        for trial in study.get_trials(deepcopy=False)
    )
    return max(0, wanted - ended + len(_failed_for_time(study)))


def _failed_for_time(study: Study) -> list[TrialRecord]:
    """List the trials without a score that an earlier version failed when time ran out."""
    trials = study.get_trials(deepcopy=False, states=[TrialState.FAIL])
    # Loading all records is slow, and most sweeps have no failed trial.
    known = TrialStore(study).load() if trials else {}
    records = (known[trial_id_of(study, trial.number)] for trial in trials)
    return [each for each in records if each.outcome == "out_of_time" and each.score is None]


def enqueue_failed_for_time(study: Study) -> None:
    """Enqueue the trials of `_failed_for_time` again, with their checkpoints.

    They get new numbers, because Optuna cannot restart a trial that has ended.
    """
    records, trials = TrialStore(study), study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(_INSTEAD) for trial in trials}
    for record in _failed_for_time(study):
        if record.number not in again:
            study.enqueue_trial(record.values, user_attrs={_INSTEAD: record.number})
            new = len(study.get_trials(deepcopy=False)) - 1
            number, trial_id = new + first_number(study), trial_id_of(study, new)
            same = dataclasses.replace(
                record, number=number, trial_id=trial_id, outcome="interrupted"
            )
            records.save(same, records.seconds)


def end_out_of_time(run: StageRun) -> None:
    """End the search's trials that ran out of time, which Tune does not end.

    Trials with a score are PRUNED. The others continue in a session with more time.
    """
    if not run.budget.ran_out:
        return
    for trial in run.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        record = run.trials.records.get(trial_id_of(run.study, trial.number))
        if record is None:
            set_waiting(run.study, trial)
            continue
        # The record first: if the program is killed in between, the trial simply continues.
        record.outcome = "out_of_time"
        TrialStore(run.study).save(record, run.budget.spent)
        if trial.intermediate_values or record.score is not None:
            for name, shown in shown_attributes("out_of_time", record).items():
                set_user_attr(run.study, trial, name, shown)
            run.study.tell(trial.number, state=TrialState.PRUNED)


class TrialStoreListener(Listener):
    """Stores a trial's record after each event, and deletes checkpoints that are not needed.

    Those are old checkpoints, and all of a study's complete runs. If Tune deleted them, it would
    write a snapshot of all trials at every checkpoint.

    Args:
        run: The stage of the trials.
    """

    def __init__(self, run: StageRun) -> None:
        self._run = run
        self._records = TrialStore(run.study, run.stage)
        self._storage = run.sweep.storage
        self._stored = set(run.study.user_attrs)
        self._named = {key: record.checkpoints for key, record in run.trials.records.items()}

    def trial_started(self, record: TrialRecord) -> None:
        """Start the clock, and store the record."""
        self._run.budget.start()
        self._save(record)

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        """Store the record."""
        self._save(record)

    def checkpoint_saved(self, record: TrialRecord, path: str) -> None:
        """Store the record, and delete the checkpoints that it no longer names."""
        self._save(record)
        for old in set(self._named.get(record.trial_id, ())) - set(record.checkpoints):
            self._storage.delete(old)
        self._named[record.trial_id] = record.checkpoints

    def trial_ended(self, record: TrialRecord) -> None:
        """Store the record; delete the checkpoints of a complete run of a study."""
        old: list[str] = []
        if self._run.stage == "study" and record.outcome == "complete":
            old, record.checkpoints = record.checkpoints, []
        self._save(record)
        for path in old:
            self._storage.delete(path)

    def session_ended(self) -> None:
        """Store the records of trials that were cut short or refused; the others are stored."""
        for record in self._run.trials.ended():
            refused = record.mended and f"{_PREFIX}{record.trial_id}" not in self._stored
            if refused or record.outcome in ("out_of_time", "interrupted"):
                self._save(record)

    def _save(self, record: TrialRecord) -> None:
        self._records.save(record, self._run.budget.spent)
