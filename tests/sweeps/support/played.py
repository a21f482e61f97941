"""A searcher and its trials, called as Tune calls them."""

from __future__ import annotations

import math
from pathlib import Path

from optuna.study import Study
from ray.tune.experiment import Trial

from sweeps.budget import Budget, Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.flags import Objective
from sweeps.names import METRICS
from sweeps.search.searcher import DrawnTrials, StudySearcher
from sweeps.search.space import build_space
from sweeps.search.tune_events import TuneEvents
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.study import make_sampler, open_storage, open_study
from sweeps.state.trial_store import TrialStore
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.trial import TrialRecord
from weakdis_core.presets import preset

STEPS = 100
BASE = preset("default", "dsprites_v4").with_values({"training.steps": STEPS})
SPACE = build_space(BASE, {})
PIXELS = METRICS["pixels"]


def a_study(folder: Path, objective: Objective = "pixels") -> Study:
    study = open_study(open_storage(folder), "a sweep", objective, SPACE)
    study.sampler = make_sampler("random", 0, 10)
    return study


def a_run(
    study: Study, objective: Objective = "pixels", seconds: float = math.inf, wanted: int = 100
) -> StageRun:
    """Return the search of a study, in a session of its own."""
    settings = SweepSettings(variant="dsprites_v4", objective=objective, trials=wanted)
    sweep = Sweep("a sweep", Path(), settings, BASE, SPACE, Path(), Allotment(1.0, 0.0, 1))
    budget = Budget(seconds, Interruption())
    trials = Trials(objective, STEPS, budget, TrialStore(study).load())
    return StageRun(sweep, "search", study, trials, budget)


class Playing:
    """Calls a searcher and the listeners as Tune does, with Tune's own ids of trials."""

    def __init__(self, study: Study, objective: Objective = "pixels") -> None:
        self.run = a_run(study, objective)
        self.budget, self.trials = self.run.budget, self.run.trials
        self.events = TuneEvents(self.trials, [self.trials])
        self.searcher = StudySearcher(self.run, DrawnTrials(self.run))

    def start(self, tune_id: str) -> TrialRecord:
        given = self.searcher.suggest(tune_id)
        assert given is not None
        self.events.on_trial_start(trial=Trial("stub", config=given, trial_id=tune_id, stub=True))
        return self.trials.records[given["trial_id"]]

    def report(self, tune_id: str, record: TrialRecord, step: int, score: float | None) -> None:
        result = {"step": step} if score is None else {"step": step, PIXELS: score}
        self.searcher.on_trial_result(tune_id, result)
        record.step, record.score = step, score if score is not None else record.score

    def die(self, tune_id: str, trial_id: str = "00000") -> None:
        """Report that the process of a trial died and that Tune waits for another one."""
        trial = Trial("stub", config={"trial_id": trial_id}, trial_id=tune_id, stub=True)
        self.events.on_step_begin()
        self.events.on_trial_recover(trial=trial)

    def play(self, tune_id: str, *reports: tuple[int, float | None], error: bool = False) -> None:
        record = self.start(tune_id)
        for step, score in reports:
            self.report(tune_id, record, step, score)
        self.searcher.on_trial_complete(tune_id, {}, error)
