"""The searcher that connects Ray Tune to an Optuna study.

Ray's own OptunaSearch reports trials that were stopped early as complete, leaves trials whose
value is NaN running, and fails on results without the metric.
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
from sweeps.state.trials import shown_attributes
from sweeps.trial import TrialRecord, first_number, outcome_of, trial_id_of, values_of
from weakdis_core.config.config import replaced


class DrawnTrials:
    """Trials of a search; the study's sampler draws their settings.

    Args:
        run: The search.
    """

    def __init__(self, run: StageRun) -> None:
        self.space = run.sweep.space
        self._run = run
        self._base = run.sweep.base.to_dict()
        self._left = count_remaining(run.study, run.sweep.settings.trials) - len(self.unfinished())

    def unfinished(self) -> list[FrozenTrial]:
        """List the trials that an earlier session left RUNNING, without those to refuse."""
        running = self._run.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        return [trial for trial in running if not self._refuse(trial.number)]

    def take(self) -> Trial | None:
        """Draw another trial; None if none is left, or no time for it."""
        if self._left <= 0 or not self._run.enough_time():
            return None
        self._left -= 1
        # Without the space, because `ask` raises an error if enqueued values are outside it.
        while self._refuse((trial := self._run.study.ask()).number):
            pass
        return draw(trial, self.space)

    def settings(self, trial: Trial) -> dict[str, Any]:
        """Return the whole configuration of a trial, nested, and the values drawn."""
        values = dict(trial.params)
        return {"config": replaced(self._base, values), "values": values}

    def _refuse(self, number: int) -> bool:
        """Fail a RUNNING trial if it was enqueued outside the space; return whether it was."""
        study = self._run.study
        trial_id, trial = trial_id_of(study, number), study.get_trials(deepcopy=False)[number]
        if reason := why_outside(self.space, values_of(trial)):
            set_user_attr(study, trial, REFUSED, reason)
            study.tell(number, state=TrialState.FAIL)
            self._run.trials.records[trial_id] = TrialStore(study).load()[trial_id]
        return bool(reason)


class StudySearcher(Searcher):
    """Suggests the trials of an Optuna study, and stores in the study how each one ended.

    Trials that an earlier session left unfinished come first, with their checkpoints.

    Args:
        run: The stage that the trials belong to.
        source: Source of the trials.
    """

    def __init__(self, run: StageRun, source: DrawnTrials | QueuedTrials) -> None:
        # Without metric and mode, as this searcher reads the results itself.
        super().__init__()
        self._study, self._trials, self._stage = run.study, run.trials, run.stage
        self._source = source
        self._pareto = len(run.study.directions) > 1
        # By Tune's id of the trial, which is another in every session.
        self._running: dict[str, Trial] = {}
        unfinished = source.unfinished()
        self._unfinished = deque(running_trial(run.study, t, source.space) for t in unfinished)
        # Last step that the study has a value of, by number of the trial; the record may lack it.
        self._reported = {t.number: max(t.intermediate_values, default=0) for t in unfinished}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the settings, number, id and checkpoints of the next trial."""
        trial = self._running.get(trial_id)
        if trial is None:
            trial = self._unfinished.popleft() if self._unfinished else self._source.take()
        if trial is None:
            # A trial that fails to start may have to be suggested again.
            return FINISHED if all(map(self._trials.has_started, self._running)) else None
        self._running[trial_id] = trial
        record = self._record(trial)
        return self._source.settings(trial) | {
            "number": trial.number + first_number(self._study),
            "trial_id": trial_id_of(self._study, trial.number, self._stage),
            "checkpoints": list(record.checkpoints) if record else [],
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report a trial's value at a step to the study, if it has one."""
        trial, value = self._running.get(trial_id), result.get(self._trials.metric)
        if trial is not None and value is not None:
            self._report(trial, int(result["step"]), float(value))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Store in the study how a trial ended, or keep the trial to suggest it again."""
        trial = self._running.get(trial_id)
        if trial is None:
            return
        if error and self._trials.starts_again(trial_id):
            self._unfinished.append(trial)
        else:
            self._tell(trial, error)
        # Last, because Tune calls this again if the database does not answer.
        del self._running[trial_id]

    def _tell(self, trial: Trial, error: bool) -> None:
        record, values = self._record(trial), None
        outcome = outcome_of(record, error)
        if record is not None and record.score is not None:
            if outcome == "pruned":
                # The last intermediate value of a pruned trial becomes its value.
                self._report(trial, record.step, record.score)
            elif outcome == "complete":
                labels = [float(record.values["data.labels"])] if self._pareto else []
                values = [record.score, *labels]
        for name, shown in shown_attributes(outcome, record).items():
            trial.set_user_attr(name, shown)
        self._study.tell(trial, values, state=STATES[outcome])

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles the searcher into the storage, but the study holds a password.
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Write an empty file: a sweep is resumed from its study."""
        Path(checkpoint_path).touch()

    def _record(self, trial: Trial) -> TrialRecord | None:
        return self._trials.records.get(trial_id_of(self._study, trial.number, self._stage))

    def _report(self, trial: Trial, step: int, value: float) -> None:
        # Optuna takes one value a step, and none of a trial with several objectives.
        new = step > self._reported.get(trial.number, 0)
        if new and not self._pareto and math.isfinite(value):
            trial.report(value, step)
            self._reported[trial.number] = step
