"""The verdict on a sweep: which trial won, with what score, and which setting mattered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.setting_importance import FEWEST
from analysis.data.tracked_sweep import TrackedSweep
from analysis.statistics import UNDEFINED, Interval, paired_interval, t_interval, wilson_interval
from analysis.tables.rendering import format_mean, format_setting, setting_name
from weakdis_core.paper import Published

PIXELS = "test/relation_accuracy_pixels"

_LATENT = "relation_accuracy_latent"
# The items that each accuracy is a share of.
_ITEMS = {
    "pixels": "changed pictures",
    "encoded": "changed codes of images",
    "latent": "changed codes drawn from the priors",
}


@dataclass(frozen=True)
class Confirmation:
    """A configuration that was trained again on fresh seeds.

    Attributes:
        config_hash: The configuration.
        labels: Size of its labelled subset.
        pixels: Mean pixel accuracy on test with its 95% t-interval over seeds.
        behind: Paired difference to the best configuration on the same seeds; NaN for the best.
    """

    config_hash: str
    labels: int
    pixels: Interval
    behind: Interval


def write_verdict(sweep: TrackedSweep, importance: pd.DataFrame, quoted: Published) -> list[str]:
    """Summarize a sweep in three paragraphs, or in one if it has no winner.

    If MLflow lacks runs of the sweep, a warning comes first. Commands are in backticks.

    `importance` is the frame of `analysis.data.setting_importance.compute_importances`.
    """
    best, first = sweep.best, [sweep.deficit] if sweep.deficit else []
    if best is None:
        return first or ["No trial has a score yet."]
    score = _write_score(sweep, best) + _write_latent(sweep, best, quoted)
    return [*first, _write_winner(sweep, best), score, _write_importance(sweep, importance)]


def compare_confirmed(sweep: TrackedSweep) -> list[Confirmation]:
    """Compare the confirmed configurations, the best on validation first."""
    choice = sweep.choice
    if choice.empty or PIXELS not in sweep.confirmed:
        return []
    own = sweep.confirmed[sweep.confirmed["status"].eq("FINISHED")].sort_values("seed")
    scores = own.pivot_table(index="seed", columns="config_hash", values=PIXELS)
    first = scores[choice.index[0]].to_numpy()
    found: list[Confirmation] = []
    for name in choice.index:
        labels = own.loc[own["config_hash"].eq(name), "data.labels"].iloc[0]
        pixels = scores[name].to_numpy()
        behind = paired_interval(first, pixels) if found else UNDEFINED
        found.append(Confirmation(name, int(labels), t_interval(pixels), behind))
    return found


def _write_winner(sweep: TrackedSweep, best: pd.Series[Any]) -> str:
    number = len(sweep.trials) + sweep.lacking["trials"]
    verb = "is the best so far" if sweep.run.info.status == "RUNNING" else "is the best"
    text = f"Trial {best['trial_id']} {verb} of {number} trials"
    settings = ", ".join(
        f"{setting_name(name)} {format_setting(best[name])}" for name in sweep.space
    )
    text += f": {settings}." if settings else "."
    found = sweep.found
    if found is not None and found["config_hash"] != best["config_hash"]:
        text += f" On fresh seeds it beat trial {found['trial_id']}, the best of the search."
    return text


def _write_score(sweep: TrackedSweep, best: pd.Series[Any]) -> str:
    own = [each for each in compare_confirmed(sweep) if each.config_hash == best["config_hash"]]
    if not own:
        return _write_validation_score(sweep, best)
    pixels = own[0].pixels
    seeds = "1 fresh seed" if pixels.n == 1 else f"{pixels.n} fresh seeds"
    interval = "one seed gives no interval"
    if pixels.n > 1:
        interval = f"95% t-interval over seeds {pixels.low:.1%} to {pixels.high:.1%}"
    return (
        f"Trained again on {seeds} and evaluated once on test images, {pixels.value:.1%} of "
        f"{_ITEMS['pixels']} have the right factor changed and all others kept ({interval})."
    )


def _write_validation_score(sweep: TrackedSweep, best: pd.Series[Any]) -> str:
    lacking = sweep.lacking
    images, score = int(best["training.evaluation_samples"]), float(best[sweep.metric])
    ends = wilson_interval(round(score * images), images)
    others = sweep.complete[sweep.metric].drop(best.name, errors="ignore")
    ahead = ""
    if len(others) and not lacking["trials"]:
        ahead = f" The next trial is {100 * (score - others.max()):.1f} points behind."
    confirm = f"Confirm it with: `python sweeps/run.py --resume {sweep.name} --confirm-seeds 5`."
    if lacking["confirm runs"]:
        confirm = "Its confirm runs count again once MLflow has them."
    elif sweep.run.info.status == "RUNNING":
        confirm = "Only confirm runs on fresh seeds show how good it is."
    return (
        f"On validation, {score:.1%} of {_ITEMS[sweep.metric.rpartition('_')[2]]} have the right "
        f"factor changed and all others kept (95% interval {ends.low:.1%} to {ends.high:.1%}, "
        f"{images} images, one seed).{ahead} This is the best of "
        f"{len(sweep.scored) + lacking['trials']} trials, so it is optimistic. {confirm}"
    )


def _write_latent(sweep: TrackedSweep, best: pd.Series[Any], quoted: Published) -> str:
    """Write the latent accuracy beside the paper's; empty for a variant that the paper lacks."""
    paper = [row.this_work for row in quoted.table1 if row.variant == sweep.variant]
    if not paper:
        return ""
    own, part = best.to_frame().T, "val"
    if best["config_hash"] in sweep.choice.index:
        own, part = sweep.confirmed[sweep.confirmed["config_hash"].eq(best["config_hash"])], "test"
    scores = t_interval(own.get(f"{part}/{_LATENT}", pd.Series(dtype=float)).to_numpy(float))
    latent = f" Latent accuracy, the paper's measure, is {format_mean(scores)}." if scores.n else ""
    return (
        f"{latent} The paper reports a latent accuracy of {paper[0].accuracy:.3f} with "
        f"{paper[0].labels} labels on official images, without an interval."
    )


def _write_importance(sweep: TrackedSweep, importance: pd.DataFrame) -> str:
    if importance.empty:
        if len(sweep.scored) >= FEWEST:
            return "All trials have the same score, so no setting mattered."
        return f"Too few trials ({len(sweep.scored)} of {FEWEST}) to say which setting mattered."
    first = importance.iloc[0]
    rivals = importance[importance["high"] > first["low"]]["setting"].tolist()[1:]
    names = ", ".join(map(setting_name, rivals))
    sure = (
        f"With so few trials, {names} may matter as much."
        if rivals
        else "No other setting explains as much."
    )
    return (
        f"The setting that mattered most is {setting_name(first['setting'])}: it explains "
        f"{first['importance']:.0%} of the variance of scores (95% interval {first['low']:.0%} to "
        f"{first['high']:.0%}). {sure}"
    )
