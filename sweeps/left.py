"""What is left of a sweep that was cut short, or that is to be extended."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import TrialState

from sweeps.budget import Budget
from sweeps.launch import Sweep, enough_time
from sweeps.ledger import Ledger
from sweeps.settings import SweepSettings
from sweeps.stored import find


@dataclass(frozen=True)
class Left:
    """What is still to be done of a sweep; of a new one all.

    Attributes:
        trials: Trials that have not ended.
        seconds: Seconds of the time budget.
        runs: Confirm runs that have not ended.
    """

    trials: int
    seconds: float
    runs: int


def left_of(settings: SweepSettings, name: str) -> Left:
    """What is left of the sweep called `name`, going by its studies if it is resumed."""
    runs = settings.confirm_seeds * settings.confirm_top
    if not settings.resume:
        return Left(settings.trials, settings.time_budget, runs)
    stored = find(settings, name)
    trials = _unended(stored.study, settings.trials)
    seconds = max(0.0, settings.time_budget - stored.records.seconds)
    # More trials may find better configurations, which have no runs yet.
    if stored.confirm is not None and not trials:
        runs = _unended(stored.confirm, runs)
    return Left(trials, seconds, runs)


def without_time(sweep: Sweep, study: Study, ledger: Ledger, budget: Budget) -> int:
    """How many trials are left that the time budget lets none of run; 0 where it lets some."""
    left = _unended(study, sweep.settings.trials)
    cut_short = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    some = budget.left > 0 and (cut_short or enough_time(ledger, budget))
    return 0 if some else left


def _unended(study: Study, wanted: int) -> int:
    ended = sum(each.state.is_finished() for each in study.get_trials(deepcopy=False))
    return max(0, wanted - ended)
