"""The verdict on a sweep: which trial won, with what score, and which setting mattered."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.data.setting_importance import FEWEST
from analysis.data.tracked_sweep import TrackedSweep
from analysis.report.score_card import FEWEST_FOR_INTERVAL, PIXELS, measure_run, measure_seeds
from analysis.statistics import FEWEST_SEEDS
from analysis.tables.rendering import format_setting, setting_name

# The items that each accuracy is a share of.
_ITEMS = {
    "pixels": "changed pictures",
    "encoded": "changed codes of images",
    "latent": "changed codes drawn from the priors",
}


def write_verdict(sweep: TrackedSweep, importance: pd.DataFrame) -> list[str]:
    """Summarize a sweep: what won, how sure this is, and what mattered; without a winner, one line.

    If MLflow lacks runs of the sweep, a warning comes first. Commands are in backticks.

    `importance` is the frame of `analysis.data.setting_importance.compute_importances`.
    """
    best, first = sweep.best, [sweep.deficit] if sweep.deficit else []
    if best is None:
        return first or ["No trial has a score yet."]
    return [
        *first,
        _write_winner(sweep, best),
        _write_certainty(sweep, best),
        _write_importance(sweep, importance),
    ]


def confirm_command(sweep: TrackedSweep) -> str:
    """Return the command that confirms a sweep's winner; empty if it runs, or is confirmed."""
    ended = sweep.run.info.status != "RUNNING" and not sweep.lacking["confirm runs"]
    confirmed = len(sweep.fresh) >= FEWEST_SEEDS or sweep.best is None
    command = f"python sweeps/run.py --resume {sweep.name} --confirm-seeds {FEWEST_SEEDS}"
    return command if ended and not confirmed else ""


def _write_winner(sweep: TrackedSweep, best: pd.Series[Any]) -> str:
    number = len(sweep.trials) + sweep.lacking["trials"]
    verb = "is the best so far" if sweep.run.info.status == "RUNNING" else "is the best"
    text = f"Trial {int(best['trial_id'])} {verb} of {number} trial{'s' * (number > 1)}"
    settings = [f"{setting_name(name)} {format_setting(best[name])}" for name in sweep.space]
    text += f": {', '.join(settings)}." if settings else "."
    found, score = sweep.found, measure_run(best, sweep.metric)
    if found is not None and found["config_hash"] != best["config_hash"]:
        text += f" On fresh seeds it beat trial {int(found['trial_id'])}, the best of the search."
    return (
        f"{text} On validation, {score.value} of {_ITEMS[sweep.metric.rpartition('_')[2]]} have "
        f"the right factor changed and all others kept (95% interval {score.spread})."
    )


def _write_certainty(sweep: TrackedSweep, best: pd.Series[Any]) -> str:
    seeds = len(sweep.fresh)
    if seeds:
        score = measure_seeds(sweep.fresh, PIXELS)
        again = f"Trained again on {seeds} fresh seed{'s' * (seeds > 1)}, it reaches"
        if seeds < FEWEST_FOR_INTERVAL:
            few = f"{'One seed is' if seeds == 1 else 'Two seeds are'} too few for an interval."
            return f"{again} {score.spread or score.value} on test images. {few}"
        return f"{again} {score.value} on test images (95% t-interval {score.spread})."
    lacking, number = sweep.lacking, len(sweep.scored) + sweep.lacking["trials"]
    others = sweep.complete[sweep.metric].drop(best.name, errors="ignore")
    text = f"This score is the best of {number}, so it is optimistic. " if number > 1 else ""
    if len(others) and not lacking["trials"]:
        ahead = 100 * (float(best[sweep.metric]) - others.max())
        text += f"The next trial is {ahead:.1f} points behind. "
    test = measure_run(best, sweep.metric.replace("val/", "test/"))
    if test.spread:
        text += f"On test images the same model reaches {test.value} ({test.spread}). "
    if lacking["confirm runs"]:
        return f"{text}Its confirm runs count again once MLflow has them."
    return f"{text}All scores are from one seed; confirm them on fresh seeds."


def _write_importance(sweep: TrackedSweep, importance: pd.DataFrame) -> str:
    if importance.empty:
        if len(sweep.scored) >= FEWEST:
            return "All trials have the same score, so no setting mattered."
        return f"Too few trials ({len(sweep.scored)} of {FEWEST}) to say which setting mattered."
    first = importance.iloc[0]
    rivals = importance[importance["high"] > first["low"]]["setting"].tolist()[1:]
    names = ", ".join(map(setting_name, rivals))
    few = f"With so few trials, {names} may matter as much."
    return (
        f"The setting that mattered most is {setting_name(first['setting'])}: it explains "
        f"{first['importance']:.0%} of the variance of scores (95% interval {first['low']:.0%} to "
        f"{first['high']:.0%}). {few if rivals else 'No other setting explains as much.'}"
    )
