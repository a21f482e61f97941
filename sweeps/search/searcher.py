"""The searcher through which Ray Tune asks an Optuna study.

Ray's own OptunaSearch reports trials that were stopped early as complete, leaves trials whose
value is NaN running for ever, and fails on results without the metric; hence this one.
"""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.search import Searcher

from sweeps.compat import FINISHED, draw, running_trial, set_user_attr
from sweeps.search.run_queue import QueuedTrials
from sweeps.search.space import why_outside
from sweeps.state.stage import StageRun
from sweeps.state.trial_store import REFUSED, STATES, TrialStore, count_remaining
from sweeps.trial import TrialRecord, outcome_of, trial_id_of, values_of
from weakdis_core.config.config import replaced


class DrawnTrials:
    """Trials of a search, whose settings the study's sampler draws.

    Args:
        run: The search.
    """

    def __init__(self, run: StageRun) -> None:
        self.space = run.sweep.space
        self._run = run
        self._base = run.sweep.base.to_dict()
        self._left = count_remaining(run.study, run.sweep.settings.trials) - len(self.unfinished())

    def unfinished(self) -> list[FrozenTrial]:
        """List the trials that an earlier session left RUNNING, and that are not refused."""
        running = self._run.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        return [trial for trial in running if not self._refuse(trial.number)]

    def take(self) -> Trial | None:
        """Draw another trial; None where there is none left, or no time for it."""
        if self._left <= 0 or not self._run.enough_time():
            return None
        self._left -= 1
        # Asked for without the space: with it Optuna raises an error at values outside.
        while self._refuse((trial := self._run.study.ask()).number):
            pass
        return draw(trial, self.space)

    def settings(self, trial: Trial) -> dict[str, Any]:
        """Return the whole configuration of a trial, nested, and the values drawn."""
        values = dict(trial.params)
        return {"config": replaced(self._base, values), "values": values}

    def _refuse(self, number: int) -> bool:
        """Whether a RUNNING trial is outside the space, as others may enqueue it: then it fails."""
        study, trial_id = self._run.study, trial_id_of(number)
        trial = study.get_trials(deepcopy=False)[number]
        if reason := why_outside(self.space, values_of(trial)):
            set_user_attr(study, trial, REFUSED, reason)
            study.tell(number, state=TrialState.FAIL)
            self._run.ledger.records[trial_id] = TrialStore(study).load()[trial_id]
        return bool(reason)


class StudySearcher(Searcher):
    """Hands out the trials of an Optuna study and stores there how each one ended.

    Trials of an earlier session that have not ended come first, with their checkpoints. A trial
    that reaches its last step with a finite value is COMPLETE; one that ends earlier (stopped by
    ASHA) is PRUNED with the values seen; an error, and a value that is missing or not finite at
    the end, is FAIL. One that Tune gives up too early is suggested again (`Ledger.starts_again`).

    Args:
        run: The stage that the trials belong to.
        source: Where they come from.
    """

    def __init__(self, run: StageRun, source: DrawnTrials | QueuedTrials) -> None:
        # No metric and mode for Tune: a list of them is for multi-objective searchers only, and
        # this one reads its results itself.
        super().__init__()
        self._study, self._ledger, self._stage = run.study, run.ledger, run.stage
        self._source = source
        self._pareto = len(run.study.directions) > 1
        # With the last step that the study has a value of: a record may be a report behind, where
        # the session was killed in between. Values that were not drawn yet are drawn now.
        self._unfinished = deque(
            (
                running_trial(run.study, known, source.space),
                max(known.intermediate_values, default=0),
            )
            for known in source.unfinished()
        )
        # By the trial's id of Tune, which is another in every session.
        self._running: dict[str, Trial] = {}
        self._reported: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return what a new trial is given: its settings, number, id and checkpoints."""
        if trial_id not in self._running:
            if self._unfinished:
                trial, self._reported[trial_id] = self._unfinished.popleft()
            elif (taken := self._source.take()) is not None:
                trial = taken
            elif all(map(self._ledger.has_started, self._running)):
                return FINISHED
            else:
                # Not yet: one that does not get as far as its start comes back.
                return None
            self._running[trial_id] = trial
        trial = self._running[trial_id]
        record = self._record(trial)
        self._reported.setdefault(trial_id, 0)
        return self._source.settings(trial) | {
            "number": trial.number + 1,
            "trial_id": trial_id_of(trial.number, self._stage),
            "checkpoints": list(record.checkpoints) if record else [],
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember a trial's value at a step, where it exists already."""
        trial, value = self._running.get(trial_id), result.get(self._ledger.metric)
        if trial is not None and value is not None:
            self._report(trial_id, trial, int(result["step"]), float(value))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Store in the study how a trial ended."""
        trial = self._running.get(trial_id)
        if trial is None:
            return
        if error and self._ledger.starts_again(trial_id):
            self._unfinished.append((trial, self._reported[trial_id]))
        else:
            self._tell(trial_id, trial, error)
        # Last: Tune calls this again where the database did not answer.
        del self._running[trial_id]

    def _tell(self, trial_id: str, trial: Trial, error: bool) -> None:
        record, values = self._record(trial), None
        outcome = "failed" if record is None or error else outcome_of(record)
        if record is not None and record.score is not None:
            if outcome == "pruned":
                # Optuna takes the last intermediate value of a pruned trial as its value.
                self._report(trial_id, trial, record.step, record.score)
            elif outcome == "complete":
                labels = [float(record.values["data.labels"])] if self._pareto else []
                values = [record.score, *labels]
        self._study.tell(trial, values, state=STATES[outcome])

    def __getstate__(self) -> dict[str, Any]:
        # Tune writes what it pickles into the storage, and the study knows a password.
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept that the study does not hold: no sweep is resumed from Tune's files."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to read."""

    def _record(self, trial: Trial) -> TrialRecord | None:
        return self._ledger.records.get(trial_id_of(trial.number, self._stage))

    def _report(self, trial_id: str, trial: Trial, step: int, value: float) -> None:
        # Optuna has no intermediate values of several objectives, and one for each step.
        if self._pareto or step <= self._reported[trial_id]:
            return
        if math.isfinite(value):
            trial.report(value, step)
            self._reported[trial_id] = step
