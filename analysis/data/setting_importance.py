"""Importance of the searched settings, with its uncertainty."""

from __future__ import annotations

import warnings

import numpy as np
import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from analysis.data.tracked_sweep import create_empty_study

IMPORTANCE = ("setting", "importance", "low", "high", "trials")
"""Columns of `compute_importances`."""

FEWEST = 8
"""Fewest trials with a score; a forest fitted to fewer explains noise."""


def compute_importances(study: optuna.Study, resamples: int = 20) -> pd.DataFrame:
    """Compute the share of the objective's variance that each searched setting explains (fANOVA).

    The intervals are bootstrapped: each repetition draws trials with replacement and seeds its
    forest anew.

    Args:
        study: Trials with values; a trial stopped early counts with its last value.
        resamples: Number of repetitions.

    Returns:
        Columns `IMPORTANCE`, most important first: the mean over repetitions and the interval that
        holds 95% of them. Shares add up to 1. Empty with fewer than `FEWEST` trials, or if all
        have the same score.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.value is not None]
    if len(trials) < FEWEST or len({trial.value for trial in trials}) == 1:
        return pd.DataFrame(columns=list(IMPORTANCE))
    draws = np.random.default_rng(0)
    repeated = []
    for repetition in range(resamples):
        chosen = [trials[i] for i in draws.integers(len(trials), size=len(trials))]
        if len({trial.value for trial in chosen}) > 1:
            repeated.append(_shares(chosen, seed=repetition))
    # A setting that is constant among the drawn trials explains nothing.
    spread = pd.DataFrame(repeated).fillna(0.0)
    table = pd.DataFrame(
        {
            "importance": spread.mean(),
            "low": spread.quantile(0.025),
            "high": spread.quantile(0.975),
            "trials": len(trials),
        }
    )
    return table.sort_values("importance", ascending=False).rename_axis("setting").reset_index()


def _shares(trials: list[optuna.trial.FrozenTrial], seed: int) -> dict[str, float]:
    study = create_empty_study()
    for trial in trials:
        # As complete trials: Optuna ignores those that were stopped early.
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=trial.value
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
