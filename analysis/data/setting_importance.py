"""Which searched settings mattered, with how certain that is."""

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
"""Trials with a score below which nothing is said: a forest of fewer explains noise."""


def compute_importances(study: optuna.Study, resamples: int = 20) -> pd.DataFrame:
    """The share of the objective's variance that each searched setting explains (fANOVA).

    Its uncertainty comes from the trials: the analysis is repeated on trials drawn with
    replacement, with another seed of its forest each time.

    Args:
        study: Trials with values; those stopped early count with their last one.
        resamples: How often it is repeated.

    Returns:
        Columns `IMPORTANCE`, means over the repetitions with the interval that holds 95% of them,
        the most important first; no row with fewer than `FEWEST` trials, or where all have one
        score. Shares add up to 1.
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
    # A setting that never varied among the trials drawn explains nothing there.
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
    """Importances by setting, the largest first; a setting that never varied has none."""
    study = create_empty_study()
    # Those stopped early count too: settings that lose early matter.
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=trial.value
            )
            for trial in trials
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
