"""Every use of a private part of Ray or Optuna, and the version it was written for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.async_hyperband import _Bracket as Bracket
from ray.tune.search import Searcher

__all__ = ["FINISHED", "Bracket"]

FINISHED: dict[str, Any] = Searcher.FINISHED  # type: ignore[assignment]
"""What `suggest` returns at the end of a search: a word, which its type leaves out (Ray 2.60)."""


def set_waiting(study: Study, trial: FrozenTrial) -> None:
    """Set a RUNNING trial back to WAITING, which `Study` cannot (Optuna 5.0)."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def running_trial(study: Study, known: FrozenTrial, space: Mapping[str, BaseDistribution]) -> Trial:
    """A RUNNING trial of an earlier process, to report to and to tell (Optuna 5.0).

    Values that it lacks are drawn as `Study.ask` draws them.
    """
    trial = Trial(study, known._trial_id)
    for name, distribution in space.items():
        trial._suggest(name, distribution)
    return trial


def set_bracket(scheduler: ASHAScheduler, bracket: Bracket) -> None:
    """Replace the brackets of a scheduler, which takes none as an argument (Ray 2.60)."""
    scheduler._brackets = [bracket]


def rungs_of(bracket: Bracket) -> list[dict[str, float]]:
    """What a bracket has recorded at each rung: values by Tune's id of the trial (Ray 2.60)."""
    return [recorded for _, recorded in bracket._rungs]
