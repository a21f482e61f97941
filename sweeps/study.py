"""The Optuna study of a sweep, and the searcher through which Ray Tune asks it.

Ray's own OptunaSearch reports trials that were stopped early as complete, leaves trials whose
value is NaN running for ever, and fails on results without the metric; hence this one.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study, StudyDirection
from optuna.trial import Trial, TrialState
from ray.tune.search import Searcher

from sweeps.settings import Objective, Sampler
from sweeps.space import LABELS_METRIC, METRICS, Space, space_hash
from weakdis_core.errors import UserError
from weakdis_core.files import write_text

STUDY_FILE = "study.db"
TRIAL_ID = "trial_id"
Values = list[float]


def directions(objective: Objective) -> list[StudyDirection]:
    """Accuracy up; under pareto also labels down."""
    if objective == "pareto":
        return [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    return [StudyDirection.MAXIMIZE]


def make_sampler(name: Sampler, seed: int, trials: int) -> BaseSampler:
    """A sampler of the given kind.

    Args:
        name: tpe, random or nsga2.
        seed: Seed of its draws.
        trials: Trials of the sweep: a short one cannot afford ten random ones first.
    """
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=min(50, max(4, trials // 4)))
    # The liar keeps trials that run at once from trying the same place.
    return TPESampler(seed=seed, n_startup_trials=min(10, max(3, trials // 4)), constant_liar=True)


def open_storage(folder: Path) -> BaseStorage:
    """The storage of the study: a database beside the sweep that optuna-dashboard can read."""
    return RDBStorage(f"sqlite:///{folder / STUDY_FILE}")


def open_study(
    storage: BaseStorage, variant: str, objective: Objective, space: Space, sampler: BaseSampler
) -> Study:
    """Open the sweep's study, or make it.

    Its name holds the variant, the space and the objective, so that different searches never
    share one. Optuna silently keeps the direction of a study it finds, so that is checked.

    Raises:
        UserError: A study of that name optimises in another direction.
    """
    name = f"{variant}-{space_hash(space)}-{objective}"
    wanted = directions(objective)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        sampler=sampler,
        directions=wanted,
        load_if_exists=True,
    )
    if study.directions != wanted:
        found = ", ".join(direction.name.lower() for direction in study.directions)
        raise UserError(f"study {name}: found directions {found}, expected those of {objective}")
    return study


class StudySearcher(Searcher):
    """Asks an Optuna study for settings and tells it how each trial ended.

    A trial that reaches its last step with a finite value is COMPLETE; one that ends earlier
    (stopped by ASHA or by the time budget) is PRUNED with the values seen; an error, and a value
    that is missing or not finite at the end, is FAIL. No trial is left RUNNING.

    Args:
        study: The study.
        space: The settings to suggest.
        objective: What is optimised.
        steps: Training steps of a full trial.
        enough_time: Whether there is time for another trial; where not, the search ends.
    """

    def __init__(
        self,
        study: Study,
        space: Space,
        objective: Objective,
        steps: int,
        enough_time: Callable[[], bool] = lambda: True,
    ) -> None:
        # No metric and mode for Tune: a list of them is for multi-objective searchers only, and
        # this one reads its results itself.
        super().__init__()
        self._study = study
        self._space = space
        self._objective = objective
        self._steps = steps
        self._enough_time = enough_time
        self._running: dict[str, Trial] = {}
        self._ended: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Settings for a new trial, `{"values": {dotted name: value}}`."""
        if trial_id not in self._running:
            if not self._enough_time():
                return Searcher.FINISHED  # type: ignore[return-value]  # a word of Tune's
            trial = self._study.ask(self._space)
            trial.set_user_attr(TRIAL_ID, trial_id)
            self._running[trial_id] = trial
        return {"values": dict(self._running[trial_id].params)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember a trial's value at a step, where it exists already."""
        trial = self._running.get(trial_id)
        values = self._values(result)
        # Optuna has no intermediate values of several objectives.
        if trial is not None and values is not None and self._objective != "pareto":
            trial.report(values[0], int(result["step"]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended."""
        trial = self._running.pop(trial_id, None)
        if trial is None:
            return
        self._ended.add(trial_id)
        values = None if error or not result else self._values(result)
        if result and not error and int(result.get("step", 0)) < self._steps:
            # Optuna takes the last intermediate value of a pruned trial as its value.
            if values is not None and self._objective != "pareto":
                trial.report(values[0], int(result["step"]))
            self._study.tell(trial, state=TrialState.PRUNED)
        elif values is not None:
            self._study.tell(trial, values)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        """Write what the study itself does not hold: which trial of Tune is which of Optuna."""
        numbers = {trial_id: trial._trial_id for trial_id, trial in self._running.items()}
        state = {"running": numbers, "ended": sorted(self._ended)}
        Path(checkpoint_path).write_bytes(pickle.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Read what `save` wrote and find the trials in the study again."""
        state = pickle.loads(Path(checkpoint_path).read_bytes())
        self._ended = set(state["ended"])
        self._running = {
            trial_id: Trial(self._study, number) for trial_id, number in state["running"].items()
        }

    def _values(self, result: dict[str, Any]) -> Values | None:
        names = [METRICS[self._objective]]
        if self._objective == "pareto":
            names.append(LABELS_METRIC)
        values = [result.get(name) for name in names]
        if any(value is None or not math.isfinite(value) for value in values):
            return None
        return [float(value) for value in values if value is not None]


def end_running(study: Study) -> None:
    """End what Tune stopped without saying so: PRUNED with a value seen, else FAIL."""
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        seen = trial.intermediate_values
        study.tell(trial.number, state=TrialState.PRUNED if seen else TrialState.FAIL)


def export_study(study: Study, path: Path) -> None:
    """Write every trial of the study as JSON, readable without Optuna."""
    trials = [
        {
            "number": trial.number,
            "state": trial.state.name,
            "trial_id": trial.user_attrs.get(TRIAL_ID),
            "params": trial.params,
            "values": trial.values,
            "intermediate_values": {str(k): v for k, v in trial.intermediate_values.items()},
            "start": str(trial.datetime_start),
            "end": str(trial.datetime_complete),
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    names = [direction.name.lower() for direction in study.directions]
    content = {"study": study.study_name, "directions": names, "trials": trials}
    write_text(path, json.dumps(content, indent=1))
